package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func single(limit int, timeout time.Duration) Options {
	return Options{Members: []Member{{Address: "a", MaxConns: 1}}, QueueLimit: limit, QueueTimeout: timeout}
}

// line is a sequence of waiting requests, with their results in order.
type line struct {
	pool *Pool
	seen events
}

// join adds a request and returns when it waits or has its result.
func (l *line) join(ctx context.Context, name string, tried ...*Backend) {
	go func() {
		b, err := l.pool.Pick(ctx, 0, tried)
		if err != nil {
			l.seen.add(name + ": " + err.Error())
			return
		}
		l.seen.add(name + " got " + b.Address())
	}()
	synctest.Wait()
}

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	running(t, single(3, 0), func(t *testing.T, p *Pool) {
		l := line{pool: p}
		a := mustPick(t, p)
		for _, name := range []string{"1", "2", "3"} {
			l.join(t.Context(), name)
		}
		expectError(t, p, ErrQueueFull)
		if n := p.Status().Waiting; n != 3 {
			t.Errorf("%d waiting", n)
		}
		for _, name := range []string{"1", "2", "3"} {
			a.Release()
			expect(t, "after a release", l.seen.take(), []string{name + " got a"})
		}
		a.Release()
		if n, waiting := a.InFlight(), p.queue.waiting.Load(); n != 0 || waiting != 0 {
			t.Errorf("%d in flight, %d waiting", n, waiting)
		}
		if n := p.metrics.queueRejected.Get(); n != 1 {
			t.Errorf("%d rejected", n)
		}
	})
}

func TestNoQueue(t *testing.T) {
	p := New(single(0, time.Second))
	defer p.Close()
	mustPick(t, p)
	expectError(t, p, ErrFull)
	if n := p.metrics.queueRejected.Get(); n != 1 {
		t.Errorf("%d rejected", n)
	}
}

func TestQueueTimeout(t *testing.T) {
	running(t, single(10, 5*time.Second), func(t *testing.T, p *Pool) {
		mustPick(t, p)
		start := time.Now()
		expectError(t, p, ErrQueueTimeout)
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("waited %v", waited)
		}
		if p.queue.waiting.Load() != 0 {
			t.Error("still waiting")
		}
	})
}

func TestCancelledWaiterLeaves(t *testing.T) {
	running(t, single(2, 0), func(t *testing.T, p *Pool) {
		l := line{pool: p}
		a := mustPick(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		l.join(ctx, "1")
		l.join(t.Context(), "2")
		cancel()
		expect(t, "after the cancel", l.seen.take(), []string{"1: context canceled"})
		l.join(t.Context(), "3") // there is a place in the queue again
		a.Release()
		expect(t, "after the release", l.seen.take(), []string{"2 got a"})
		a.Release()
		expect(t, "after the second release", l.seen.take(), []string{"3 got a"})
	})
}

// A waiter that is served and cancelled at the same moment either has the backend or gives it back.
func TestCancelledWhileServed(t *testing.T) {
	running(t, single(2, 0), func(t *testing.T, p *Pool) {
		for range 60 {
			l := line{pool: p}
			a := mustPick(t, p)
			ctx, cancel := context.WithCancel(t.Context())
			l.join(ctx, "1")
			cancel()
			a.Release() // before the waiter has had time to leave the queue
			if got := l.seen.take(); got[0] == "1 got a" {
				a.Release()
			}
			if n := a.InFlight(); n != 0 {
				t.Fatalf("%d in flight after the last request", n)
			}
		}
	})
}

func TestChangesWakeWaiters(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p *Pool, o Options)
		want   string
	}{
		{"a backend joins", func(p *Pool, o Options) { p.SetMembers("dns", at("b")) }, "1 got b, 2 got b"},
		{"the limit goes up", func(p *Pool, o Options) {
			o.Members = []Member{{Address: "a", MaxConns: 3}}
			p.Apply(o)
		}, "1 got a, 2 got a"},
		{"the last one fails", func(p *Pool, o Options) { p.SetActive(p.Backend("a"), false, "refused") },
			"1: no usable backend, 2: no usable backend"},
		{"the last one is drained", func(p *Pool, o Options) { p.SetAdmin(p.Backend("a"), Drain, "by hand") },
			"1: no usable backend, 2: no usable backend"},
		{"the pool closes", func(p *Pool, o Options) { p.Close() }, "1: no usable backend, 2: no usable backend"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := single(5, 0)
			running(t, o, func(t *testing.T, p *Pool) {
				l := line{pool: p}
				a := mustPick(t, p)
				l.join(t.Context(), "1")
				l.join(t.Context(), "2")
				c.change(p, o)
				got := l.seen.take()
				slices.Sort(got) // both are woken at once
				if s := strings.Join(got, ", "); s != c.want {
					t.Errorf("%s, want %s", s, c.want)
				}
				a.Release()
			})
		})
	}
}

