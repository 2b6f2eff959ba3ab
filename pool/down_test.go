package pool

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// dying returns the options of a pool with one backend that accepts one request at a time, and the switch that says whether
// it accepts connections.
func dying() (Options, *atomic.Bool) {
	accepts := &atomic.Bool{}
	o := single(100, 0)
	o.WhileDown = time.Second
	o.Dial = func(context.Context, *Backend) error {
		if accepts.Load() {
			return nil
		}
		return context.DeadlineExceeded
	}
	return o, accepts
}

// TestQueueAfterPoolWasDown: after the requests that waited for a pool to come up have been served, the queue works as before.
func TestQueueAfterPoolWasDown(t *testing.T) {
	o, accepts := dying()
	running(t, o, func(t *testing.T, p *Pool) {
		l := line{pool: p}
		a := p.Backends()[0]
		a.Refused("connection refused")
		l.join(t.Context(), "waits for the pool")
		accepts.Store(true)
		time.Sleep(200 * time.Millisecond)
		expect(t, "up again", l.seen.take(), []string{"waits for the pool got a"})
		a.Release()
		b := mustPick(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l.join(ctx, "waits for room")
		b.Release()
		expect(t, "after a release", l.seen.take(), []string{"waits for room got a"})
	})
}

// TestDownAgainWhileWaitersAreAdmitted: a pool that goes down, or is taken out, while waiting requests are admitted one after another
// refuses the others in time.
func TestDownAgainWhileWaitersAreAdmitted(t *testing.T) {
	for _, taken := range []bool{false, true} {
		o, accepts := dying()
		o.Members[0].MaxConns = 0
		running(t, o, func(t *testing.T, p *Pool) {
			l := line{pool: p}
			a := p.Backends()[0]
			a.Refused("connection refused")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for range 100 {
				l.join(ctx, "one")
			}
			accepts.Store(true)
			for len(l.seen.take()) == 0 {
				time.Sleep(time.Millisecond)
			}
			accepts.Store(false)
			if taken {
				p.SetAdmin(a, Maint, "by hand")
			} else {
				a.Refused("connection refused")
				time.Sleep(2 * time.Second)
			}
			synctest.Wait()
			if n := p.Status().Waiting; n != 0 {
				t.Errorf("taken out %v: %d still wait", taken, n)
			}
		})
	}
}

// TestShorterWhileDown: a changed configuration applies to waiting requests.
func TestShorterWhileDown(t *testing.T) {
	o, _ := dying()
	o.WhileDown = time.Hour
	running(t, o, func(t *testing.T, p *Pool) {
		l := line{pool: p}
		p.Backends()[0].Refused("connection refused")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l.join(ctx, "one")
		o.WhileDown = time.Second
		p.Apply(o)
		time.Sleep(2 * time.Second)
		expect(t, "after while_down", l.seen.take(), []string{"one: no usable backend"})
	})
}
