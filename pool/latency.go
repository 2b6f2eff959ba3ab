package pool

import (
	"math"
	"sync/atomic"
	"time"
)

// Clock returns the nanoseconds since some moment. It never goes back. Pools and backends have a Clock so that
// simulations can use their own time.
type Clock func() int64

var processStart = time.Now()

// Monotonic is the Clock of the process, and the default for a nil Clock.
func Monotonic() int64 { return int64(time.Since(processStart)) }

const (
	// tickShift makes ticks of nanoseconds: 2²⁰ ns, about a millisecond.
	tickShift = 20
	tick      = 1 << tickShift
	// peakMemory is the time in which a peak decays to 1/e, after which a slow backend is tried again (Finagle's
	// decayTime).
	peakMemory = 10 * time.Second
	// firstFailure is the cost of a backend that failed before its first response.
	firstFailure = float64(time.Second)
	// quickFailure is the time below which a failure says nothing about latency.
	quickFailure = 10 * time.Millisecond
	// worstPeak bounds the peak that failures can cause: from there it takes a minute and a half to decay to 30 ms.
	worstPeak = 5 * float64(time.Minute)
)

// peak is a moving average of the times to a response head. A longer time replaces it at once, and it decays from
// there with peakMemory (Finagle's peak EWMA). It is weighted by time and not by count, so that a busy backend does
// not forget faster.
//
// It is one word, which changes atomically: above, nanoseconds as a float32, below, the tick of the last change
// modulo 2³² (52 days). 0: nothing was observed.
type peak struct{ word atomic.Uint64 }

func packPeak(ns float64, tick uint32) uint64 {
	return uint64(math.Float32bits(float32(ns)))<<32 | uint64(tick)
}

func unpackPeak(word uint64) (ns float64, tick uint32) {
	return float64(math.Float32frombits(uint32(word >> 32))), uint32(word)
}

// ticksBetween returns the ticks from then to at; 0 if at is earlier by up to a minute, since requests that end at
// the same moment are not in order.
func ticksBetween(then, at uint32) uint32 {
	const minute = uint32(time.Minute / tick)
	if passed := at - then; passed < math.MaxUint32-minute {
		return passed
	}
	return 0
}

// kept is the share of a peak that is left after some ticks: exp(-ticks/peakMemory), accurate to 0.2 %. It is cheaper
// than math.Exp, as a pick may need 32 of these.
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

// change replaces the peak by the result of next, which gets it and the share of it that is left.
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

// observe adds the time of a response.
func (p *peak) observe(now int64, d time.Duration) {
	p.change(now, func(was, left float64) float64 {
		return max(float64(d), was*left+float64(d)*(1-left))
	})
}

// raise applies a time in which no response came. A short one is not applied as the first value, or the next failure
// would not count as firstFailure.
func (p *peak) raise(now int64, d time.Duration) {
	if d < quickFailure && p.word.Load() == 0 {
		return
	}
	p.change(now, func(was, left float64) float64 { return max(float64(d), was*left) })
}

// fail makes a failing backend expensive: its next response may be fast and worthless. Doubling adapts to the pool,
// whether its responses take a millisecond or a minute.
func (p *peak) fail(now int64) {
	p.change(now, func(was, left float64) float64 {
		if was == 0 {
			return firstFailure
		}
		return min(2*max(was*left, 1), max(was, worstPeak))
	})
}

// waiting counts the requests that wait for a response head, and sums the ticks at which they began, which gives
// their mean age. The count is in the upper 16 bits and the sum below, so that both change atomically. An overflow of
// the count corrects itself when those requests have ended. Ticks are modulo 2³¹ (26 days); requests that wait across
// the wrap have no age until they end.
type waiting struct{ word atomic.Uint64 }

const (
	sumBits  = 48
	turnBits = 31
	turn     = 1<<turnBits - 1
)

// Waiting is one request's part of a backend's waiting requests; the zero value is none.
type Waiting uint64

// Await records that a request waits for a response head of b, or for a connection. The result is for Settle.
func (b *Backend) Await() Waiting {
	w := max(Waiting(b.clock()>>tickShift)&turn, 1)
	b.waiting.word.Add(1<<sumBits + uint64(w))
	return w
}

// Settle ends what Await began; it is called exactly once. took is the time to a response head; 0 if there was none,
// or one that means failure. In that case a long time since Await raises the peak, but a short one never lowers it: a
// backend that fails fast must not look fast.
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

// Latency is how long recent requests waited for a response head.
type Latency struct {
	Peak float64 // nanoseconds of recent slow responses; 0: no response and no failure yet
	Age  float64 // nanoseconds that the requests that are waiting have waited so far, on average
	Idle bool    // none is waiting
}

// Latency returns the times at a moment of the backend's clock. A backend that has stopped responding only shows by
// the age.
//
// The peak decays with time only while the backend is idle. So one request tries a backend that was slow, while the
// others wait for its result.
func (b *Backend) Latency(now int64) Latency {
	ns, then := unpackPeak(b.peak.word.Load())
	at := now >> tickShift
	if word := b.waiting.word.Load(); word>>sumBits != 0 {
		n := word >> sumBits
		l := Latency{Peak: ns}
		// A request may have begun to wait after now; the difference is negative then, and not an age.
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
