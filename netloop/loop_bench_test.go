package netloop

import (
	"context"
	"testing"
	"time"
)

// BenchmarkPost measures a task for a sleeping loop, and the way back.
func BenchmarkPost(b *testing.B) {
	l := benchLoop(b)
	done := make(signal)
	b.ReportAllocs()
	for b.Loop() {
		l.Post(done)
		<-done
	}
}

// BenchmarkTimer measures the CPU time of a loop's sleep until a timer expires.
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

// BenchmarkTimerReset measures postponing a deadline, which each request does.
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