func TestEndOfTrialWakesWaiters(t *testing.T) {
	o := Options{
		Members: at("a"), QueueLimit: 5,
		Eject: Eject{Failures: 1, Duration: time.Second, MaxPercent: 100},
	}
	running(t, o, func(t *testing.T, p *Pool) {
		l := line{pool: p}
		a := p.Backend("a")
		a.Report(Reset)
		expectError(t, p, ErrNoBackend)
		time.Sleep(time.Second)
		synctest.Wait()
		l.join(t.Context(), "trial")
		l.join(t.Context(), "1")
		l.join(t.Context(), "2")
		expect(t, "on trial", l.seen.take(), []string{"trial got a"})
		a.Report(Aborted)
		a.Release()
		expect(t, "the next trial", l.seen.take(), []string{"1 got a"})
		a.Report(Success)
		expect(t, "after the trial", l.seen.take(), []string{"2 got a"})
	})
}

// A waiter that has tried the only backend with room lets the next one pass, and gets its own later.
func TestWaiterWithTriedBackends(t *testing.T) {
	o := Options{Members: []Member{{Address: "a", MaxConns: 1}, {Address: "b", MaxConns: 1}}, QueueLimit: 5}
	running(t, o, func(t *testing.T, p *Pool) {
		l := line{pool: p}
		a, b := mustPick(t, p), mustPick(t, p)
		l.join(t.Context(), "retry", a)
		l.join(t.Context(), "1")
		a.Release()
		expect(t, "a is free", l.seen.take(), []string{"1 got a"})
		b.Release()
		expect(t, "b is free", l.seen.take(), []string{"retry got b"})
	})
}

// A random schedule of picks, releases, cancellations and changes of state, with checks after every step: no request
// waits while a place is free that it may have, no limit is exceeded, the counts are those of the requests that hold
// a backend, and the results are in order.
func TestQueueModel(t *testing.T) {
	for seed := range int64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { queueModel(t, seed) })
	}
}

func queueModel(t *testing.T, seed int64) {
	o := Options{
		Members: []Member{
			{Address: "a", MaxConns: 1}, {Address: "b", MaxConns: 2}, {Address: "c", MaxConns: 1, Backup: true},
		},
		NewPicker: rotate, QueueLimit: 6, QueueTimeout: time.Duration(20+seed) * time.Millisecond,
	}
	if seed%2 == 1 {
		o.Sticky = &Sticky{Value: func(address string) string { return address }, Key: "k"}
	}
	if seed%5 == 0 {
		o.WhileDown = 10 * time.Millisecond
	}
	if seed%3 == 0 {
		o.Eject = Eject{Failures: 1, Duration: 10 * time.Millisecond, MaxPercent: 100}
	}
	running(t, o, func(t *testing.T, p *Pool) {
		m := newModel(t, p, seed)
		for range 300 {
			m.step()
			synctest.Wait()
			m.check()
		}
		m.finish()
	})
}

