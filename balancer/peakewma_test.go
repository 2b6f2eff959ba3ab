package balancer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lb/pool"
)

// fleet is a set of backends in simulated time.
type fleet struct {
	now      time.Duration
	backends []*pool.Backend
	picker   pool.Picker
}

func newFleet(t *testing.T, weights ...int) *fleet {
	t.Helper()
	f := &fleet{now: time.Hour}
	for i, w := range weights {
		f.backends = append(f.backends, pool.NewBackendWith(
			pool.Member{Address: fmt.Sprint("b", i), Weight: w}, func() int64 { return int64(f.now) }))
	}
	a, err := Lookup("peak_ewma")
	if err != nil {
		t.Fatal(err)
	}
	f.picker = a.WithRandom(rand.New(rand.NewPCG(1, 2)).Uint64)(f.backends, 0)
	return f
}

// serve lets b respond to one request after that time.
func (f *fleet) serve(b *pool.Backend, took time.Duration) {
	b.Reserve()
	w := b.Await()
	f.now += took
	b.Settle(w, took)
	b.Report(pool.Success)
	b.Release()
}

// share returns how many of 100 picks b gets, one at a time.
func (f *fleet) share(b *pool.Backend) int {
	n := 0
	for range 100 {
		got := f.picker.Pick(0)
		if got == b {
			n++
		}
		got.Release()
	}
	return n
}

// hold picks n requests that do not end, and returns how many of them each backend has.
func (f *fleet) hold(n int) []int64 {
	for range n {
		f.picker.Pick(0).Await()
	}
	return inFlight(f.backends)
}

func TestPeakEWMASlowBackend(t *testing.T) {
	f := newFleet(t, 1, 1)
	f.serve(f.backends[1], 10*time.Millisecond)
	f.serve(f.backends[0], 2*time.Second)
	f.serve(f.backends[1], 10*time.Millisecond)
	if n := f.share(f.backends[0]); n != 0 {
		t.Errorf("the slow one gets %d of 100", n)
	}
	// One slow response counts for some time only; then one request tries again.
	for range 600 {
		f.now += 90 * time.Millisecond
		f.serve(f.backends[1], 10*time.Millisecond)
	}
	if n := f.share(f.backends[0]); n != 100 {
		t.Errorf("a minute later the slow one gets %d of 100, one at a time", n)
	}
	if got := f.hold(20); got[0] != 1 {
		t.Errorf("before the look is over: %v", got)
	}
}

// A backend that stops responding gives no new times. Its requests in flight show it.
func TestPeakEWMAStalledBackend(t *testing.T) {
	f := newFleet(t, 1, 1, 1)
	for _, b := range f.backends {
		f.serve(b, 10*time.Millisecond)
	}
	stalled := f.backends[0]
	stalled.Reserve()
	stalled.Await()
	f.now += 5 * time.Second
	for range 100 {
		for _, b := range f.backends[1:] {
			f.serve(b, 10*time.Millisecond)
		}
	}
	if got := f.hold(40); got[0] != 1 {
		t.Errorf("the stalled one was given more: %v", got)
	}
}

// A backend that fails at once has few requests in flight and fast responses: it must not
// look like the best one.
func TestPeakEWMAFailingBackend(t *testing.T) {
	for _, outcome := range []pool.Outcome{pool.Connect, pool.Reset, pool.Status} {
		for _, known := range []bool{true, false} {
			f := newFleet(t, 1, 1, 1)
			for i, b := range f.backends {
				if i > 0 || known {
					f.serve(b, 10*time.Millisecond)
				}
			}
			for _, b := range f.backends[1:] {
				for range 10 { // the others are busy, the failing one is not
					b.Reserve()
					b.Await()
				}
			}
			failed := 0
			for range 1000 {
				b := f.picker.Pick(0)
				w := b.Await()
				if b == f.backends[0] {
					failed++
					b.Settle(w, 0)
					b.Report(outcome)
				} else {
					b.Settle(w, 10*time.Millisecond)
				}
				b.Release()
				f.now += 10 * time.Microsecond
			}
			if failed > 10 {
				t.Errorf("outcome %d, known %v: %d of 1,000 requests went to the one that fails", outcome, known, failed)
			}
		}
	}
}

// A fresh backend gets a request at once, and only a part of the others' load before its first response.
func TestPeakEWMAColdStart(t *testing.T) {
	f := newFleet(t, 1, 1, 1, 1)
	for _, b := range f.backends[1:] {
		f.serve(b, 10*time.Millisecond)
	}
	got := f.hold(100)
	if fresh := got[0]; fresh < 1 || fresh > 12 {
		t.Errorf("in flight: %v; the first is fresh", got)
	}
	for _, n := range got[1:] {
		if n < 25 {
			t.Errorf("in flight: %v; the first is fresh", got)
		}
	}
	if all := newFleet(t, 1, 1, 1, 1).hold(100); all[0] < 20 || all[1] < 20 || all[2] < 20 || all[3] < 20 {
		t.Errorf("all fresh: %v", all)
	}
}

// Differences that are noise do not matter: one request at a time is spread.
func TestPeakEWMASpreadsAmongFastBackends(t *testing.T) {
	f := newFleet(t, 1, 1, 1)
	for i, b := range f.backends {
		f.serve(b, time.Duration(200+100*i)*time.Microsecond)
	}
	for i, b := range f.backends {
		if n := f.share(b); n < 15 {
			t.Errorf("backend %d gets %d of 100", i, n)
		}
	}
}

func TestPeakEWMAHonoursWeights(t *testing.T) {
	f := newFleet(t, 3, 1)
	for _, b := range f.backends {
		f.serve(b, 10*time.Millisecond)
	}
	if got := f.hold(100); got[0] < 72 || got[0] > 78 {
		t.Errorf("of weights 3 and 1: %v", got)
	}
}
