package balancer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"lb/pool"
)

// members makes backends of the given weights, each with room for maxConns requests.
func members(maxConns int, weights ...int) []*pool.Backend {
	var backends []*pool.Backend
	for i, w := range weights {
		backends = append(backends, pool.NewBackend(pool.Member{
			Address: fmt.Sprintf("10.0.0.%d:80", i), Weight: w, MaxConns: maxConns,
		}))
	}
	return backends
}

func equal(n int) []int { return slices.Repeat([]int{1}, n) }

func picker(t testing.TB, name string, backends []*pool.Backend) pool.Picker {
	t.Helper()
	a, err := Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return a.NewPicker(backends, 0)
}

func inFlight(backends []*pool.Backend) []int64 {
	var counts []int64
	for _, b := range backends {
		counts = append(counts, b.InFlight())
	}
	return counts
}

func TestUnknownAlgorithmNamesTheKnownOnes(t *testing.T) {
	_, err := Lookup("fastest")
	if err == nil || !strings.Contains(err.Error(), `"fastest"`) || !strings.Contains(err.Error(), "least_conn") {
		t.Errorf("error %v", err)
	}
}

func TestNoBackend(t *testing.T) {
	for _, name := range Names() {
		if b := picker(t, name, nil).Pick(0); b != nil {
			t.Errorf("%s picked %v from nothing", name, b.Address())
		}
	}
}

// Without room anywhere Pick returns nil at once; it does not search forever.
func TestAllFull(t *testing.T) {
	for _, name := range Names() {
		for _, n := range []int{1, 2, 3, 32, 33, 100} {
			backends := members(2, equal(n)...)
			p := picker(t, name, backends)
			for range 2 * n {
				if p.Pick(0) == nil {
					t.Fatalf("%s of %d: nil with room left: %v", name, n, inFlight(backends))
				}
			}
			if b := p.Pick(0); b != nil {
				t.Errorf("%s of %d: picked beyond max_conns", name, n)
			}
			backends[n/2].Release()
			if b := p.Pick(0); b != backends[n/2] {
				t.Errorf("%s of %d: did not find the one place that is free", name, n)
			}
		}
	}
}

// Concurrent requests see each other: no limit is exceeded, no place stays unused, and without limits they spread.
func TestBurst(t *testing.T) {
	const backendsInPool, places, requests = 5, 7, 60
	for _, name := range Names() {
		backends := members(places, equal(backendsInPool)...)
		p := picker(t, name, backends)
		if got := burst(p, requests); got != backendsInPool*places {
			t.Errorf("%s: %d of %d places taken: %v", name, got, backendsInPool*places, inFlight(backends))
		}
		for i, n := range inFlight(backends) {
			if n != places {
				t.Errorf("%s: backend %d has %d requests, limit %d", name, i, n, places)
			}
		}
	}
}

func TestBurstSpreads(t *testing.T) {
	for name, slack := range map[string]int64{"round_robin": 0, "least_conn": 4, "p2c": 12, "peak_ewma": 12} {
		backends := members(0, equal(4)...)
		burst(picker(t, name, backends), 200)
		counts := inFlight(backends)
		if most, least := slices.Max(counts), slices.Min(counts); most-least > slack {
			t.Errorf("%s: a burst of 200 on 4 backends came out as %v", name, counts)
		}
	}
}

// burst picks from n goroutines at once and returns how many got a backend.
func burst(p pool.Picker, n int) int {
	var wg sync.WaitGroup
	got := make([]*pool.Backend, n)
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			got[i] = p.Pick(0)
		})
	}
	close(start)
	wg.Wait()
	return n - len(slices.DeleteFunc(got, func(b *pool.Backend) bool { return b != nil }))
}

// Whatever the weights, limits and loads: a picker finds room if and only if there is some.
func TestRoomIsFound(t *testing.T) {
	for _, a := range Algorithms() {
		t.Run(a.Name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				weights := rapid.SliceOfN(rapid.IntRange(1, 300), 1, 40).Draw(t, "weights")
				limit := rapid.IntRange(1, 3).Draw(t, "limit")
				backends := members(limit, weights...)
				p := a.NewPicker(backends, rapid.Uint64().Draw(t, "seed"))
				var held []*pool.Backend
				for range rapid.IntRange(1, 200).Draw(t, "steps") {
					if len(held) > 0 && rapid.IntRange(0, 3).Draw(t, "release") == 0 {
						i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
						held[i].Release()
						held = slices.Delete(held, i, i+1)
						continue
					}
					b := p.Pick(0)
					if full := len(held) == limit*len(backends); (b == nil) != full {
						t.Fatalf("picked %v with %d of %d places taken", b, len(held), limit*len(backends))
					}
					if b != nil {
						held = append(held, b)
					}
				}
			})
		})
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, name := range Names() {
		for _, n := range []int{3, 1000} {
			p := picker(t, name, members(0, equal(n)...))
			if allocs := testing.AllocsPerRun(100, func() { p.Pick(0).Release() }); allocs != 0 {
				t.Errorf("%s of %d: %v allocations", name, n, allocs)
			}
		}
	}
}

func TestFirstFillsInOrder(t *testing.T) {
	backends := members(2, 1, 1, 1)
	p := picker(t, "first", backends)
	for i := range 6 {
		if b := p.Pick(0); b != backends[i/2] {
			t.Errorf("pick %d is %s", i, b.Address())
		}
	}
}