// A crowd on few places, in real time and all at once: every request ends, and no limit is exceeded.
func TestQueueUnderLoad(t *testing.T) {
	p := New(Options{
		Members:   []Member{{Address: "a", MaxConns: 1}, {Address: "b", MaxConns: 2}, {Address: "c", MaxConns: 1}},
		NewPicker: rotate, QueueLimit: 100, QueueTimeout: time.Minute,
	})
	defer p.Close()
	const workers, rounds = 40, 300
	var failures events
	done := make(chan struct{})
	for w := range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range rounds {
				ctx, cancel := context.WithCancel(context.Background())
				if (w+i)%7 == 0 {
					go cancel()
				}
				var tried []*Backend
				if (w+i)%5 == 0 {
					tried = p.Backends()[i%3 : i%3+1]
				}
				b, err := p.Pick(ctx, 0, tried)
				switch {
				case err == nil:
					if n := b.inFlight.Load(); n > int64(b.MaxConns()) {
						failures.add(fmt.Sprintf("%d in flight on %s", n, b.Address()))
					}
					b.Release()
				case !errors.Is(err, context.Canceled):
					failures.add(err.Error())
				}
				cancel()
			}
		}()
	}
	for i := range 300 {
		p.SetActive(p.Backends()[i%3], i/3%2 == 1, "flapping")
		if !p.Backends()[0].Usable() && !p.Backends()[1].Usable() {
			p.SetActive(p.Backends()[i%2], true, "one stays")
		}
	}
	for _, b := range p.Backends() {
		p.SetActive(b, true, "the end")
	}
	for range workers {
		<-done
	}
	// Between two changes there may have been no usable backend, which is also a valid result.
	for _, line := range failures.lines {
		if line != ErrNoBackend.Error() {
			t.Error(line)
		}
	}
	if n := p.queue.waiting.Load(); n != 0 {
		t.Errorf("%d left in the queue", n)
	}
	for _, b := range p.Backends() {
		if b.InFlight() != 0 {
			t.Errorf("%s has %d requests in flight", b.Address(), b.InFlight())
		}
	}
}

// Backends are added and removed under load: connections are closed once, and never during a request.
func TestMembersChangeUnderLoad(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var all events
	var backends []*Backend
	p := New(Options{Members: at("a", "b"), NewPicker: rotate, Connect: connect, OnJoin: func(b *Backend) {
		all.mu.Lock()
		backends = append(backends, b)
		all.mu.Unlock()
	}})
	p.Start(ctx)
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 5000 {
				b, err := p.Pick(ctx, 0, nil)
				if err != nil {
					all.add(err.Error())
					continue
				}
				if Conns[*conns](b).closed.Load() != 0 {
					all.add("picked " + b.Address() + " after its connections were closed")
				}
				b.Report(Success)
				b.Release()
			}
		}()
	}
	for i := range 300 {
		p.SetMembers(SourceConfig, [][]Member{at("a", "b"), at("b", "c"), at("c", "a")}[i%3])
	}
	for range 4 {
		<-done
	}
	cancel()
	p.Wait()
	expect(t, "errors", all.lines, nil)
	for _, b := range backends {
		if c := Conns[*conns](b); c.closed.Load() != 1 || c.early.Load() {
			t.Errorf("%s was closed %d times, early: %v", b.Address(), c.closed.Load(), c.early.Load())
		}
	}
}

// BenchmarkServeQueueWithManyOwners serves a queue in which requests wait for each of a hundred backends.
func BenchmarkServeQueueWithManyOwners(b *testing.B) {
	o := Options{QueueLimit: 1000, Sticky: &Sticky{Value: func(address string) string { return address }, Key: "k"}}
	for i := range 100 {
		o.Members = append(o.Members, Member{Address: fmt.Sprint(i), MaxConns: 1})
	}
	p := New(o)
	ctx, cancel := context.WithCancel(b.Context())
	var waiting sync.WaitGroup
	for _, m := range o.Members {
		if _, err := p.PickSticky(ctx, []byte(m.Address), 0); err != nil {
			b.Fatal(err)
		}
		waiting.Go(func() { _, _ = p.PickSticky(ctx, []byte(m.Address), 0) })
	}
	for p.queue.waiting.Load() < int64(len(o.Members)) {
		time.Sleep(time.Millisecond)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.serveQueue()
	}
	cancel()
	waiting.Wait()
}
