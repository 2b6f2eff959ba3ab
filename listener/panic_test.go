package listener

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"lb/http1"
	"lb/netloop"
)

// TestPanic: a connection whose code panics outside a request leaves all counters, so that shutdown does not wait for it.
func TestPanic(t *testing.T) {
	var panics atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	loops := netloop.New(netloop.Options{Loops: 1, Panicked: func(any, []byte) { panics.Add(1) }})
	if err := loops.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); loops.Wait() })
	s := start(t, Options{
		Loops: loops, Limits: Limits{Limits: http1.Limits{HeaderTimeout: time.Hour}}, // otherwise that would end the connection
		Refused: func(*http1.Conn, *http1.Refusal) { panic("test") },
	})
	c := dial(t, s)
	c.send("this is no request\r\n\r\n")
	c.closed()
	eventually(t, func() bool { return s.open.Load() == 0 })
	if n := panics.Load(); n != 1 {
		t.Errorf("%d panics", n)
	}
}
