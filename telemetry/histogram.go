package telemetry

import (
	"strconv"
	"sync/atomic"
	"time"
)

// bounds are the upper bounds of the buckets, closest together where web responses usually are. The last bucket has
// none.
var bounds = [...]time.Duration{
	500 * time.Microsecond,
	time.Millisecond,
	2500 * time.Microsecond,
	5 * time.Millisecond,
	10 * time.Millisecond,
	25 * time.Millisecond,
	50 * time.Millisecond,
	100 * time.Millisecond,
	250 * time.Millisecond,
	500 * time.Millisecond,
	time.Second,
	2500 * time.Millisecond,
	5 * time.Second,
	10 * time.Second,
	30 * time.Second,
	60 * time.Second,
}

// Histogram counts durations in fixed buckets without a lock and without allocating. Its methods are safe for concurrent use.
// The zero value is not usable; see Scope.Histogram and Scope.LoopHistogram.
type Histogram struct {
	shards []histogramShard // one, or one for each loop as in LoopCounter
}

type histogramShard struct {
	counts [len(bounds) + 1]atomic.Uint64
	// micros is the sum in microseconds, each duration rounded to the nearest. Nanoseconds would overflow after 10
	// days of 10,000 one-second requests a second.
	micros atomic.Uint64
	_      [48]byte // to a multiple of a cache line
}

func newHistogram(shards int) *Histogram { return &Histogram{make([]histogramShard, shards)} }

// Observe adds one duration; a negative one counts as zero.
func (h *Histogram) Observe(d time.Duration) { h.ObserveOn(0, d) }

// ObserveOn is Observe on the loop with that index.
func (h *Histogram) ObserveOn(loop int, d time.Duration) {
	s := &h.shards[loop&(len(h.shards)-1)]
	d = max(d, 0)
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	s.counts[i].Add(1)
	s.micros.Add(uint64(d+time.Microsecond/2) / uint64(time.Microsecond))
}

// Count returns how many durations were observed.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range len(bounds) + 1 {
		n += h.bucket(i)
	}
	return n
}

// bucket returns the count of one bucket.
func (h *Histogram) bucket(i int) uint64 {
	var n uint64
	for s := range h.shards {
		n += h.shards[s].counts[i].Load()
	}
	return n
}

func (h *Histogram) sumMicros() uint64 {
	var sum uint64
	for s := range h.shards {
		sum += h.shards[s].micros.Load()
	}
	return sum
}

// Sum returns the sum of all durations, rounded to microseconds.
func (h *Histogram) Sum() time.Duration {
	return time.Duration(h.sumMicros()) * time.Microsecond
}

// appendText renders the buckets, the sum and the count. _count is the last bucket's value and not a counter of its
// own, so that the two always agree.
func (h *Histogram) appendText(b []byte, id series) []byte {
	var n uint64
	for i := range len(bounds) + 1 {
		n += h.bucket(i)
		b = append(b, id.family...)
		b = append(b, "_bucket{"...)
		if id.labels != "" {
			b = append(b, id.labels...)
			b = append(b, ',')
		}
		b = append(b, `le="`...)
		if i < len(bounds) {
			b = strconv.AppendFloat(b, bounds[i].Seconds(), 'g', -1, 64)
		} else {
			b = append(b, "+Inf"...)
		}
		b = append(b, `"} `...)
		b = strconv.AppendUint(b, n, 10)
		b = append(b, '\n')
	}
	b = append(b, series{id.family + "_sum", id.labels}.String()...)
	b = append(b, ' ')
	b = strconv.AppendFloat(b, float64(h.sumMicros())/1e6, 'f', -1, 64)
	b = append(b, '\n')
	b = append(b, series{id.family + "_count", id.labels}.String()...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, n, 10)
	return append(b, '\n')
}
