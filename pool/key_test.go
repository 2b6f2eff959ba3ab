package pool

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// byKey is a picker that records the keys it gets, and takes the backend that the key names.
type byKey struct {
	backends []*Backend
	mu       *sync.Mutex
	keys     *[]uint64
}

func (p byKey) Pick(key uint64) *Backend {
	p.mu.Lock()
	*p.keys = append(*p.keys, key)
	p.mu.Unlock()
	if b := p.backends[key%uint64(len(p.backends))]; b.Reserve() {
		return b
	}
	return nil
}

func keyed(keys *[]uint64) func([]*Backend, uint64) Picker {
	mu := new(sync.Mutex)
	return func(backends []*Backend, _ uint64) Picker { return byKey{backends, mu, keys} }
}

// A retry asks by other keys, always the same ones for the same request.
func TestRetriesUseTheKey(t *testing.T) {
	var keys []uint64
	p := New(Options{Members: at("a", "b", "c", "d"), NewPicker: keyed(&keys)})
	defer p.Close()
	first, err := p.Pick(t.Context(), 6, nil)
	if err != nil || first.Address() != "c" || !slices.Equal(keys, []uint64{6}) {
		t.Fatalf("key 6 came as %v to %v, %v", keys, first, err)
	}
	for key := range uint64(40) {
		first, _ := p.Pick(t.Context(), key, nil)
		keys = nil
		second, _ := p.Pick(t.Context(), key, []*Backend{first})
		asked := slices.Clone(keys)
		keys = nil
		if again := p.TryPick(key, []*Backend{first}); again != second || !slices.Equal(keys, asked) {
			t.Errorf("key %d: a retry went to %s by %v, then to %s by %v", key, second.Address(), asked, again.Address(), keys)
		}
		if asked[0] != key || len(asked) < 2 || asked[1] == key || second == first {
			t.Errorf("key %d: asked by %v, went from %s to %s", key, asked, first.Address(), second.Address())
		}
	}
}

// A request that has waited is served by its own key.
func TestQueueKeepsTheKey(t *testing.T) {
	var keys []uint64
	o := Options{Members: []Member{{Address: "a", MaxConns: 1}, {Address: "b", MaxConns: 1}}, NewPicker: keyed(&keys), QueueLimit: 1}
	running(t, o, func(t *testing.T, p *Pool) {
		full, err := p.Pick(t.Context(), 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan *Backend)
		go func() {
			b, _ := p.Pick(context.WithoutCancel(t.Context()), 5, nil)
			got <- b
		}()
		synctest.Wait()
		full.Release()
		if b := <-got; b != full || keys[len(keys)-1] != 5 {
			t.Errorf("got %v; keys %v", b, keys)
		}
	})
}
