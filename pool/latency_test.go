package pool

import (
	"math"
	"sync"
	"testing"
	"time"
)

func TestKeptIsADecay(t *testing.T) {
	last := 1.1
	for ticks := range uint32(300_000) { // five minutes
		got := kept(ticks)
		want := math.Exp(-float64(ticks) * tick / float64(peakMemory))
		if math.Abs(got-want) > 0.002*want || got >= last {
			t.Fatalf("after %d ticks %v is left, want %v, less than %v", ticks, got, want, last)
		}
		last = got
	}
	if got := kept(math.MaxUint32 / 2); got != 0 {
		t.Errorf("after weeks %v is left", got)
	}
}

// timed is a backend in simulated time.
func timed() (b *Backend, now *time.Duration) {
	now = new(time.Duration)
	*now = time.Minute
	return NewBackendWith(Member{Address: "a"}, func() int64 { return int64(*now) }), now
}

func near(t *testing.T, what string, got float64, want time.Duration) {
	t.Helper()
	if math.Abs(got-float64(want)) > 0.02*float64(want)+tick {
		t.Errorf("%s: %v, want about %v", what, time.Duration(got), want)
	}
}

func TestPeakRisesAtOnceAndDecays(t *testing.T) {
	b, now := timed()
	if l := b.Latency(b.Now()); l != (Latency{Idle: true}) {
		t.Errorf("at first: %+v", l)
	}
	respond := func(took time.Duration) { b.Settle(b.Await(), took) }
	respond(20 * time.Millisecond)
	near(t, "after the first", b.Latency(b.Now()).Peak, 20*time.Millisecond)
	respond(2 * time.Second)
	near(t, "after a slow one", b.Latency(b.Now()).Peak, 2*time.Second)
	for range 1000 {
		respond(20 * time.Millisecond)
	}
	near(t, "after a thousand in no time", b.Latency(b.Now()).Peak, 2*time.Second)
	for range 100 {
		*now += 100 * time.Millisecond
		respond(20 * time.Millisecond)
	}
	near(t, "after ten seconds of quick ones", b.Latency(b.Now()).Peak, 748*time.Millisecond)
	*now += 5 * time.Minute
	if l := b.Latency(b.Now()); l.Peak > float64(time.Millisecond) || l.Peak == 0 {
		t.Errorf("idle for minutes: %+v; must be small, and known", l)
	}
	w := b.Await()
	near(t, "while one has a look", b.Latency(b.Now()).Peak, 748*time.Millisecond)
	b.Settle(w, 20*time.Millisecond)
	near(t, "after the look", b.Latency(b.Now()).Peak, 20*time.Millisecond)
}

// Waiting requests show by their age, and have no effect after they have ended.
func TestAgeOfWaitingRequests(t *testing.T) {
	b, now := timed()
	first := b.Await()
	*now += 3 * time.Second
	second := b.Await()
	*now += time.Second
	l := b.Latency(b.Now())
	near(t, "of 4 s and 1 s", l.Age, 2500*time.Millisecond)
	if l.Idle || l.Peak != 0 {
		t.Errorf("%+v", l)
	}
	if l := b.Latency(int64(time.Second)); l.Age != 0 {
		t.Errorf("seen from before they began: %+v", l)
	}
	b.Settle(first, 0)
	near(t, "of the later one", b.Latency(b.Now()).Age, time.Second)
	near(t, "without a response for 4 s", b.Latency(b.Now()).Peak, 4*time.Second)
	b.Settle(second, time.Second)
	b.Settle(0, time.Hour) // the zero Waiting has no effect
	if l := b.Latency(b.Now()); !l.Idle || l.Age != 0 || b.waiting.word.Load() != 0 {
		t.Errorf("in the end: %+v", l)
	}
}

// Failures make a backend expensive, by doubling, and an immediate failure never makes it cheap.
func TestFailuresAreExpensive(t *testing.T) {
	b, _ := timed()
	fail := func() float64 {
		b.Settle(b.Await(), 0)
		b.Report(Status)
		return b.Latency(b.Now()).Peak
	}
	near(t, "the first ever", fail(), time.Second)
	near(t, "the second", fail(), 2*time.Second)
	for range 100 {
		fail()
	}
	near(t, "a hundred", fail(), 5*time.Minute)

	b, _ = timed()
	b.Settle(b.Await(), 10*time.Millisecond)
	near(t, "the first after a response of 10 ms", fail(), 20*time.Millisecond)
	b.Settle(b.Await(), 0)
	b.Report(Aborted)
	near(t, "a client that left", b.Latency(b.Now()).Peak, 20*time.Millisecond)
}

// The clock's ticks go round in 52 days, and a peak from before is not taken for one of the future.
func TestTicksWrapAround(t *testing.T) {
	b, now := timed()
	*now = time.Duration(1<<32*tick) - 5*time.Second
	b.Settle(b.Await(), time.Second)
	*now += 10 * time.Second
	near(t, "ten seconds later", b.Latency(b.Now()).Peak, 368*time.Millisecond)
	b.Settle(b.Await(), 500*time.Millisecond)
	near(t, "and a response", b.Latency(b.Now()).Peak, 684*time.Millisecond)
}

func TestManyWaitAtOnce(t *testing.T) {
	b := NewBackend(Member{Address: "a"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				w := b.Await()
				if l := b.Latency(b.Now()); l.Idle || l.Age > float64(time.Minute) {
					t.Errorf("while one waits: %+v", l)
				}
				b.Settle(w, time.Duration(i%3)*time.Millisecond)
			}
		})
	}
	wg.Wait()
	if b.waiting.word.Load() != 0 || !b.Latency(b.Now()).Idle {
		t.Error("somebody still waits")
	}
}

// TestAgeAfterAYear: the age does not depend on how long the process has run or on how many requests wait.
func TestAgeAfterAYear(t *testing.T) {
	for _, up := range []time.Duration{time.Hour, 30 * 24 * time.Hour, 400 * 24 * time.Hour} {
		now := int64(up)
		b := NewBackendWith(Member{Address: "a"}, func() int64 { return now })
		waits := make([]Waiting, 60_000)
		for i := range waits {
			waits[i] = b.Await()
		}
		now += 100 * tick
		if age := b.Latency(now).Age / tick; age < 99 || age > 101 {
			t.Errorf("after %v: %v ticks, want 100", up, age)
		}
		for _, w := range waits {
			b.Settle(w, 0)
		}
		l := b.Latency(now)
		if !l.Idle || l.Peak < 98*tick || l.Peak > 101*tick {
			t.Errorf("after %v and all failed: %+v", up, l)
		}
	}
}

// TestFirstFailureIsExpensive: a backend that fails at once and never responded costs the same whenever within a tick it
// failed.
func TestFirstFailureIsExpensive(t *testing.T) {
	for _, took := range []time.Duration{0, tick / 2, tick, 3 * tick / 2, 2 * tick, 5 * tick} {
		b, now := timed()
		*now += tick / 2
		w := b.Await()
		*now += took
		b.Settle(w, 0)
		b.Report(Reset)
		if l := b.Latency(b.Now()); l.Peak != firstFailure {
			t.Errorf("failed after %v: %v", took, time.Duration(l.Peak))
		}
	}
}
