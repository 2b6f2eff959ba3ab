package netloop

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

func TestPost(t *testing.T) {
	ls := startLoops(t, Options{Loops: 2})
	const each = 2000
	var ran [2]int
	collect(8, func(i int) {
		l := ls.All()[i%2]
		for range each {
			l.Post(TaskFunc(func() { ran[l.Index()]++ }))
		}
	})
	for i, l := range ls.All() {
		on(t, l, func() {
			if ran[i] != 4*each {
				t.Errorf("loop %d ran %d of %d tasks", i, ran[i], 4*each)
			}
		})
	}
}

type signal chan struct{}

func (s signal) Run() { s <- struct{}{} }

func TestPostAllocatesNothing(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	done := make(signal)
	n := testing.AllocsPerRun(2000, func() {
		l.Post(done)
		<-done
	})
	if n > 0.1 {
		t.Errorf("%v allocations for a task", n)
	}
}

// TestLater: tasks run after the events of the batch, and tasks that they add in the next one.
func TestLater(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	order := make(chan string, 10)
	l.Post(TaskFunc(func() {
		l.Later(TaskFunc(func() {
			order <- "later"
			at := l.count[batches]
			l.Later(TaskFunc(func() {
				if l.count[batches] == at {
					order <- "the same batch"
				}
				order <- "much later"
			}))
		}))
		order <- "now"
	}))
	for _, want := range []string{"now", "later", "much later"} {
		if got := wait(t, order, want); got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}

func TestGo(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	release, done := make(chan struct{}), make(chan bool, 1)
	worked := false
	on(t, l, func() {
		l.Go(func(context.Context) { <-release; worked = true }, TaskFunc(func() { done <- worked }))
	})
	on(t, l, func() {}) // the loop is not blocked meanwhile
	close(release)
	if !wait(t, done, "the work") {
		t.Error("done before the work")
	}
}

// TestStop: stopping waits for work that has begun, and afterwards Post returns false.
func TestStop(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ls := New(Options{Loops: 2})
	if err := ls.Start(ctx); err != nil {
		t.Fatal(err)
	}
	l := ls.All()[1]
	done := make(chan struct{})
	on(t, l, func() {
		l.Go(func(ctx context.Context) { <-ctx.Done() }, TaskFunc(func() { close(done) }))
	})
	cancel()
	ls.Wait()
	select {
	case <-done:
	default:
		t.Error("the work was not waited for")
	}
	if l.Post(TaskFunc(func() {})) {
		t.Error("a task was taken after the end")
	}
}

func TestDelay(t *testing.T) {
	var worst atomic.Int64
	ls := startLoops(t, Options{Loops: 1, Delay: func(loop int, d time.Duration) {
		if loop != 0 || d < 0 {
			t.Errorf("loop %d, %v", loop, d)
		}
		worst.Store(max(worst.Load(), int64(d)))
	}})
	l := ls.All()[0]
	const busy = 30 * time.Millisecond
	running, waiting, done := make(chan struct{}), make(chan struct{}), make(signal, 1)
	l.Post(TaskFunc(func() {
		close(running)
		<-waiting
		for end := time.Now().Add(busy); time.Now().Before(end); {
		}
	}))
	<-running
	l.Post(done)
	close(waiting)
	wait(t, done, "the task that waits")
	on(t, l, func() {})
	if got := time.Duration(worst.Load()); got < busy {
		t.Errorf("a task waited for one of %v, and the longest delay was %v", busy, got)
	}
}
