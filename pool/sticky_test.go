package pool

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func stickyPool(o Options, addresses ...string) *Pool {
	o.Members = at(addresses...)
	for i := range o.Members {
		o.Members[i].MaxConns = 1
	}
	o.Sticky = &Sticky{Value: func(address string) string { return "of " + address }, Key: "k"}
	return New(o)
}

func TestStickyReturns(t *testing.T) {
	p := stickyPool(Options{}, "a", "b", "c")
	defer p.Close()
	c := p.Backend("c")
	pick := func(value string) string {
		t.Helper()
		b, err := p.PickSticky(t.Context(), []byte(value), 0)
		if err != nil {
			return err.Error()
		}
		b.Release()
		return b.Address()
	}
	for _, tc := range []struct {
		do         func()
		what, want string
	}{
		{func() {}, "as it is", "c"},
		{func() { p.SetAdmin(c, Drain, "") }, "while it drains", "c"},
		{func() { p.SetAdmin(c, Maint, "") }, "in maintenance", "a"},
		{func() { p.SetAdmin(c, Ready, "") }, "ready again", "c"},
		{func() { p.SetActive(c, false, "refused") }, "while it is down", "a"},
		{func() { p.SetActive(c, true, "") }, "up again", "c"},
		{func() {
			o := p.options
			o.Sticky = &Sticky{Value: func(address string) string { return "other " + address }, Key: "l"}
			p.Apply(o)
		}, "with another secret", "a"},
	} {
		tc.do()
		if got := pick("of c"); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.what, got, tc.want)
		}
	}
	if got := pick("other c"); got != "c" {
		t.Errorf("by the new value: %s", got)
	}
	if got := pick("of nobody"); got != "a" {
		t.Errorf("by an unknown value: %s", got)
	}
	if p.Knows([]byte("of c")) || !p.Knows([]byte("other c")) {
		t.Error("Knows goes by another value than PickSticky")
	}
}

// TestStickyWaits: a client whose own backend is full waits for it though others are free, and is served before later ones. If its
// backend is removed meanwhile, it gets another.
func TestStickyWaits(t *testing.T) {
	p := stickyPool(Options{QueueLimit: 10}, "a", "b")
	defer p.Close()
	b := p.Backend("b")
	wait := func() chan *Backend {
		before := p.queue.waiting.Load()
		got := make(chan *Backend, 1)
		go func() {
			picked, _ := p.PickSticky(context.Background(), []byte("of b"), 0)
			got <- picked
		}()
		for p.queue.waiting.Load() == before {
			runtime.Gosched()
		}
		return got
	}
	if !b.Reserve() {
		t.Fatal("b is full")
	}
	first := wait()
	second := wait()
	b.Release()
	if got := <-first; got != b {
		t.Fatalf("the first got %v", got)
	}
	if b.InFlight() != 1 {
		t.Errorf("%d in flight", b.InFlight())
	}
	p.SetActive(b, false, "refused")
	if got := <-second; got != p.Backend("a") {
		t.Errorf("the second got %v", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.SetActive(b, true, "") // its request is still in flight
	if got, err := p.PickSticky(ctx, []byte("of b"), 0); got != nil || err != context.Canceled {
		t.Errorf("a cancelled one got %v, %v", got, err)
	}
}

// TestStickyDrainServesItsQueue: a draining backend serves the requests that wait for it, even when all others are
// full and requests wait for those.
func TestStickyDrainServesItsQueue(t *testing.T) {
	p := stickyPool(Options{QueueLimit: 10}, "a", "b")
	defer p.Close()
	a, b := p.Backend("a"), p.Backend("b")
	a.Reserve()
	b.Reserve()
	p.SetAdmin(b, Drain, "")
	anybody := make(chan *Backend, 1)
	go func() {
		got, _ := p.Pick(context.Background(), 0, nil)
		anybody <- got
	}()
	for p.queue.waiting.Load() != 1 {
		runtime.Gosched()
	}
	own := make(chan *Backend, 1)
	go func() {
		got, _ := p.PickSticky(context.Background(), []byte("of b"), 0)
		own <- got
	}()
	for p.queue.waiting.Load() != 2 {
		runtime.Gosched()
	}
	b.Release()
	if got := <-own; got != b {
		t.Errorf("got %v", got)
	}
	a.Release()
	if got := <-anybody; got != a {
		t.Errorf("the other got %v", got)
	}
}

// TestStickyBackendLeaves: when a backend is removed from the pool, clients that wait for it get another at once, and so does one
// that arrives shortly afterwards.
func TestStickyBackendLeaves(t *testing.T) {
	p := stickyPool(Options{QueueLimit: 10}, "a")
	defer p.Close()
	p.SetMembers("dns", []Member{{Address: "b", MaxConns: 1}})
	b := p.Backend("b")
	if !b.Reserve() {
		t.Fatal("b is full")
	}
	before := p.snapshot.Load()
	got := make(chan *Backend, 1)
	go func() {
		picked, _ := p.PickSticky(t.Context(), []byte("of b"), 0)
		got <- picked
	}()
	for p.queue.waiting.Load() == 0 {
		runtime.Gosched()
	}
	p.SetMembers("dns", nil)
	a := p.Backend("a")
	select {
	case picked := <-got:
		if picked != a {
			t.Fatalf("got %v", picked)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for a backend that has left")
	}
	a.Release()
	if picked, next, err := p.pickIn(before, b, 0, nil); picked != a || next != pickDone {
		t.Errorf("by the snapshot before: %v, %v, %v", picked, next, err)
	}
	a.Release()
	b.Release()
}

// TestStickyFallsBackToAnotherBackend: a client whose own backend stays full is served by another instead of refused: after the
// queue's timeout, or at once if it may not wait.
func TestStickyFallsBackToAnotherBackend(t *testing.T) {
	full := func(o Options) func(t *testing.T, p *Pool) {
		return func(t *testing.T, p *Pool) {
			a, b := p.Backend("a"), p.Backend("b")
			a.Reserve()
			if o.QueueLimit == 1 { // a request waits already
				go func() {
					if got, err := p.PickSticky(t.Context(), []byte("of a"), 0); got != nil {
						t.Errorf("the first got %s, %v", got.Address(), err)
					}
				}()
				synctest.Wait()
			}
			begin, want := time.Now(), time.Duration(0)
			if o.QueueLimit == 10 {
				want = o.QueueTimeout
			}
			got, err := p.PickSticky(t.Context(), []byte("of a"), 0)
			if got != b || time.Since(begin) != want {
				t.Fatalf("limit %d: picked %v, %v after %v", o.QueueLimit, got, err, time.Since(begin))
			}
			if n := p.metrics.queueRejected.Get(); n != 0 {
				t.Errorf("limit %d: %d rejected", o.QueueLimit, n)
			}
			if _, err := p.PickSticky(t.Context(), []byte("of a"), 0); err == nil {
				t.Errorf("limit %d: served though b is full as well", o.QueueLimit)
			}
			time.Sleep(time.Hour)
			if n := p.metrics.queueRejected.Get(); n == 0 {
				t.Errorf("limit %d: nothing counted as rejected", o.QueueLimit)
			}
		}
	}
	for _, limit := range []int{0, 1, 10} {
		o := Options{
			Members: []Member{{Address: "a", MaxConns: 1}, {Address: "b", MaxConns: 1}}, QueueLimit: limit, QueueTimeout: time.Second,
			Sticky: &Sticky{Value: func(address string) string { return "of " + address }, Key: "k"},
		}
		running(t, o, full(o))
	}
}
