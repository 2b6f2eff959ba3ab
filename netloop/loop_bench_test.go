package netloop

import (
	"context"
	"testing"
	"time"
)

// BenchmarkPost is a task for a sleeping loop, and back.
func BenchmarkPost(b *testing.B) {
	l := benchLoop(b)
	done := make(signal)
	b.ReportAllocs()
	for b.Loop() {
		l.Post(done)
		<-done
	}
}

// BenchmarkTimer is a sleep of a loop until a timer expires, less the time slept: what it costs, not how long it takes.
func BenchmarkTimer(b *testing.B) {
	l := benchLoop(b)
	done := make(chan struct{})
	c := &conn{}
	n := b.N
	before := cpuTime()
	c.expired = func(c *conn) {
		if n--; n > 0 {
			c.timer.Reset(time.Millisecond)
		} else {
			close(done)
		}
	}
	l.Post(TaskFunc(func() { c.timer.Init(l, c); c.timer.Reset(time.Millisecond) }))
	<-done
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkTimerReset is what each request does: a deadline is put off.
func BenchmarkTimerReset(b *testing.B) {
	l := still()
	c := &conn{}
	c.timer.Init(l, c)
	for b.Loop() {
		l.clock++
		c.timer.Reset(time.Minute)
	}
}

func benchLoop(b *testing.B) *Loop {
	ctx, cancel := context.WithCancel(context.Background())
	ls := New(Options{Loops: 1})
	if err := ls.Start(ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cancel(); ls.Wait() })
	return ls.All()[0]
}
