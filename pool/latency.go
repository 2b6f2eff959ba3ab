package pool

import (
	"math"
	"sync/atomic"
	"time"
)

// Clock tells the nanoseconds since a moment of its own. It never goes back. Pools and backends have one so
// that a simulation can run in a time of its own; it measures, and names no time of day.
type Clock func() int64

var processStart = time.Now()

// Monotonic is the Clock of the process, and what a nil Clock stands for.
func Monotonic() int64 { return int64(time.Since(processStart)) }

const (
	// tickShift makes ticks of nanoseconds: 2²⁰ ns, about a millisecond.
	tickShift = 20
	tick      = 1 << tickShift
	// peakMemory is the time in which a peak decays to 1/e, and so the time in which a slow backend is
	// believed to have recovered (Finagle's decayTime).
	peakMemory = 10 * time.Second
	// firstFailure is what a backend costs that failed before it ever answered.
	firstFailure = float64(time.Second)
	// worstPeak bounds what failures can add up to: from here it takes a minute and a half to decay to 30 ms.
	worstPeak = 5 * float64(time.Minute)
)

// peak is a moving average of the times to a response head that takes over any time that is longer than itself at
// once, and comes down from there with peakMemory (Finagle's peak EWMA). It weighs by time and not by
// number: a busy backend does not forget faster.
//
// It is one word, so that it changes in one step: nanoseconds as a float32 above, below it the tick of the last
// change, modulo 2³² (52 days). 0: nothing was ever observed.
type peak struct{ word atomic.Uint64 }

func packPeak(ns float64, tick uint32) uint64 {
	return uint64(math.Float32bits(float32(ns)))<<32 | uint64(tick)
}

func unpackPeak(word uint64) (ns float64, tick uint32) {
	return float64(math.Float32frombits(uint32(word >> 32))), uint32(word)
}

// ticksBetween returns the ticks from one to another; 0 if the other was earlier, by up to a minute: requests
// that end at the same moment do not come in order.
func ticksBetween(then, at uint32) uint32 {
	const minute = uint32(time.Minute / tick)
	if passed := at - then; passed < math.MaxUint32-minute {
		return passed
	}
	return 0
}

// kept is the share of a peak that is left after some ticks: e to the power of minus their part of peakMemory, to
// two thousandths. It is cheaper than math.Exp, as a pick may ask for 32 of these.
func kept(ticks uint32) float64 {
	const halvings = math.Log2E * tick / float64(peakMemory) // in a tick
	y := float64(ticks) * halvings
	n := uint64(y)
	if n > 1000 {
		return 0
	}
	f := y - float64(n)
	half := math.Float64frombits((1023 - n) << 52) // 2⁻ⁿ
	const a, b = math.Ln2, math.Ln2 * math.Ln2 / 2 // of the series of 2⁻ᶠ; one more term makes 2⁻¹ a half
	return half * (1 - f*(a-f*(b-f*(0.5-a+b))))
}

// change replaces the peak by what next makes of it and the share of it that is left by now.
func (p *peak) change(now int64, next func(was, left float64) float64) {
	at := uint32(now >> tickShift)
	for {
		old := p.word.Load()
		was, then := unpackPeak(old)
		passed := ticksBetween(then, at)
		if passed == 0 && old != 0 {
			at = then
		}
		ns := max(next(was, kept(passed)), 1)
		if p.word.CompareAndSwap(old, packPeak(ns, at)) {
			return
		}
	}
}

// observe adds the time of an answer.
func (p *peak) observe(now int64, d time.Duration) {
	p.change(now, func(was, left float64) float64 {
		return max(float64(d), was*left+float64(d)*(1-left))
	})
}

// raise takes over a time in which no answer came.
func (p *peak) raise(now int64, d time.Duration) {
	p.change(now, func(was, left float64) float64 { return max(float64(d), was*left) })
}

// fail makes a failing backend dear: its next answer may come at once and be worth nothing. Doubling
// finds what is dear in this pool by itself, whether answers take a millisecond or a minute.
func (p *peak) fail(now int64) {
	p.change(now, func(was, left float64) float64 {
		if was == 0 {
			return firstFailure
		}
		return min(2*max(was*left, 1), max(was, worstPeak))
	})
}

// waiting counts the requests that wait for a response head, and adds up the ticks at which they began to:
// together they tell the mean age. The count is in the upper 16 bits and the sum below, in one word, so that both
// change in one step. If the count ran over, it would be mended when those requests have ended; the sum cannot, as the
// ticks are taken modulo 2³¹ (26 days): who waits at a turn has no age until he has ended.
type waiting struct{ word atomic.Uint64 }

const (
	sumBits  = 48
	turnBits = 31
	turn     = 1<<turnBits - 1
)

// Waiting is one request's part of a backend's waiting requests. The zero value is no part.
type Waiting uint64

// Await notes that a request waits for a response head of b, or for a connection to ask for it. What
// it returns is for Settle.
func (b *Backend) Await() Waiting {
	w := max(Waiting(b.clock()>>tickShift)&turn, 1)
	b.waiting.word.Add(1<<sumBits + uint64(w))
	return w
}

// Settle ends what Await began, exactly once. Took is the time to a response head; 0 if there was none, or one
// that says that the backend failed. Then the time since Await makes the backend slower if that was long, but
// never faster: who fails at once must not look quick.
func (b *Backend) Settle(w Waiting, took time.Duration) {
	if w == 0 {
		return
	}
	now := b.clock()
	if took > 0 {
		b.peak.observe(now, took)
	} else if waited := (uint64(now>>tickShift) - uint64(w) - 1) & turn; waited < 1<<(turnBits-1) {
		b.peak.raise(now, time.Duration(waited<<tickShift))
	}
	b.waiting.word.Add(-(1<<sumBits + uint64(w)))
}

// Now returns the time of the backend's clock.
func (b *Backend) Now() int64 { return b.clock() }

// Latency is what the requests before tell about the next one's wait for a response head.
type Latency struct {
	Peak float64 // nanoseconds of the slow ones of late; 0: none was ever answered or failed
	Age  float64 // nanoseconds that those who wait at this moment have waited so far, on average
	Idle bool    // nobody waits
}

// Latency returns the times at a moment of the backend's clock. A backend that has stopped answering shows
// it by the age and by nothing else.
//
// The peak decays with time only while the backend is idle. That lets one request have a look at a
// backend that was slow; the others wait for what it finds.
func (b *Backend) Latency(now int64) Latency {
	ns, then := unpackPeak(b.peak.word.Load())
	at := now >> tickShift
	if word := b.waiting.word.Load(); word>>sumBits != 0 {
		n := word >> sumBits
		l := Latency{Peak: ns}
		// Somebody may have begun to wait after now: the difference is then below zero, and no age.
		if sum := (n*(uint64(at)&turn) - word) & (1<<sumBits - 1); sum < 1<<(sumBits-1) {
			l.Age = float64(sum) / float64(n) * tick
		}
		return l
	}
	if ns != 0 {
		ns = max(ns*kept(ticksBetween(then, uint32(at))), 1)
	}
	return Latency{Peak: ns, Idle: true}
}
