package proxy

import (
	"context"
	"testing"
	"time"

	"lb/internal/lbtest"
	"lb/netloop"
)

// TestSurplusExchanges: the loop does not refer to an exchange that is not kept, by a timer that has not expired.
func TestSurplusExchanges(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	loops := netloop.New(netloop.Options{Loops: 1})
	if err := loops.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer loops.Wait()
	defer cancel()
	l := loops.All()[0]
	running, done := 0, make(chan struct{})
	l.Post(netloop.TaskFunc(func() {
		defer close(done)
		w := &Worker{Loop: l}
		var all []*Exchange
		for range keptExchanges + 10 {
			x := w.take(nil)
			x.wait(time.Hour)
			all = append(all, x)
		}
		for _, x := range all {
			w.give(x)
			if x.timer.Running() {
				running++
			}
		}
	}))
	lbtest.Wait(t, "the loop", done)
	if running > keptExchanges {
		t.Errorf("the timers of %d exchanges are running", running)
	}
}
