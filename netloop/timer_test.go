package netloop

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// stopwatch is a timer that records when it expired.
type stopwatch struct {
	Timer
	due     time.Duration
	expired []time.Duration
}

func (s *stopwatch) Expired(*Timer) { s.expired = append(s.expired, time.Duration(s.loop.clock)) }

// still returns a loop that does not run, whose clock the test sets.
func still() *Loop { return &Loop{set: New(Options{})} }

func TestTimers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	l := still()
	watches := make([]*stopwatch, 500)
	for i := range watches {
		watches[i] = &stopwatch{}
		watches[i].Init(l, watches[i])
	}
	live := 0
	for range 20_000 {
		w := watches[random.IntN(len(watches))]
		switch random.IntN(4) {
		case 0:
			w.Stop()
			w.due = 0
		case 1, 2:
			d := time.Duration(random.IntN(1000)) * time.Millisecond
			w.Reset(d)
			w.due = time.Duration(l.clock) + d
		case 3:
			l.clock += int64(random.IntN(int(20 * time.Millisecond)))
			l.timers.run(l)
		}
		now := time.Duration(l.clock)
		for _, w := range watches {
			for _, at := range w.expired {
				if w.due == 0 || at < w.due {
					t.Fatalf("expired at %v, due %v", at, w.due)
				}
				w.due = 0
				live++
			}
			w.expired = w.expired[:0]
			if w.due != 0 && now > w.due+2*time.Millisecond+20*time.Millisecond {
				t.Fatalf("due %v, and at %v has not expired", w.due, now)
			}
			if w.Running() != (w.due != 0) {
				t.Fatalf("running: %v, due: %v", w.Running(), w.due)
			}
		}
	}
	if live < 1000 {
		t.Errorf("only %d expired", live)
	}
	for _, w := range watches {
		w.Stop()
	}
	if len(l.timers) != 0 || cap(l.timers) > 1024 {
		t.Errorf("%d of %d left", len(l.timers), cap(l.timers))
	}
}

// TestTimerOfNoTime: a timer that is set again whenever it expires does not keep its loop from anything else.
func TestTimerOfNoTime(t *testing.T) {
	l := still()
	w := &stopwatch{}
	again := &rearm{w: w}
	w.Init(l, again)
	w.Reset(-time.Hour)
	for i := range 5 {
		l.clock += granularity
		l.timers.run(l)
		if again.n != i+1 {
			t.Fatalf("expired %d times after %d rounds", again.n, i+1)
		}
	}
}

type rearm struct {
	w *stopwatch
	n int
}

func (r *rearm) Expired(t *Timer) { r.n++; t.Reset(0) }

// TestTimersOnLoop: a sleeping loop wakes for the next timer, for one that comes earlier than the last one set, and sleeps otherwise.
func TestTimersOnLoop(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	type result struct{ wanted, got time.Duration }
	results := make(chan result, 10)
	start := func(d time.Duration) {
		c := &conn{}
		began := time.Now()
		c.expired = func(*conn) { results <- result{d, time.Since(began)} }
		c.timer.Init(l, c)
		c.timer.Reset(d)
	}
	on(t, l, func() { start(120 * time.Millisecond) })
	on(t, l, func() { start(60 * time.Millisecond) })
	on(t, l, func() { start(30 * time.Millisecond); start(time.Millisecond) })
	for range 4 {
		r := wait(t, results, "a timer")
		if r.got < r.wanted || r.got > r.wanted+5*time.Second {
			t.Errorf("a timer of %v expired after %v", r.wanted, r.got)
		}
	}
	// Postponed ten times, it wakes the loop a few times at most.
	c := &conn{expired: func(*conn) { results <- result{} }}
	on(t, l, func() { c.timer.Init(l, c); c.timer.Reset(100 * time.Millisecond) })
	for range 10 {
		on(t, l, func() { c.timer.Reset(100 * time.Millisecond) })
	}
	before := l.Counters()
	wait(t, results, "the extended timer")
	on(t, l, func() {})
	if after := l.Counters(); after.Wakes-before.Wakes > 6 {
		t.Errorf("woken %d times", after.Wakes-before.Wakes)
	}
}

// TestBuffers: free buffers are kept up to a limit, and released when they are not needed.
func TestBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := still()
		poisoned := 0
		l.buffers.poison = func(b []byte) { poisoned += len(b) }
		l.buffers.trim.Init(l, &l.buffers)
		var lent [][]byte
		for i := range 300 {
			size := []int{1, SmallBuffer, SmallBuffer + 1, LargeBuffer}[i%4]
			b := l.Borrow(size)
			if len(b) < size || len(b) != cap(b) {
				t.Fatalf("%d bytes asked for, %d lent", size, len(b))
			}
			lent = append(lent, b)
		}
		all := int64(150*SmallBuffer + 150*LargeBuffer)
		if l.buffers.lent != all {
			t.Errorf("%d lent, want %d", l.buffers.lent, all)
		}
		for _, b := range lent {
			l.Return(b[:0])
		}
		if l.buffers.lent != 0 || int64(poisoned) != all || l.buffers.kept() != 2*mostKept {
			t.Errorf("%d lent, %d poisoned, %d kept", l.buffers.lent, poisoned, l.buffers.kept())
		}
		b := l.Borrow(1)
		for range 10 {
			l.clock += int64(trimEvery) + granularity
			l.timers.run(l)
		}
		if l.buffers.kept() != 0 || len(l.timers) != 0 {
			t.Errorf("%d kept, %d timers", l.buffers.kept(), len(l.timers))
		}
		l.Return(b)
		defer func() {
			if recover() == nil {
				t.Error("a buffer of another size was taken")
			}
		}()
		l.Return(make([]byte, 100))
	})
}
