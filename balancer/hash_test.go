package balancer

import (
	"fmt"
	"testing"

	"lb/internal/stablehash"
	"lb/pool"
)

func keyOf(i int) uint64 { return stablehash.New().AddString(fmt.Sprint("user-", i)).Sum() }

// clocked makes backends whose clock advances by a second at each call, so that every count is fresh.
func clocked(maxConns, n int) []*pool.Backend {
	var now int64
	clock := func() int64 { now += 1e9; return now }
	var backends []*pool.Backend
	for i := range n {
		backends = append(backends, pool.NewBackendWith(pool.Member{Address: fmt.Sprintf("10.0.0.%d:80", i), MaxConns: maxConns}, clock))
	}
	return backends
}

func TestHashKeepsKeys(t *testing.T) {
	backends := members(0, equal(10)...)
	p, again := picker(t, "hash", backends), picker(t, "hash", backends)
	counts := map[*pool.Backend]int{}
	for i := range 1000 {
		b := p.Pick(keyOf(i))
		b.Release()
		other := again.Pick(keyOf(i))
		other.Release()
		if other != b {
			t.Fatalf("key %d went to %s and %s", i, b.Address(), other.Address())
		}
		counts[b]++
	}
	for b, n := range counts {
		if n < 60 || n > 140 {
			t.Errorf("%s has %d of 1,000 keys", b.Address(), n)
		}
	}
}

// One hot key does not overload its backend: requests above the bound go to the next one in the key's own order.
func TestHashBoundsTheLoad(t *testing.T) {
	backends := clocked(0, 10)
	p := picker(t, "hash", backends)
	const requests = 400
	for range requests {
		p.Pick(keyOf(1))
	}
	bound := int64(boundFactor*requests/10) + 1
	for i, n := range inFlight(backends) {
		if n > bound {
			t.Errorf("backend %d has %d of %d requests, the bound is %d", i, n, requests, bound)
		}
	}
	// Below the smallest bound no backend is skipped, however idle the others are.
	few := clocked(0, 10)
	p = picker(t, "hash", few)
	owner := p.Pick(keyOf(1))
	for range boundAtLeast - 1 {
		if b := p.Pick(keyOf(1)); b != owner {
			t.Errorf("with %d in flight the key moved", owner.InFlight())
		}
	}
	if b := p.Pick(keyOf(1)); b == owner {
		t.Errorf("the %dth at a time, and no other in flight, stayed", boundAtLeast+1)
	}
}

// A key whose backend is full continues in its own order, the same each time.
func TestHashSkipsFullBackends(t *testing.T) {
	order := func(key uint64) string {
		p := picker(t, "hash", members(1, equal(6)...))
		var names string
		for range 6 {
			names += p.Pick(key).Address() + " "
		}
		return names
	}
	seen := map[string]bool{}
	for i := range 50 {
		if a, b := order(keyOf(i)), order(keyOf(i)); a != b {
			t.Errorf("key %d: %s, then %s", i, a, b)
		}
		seen[order(keyOf(i))] = true
	}
	if len(seen) < 40 {
		t.Errorf("50 keys have only %d orders", len(seen))
	}
}
