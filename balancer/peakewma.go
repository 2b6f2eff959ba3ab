package balancer

import "lb/pool"

const (
	// coldFactor is how much slower than the others a backend is taken to be before its first answer.
	coldFactor = 4
	// noise, in nanoseconds, is the shortest peak that is believed: what is quicker counts as equally quick, or
	// a few microseconds would send everything to one backend as long as requests come one at a time.
	noise = 1e6
)

// peakEWMA takes the backend where a request costs least: its slow answers of late (a peak, decaying over ten
// seconds) times the requests in flight and this one, for its weight.
//
// Up to 32 backends it looks at all: that came out as good or better in every simulation. In a larger set it draws two, the
// first by weight, and takes the better of them.
type peakEWMA struct {
	backends []*pool.Backend
	weights  []int
	draw     alias // used above exactUpTo
	random   source
}

func newPeakEWMA(backends []*pool.Backend, _ uint64, random source) pool.Picker {
	weights := weightsOf(backends)
	return &peakEWMA{backends, weights, newAlias(weights), random}
}

// Pick implements pool.Picker. If those looked at are full, the first with room behind them is taken.
func (p *peakEWMA) Pick(uint64) *pool.Backend {
	now := p.backends[0].Now()
	var best offer
	i := 0
	if n := len(p.backends); n <= exactUpTo {
		i = below(p.random(), n) // so that ties are shared out
		for k := i; k < n; k++ {
			best.consider(p.backends[k], p.weights[k], now)
		}
		for k := range i {
			best.consider(p.backends[k], p.weights[k], now)
		}
	} else {
		var j int
		i, j = drawTwo(p.draw, p.random)
		best.consider(p.backends[i], p.weights[i], now)
		best.consider(p.backends[j], p.weights[j], now)
	}
	one, other := best.cheapest()
	if one != nil && one.Reserve() {
		return one
	}
	if other != nil && other.Reserve() {
		return other
	}
	return scan(p.backends, i)
}

// offer is the best of the backends seen so far: one that has a history, and one that is fresh.
type offer struct {
	known     *pool.Backend
	knownCost float64
	peaks     float64 // sum over those that are known
	count     float64

	fresh     *pool.Backend
	freshLoad float64
	freshAge  float64
}

func (o *offer) consider(b *pool.Backend, weight int, now int64) {
	inFlight, room := b.Load()
	if !room {
		return
	}
	l := b.Latency(now)
	load := float64(inFlight+1) / float64(weight)
	if l.Peak == 0 {
		if inFlight == 0 {
			load = 0
		}
		if o.fresh == nil || load < o.freshLoad {
			o.fresh, o.freshLoad, o.freshAge = b, load, l.Age
		}
		return
	}
	peak := max(l.Peak, noise)
	o.peaks += peak
	o.count++
	if cost := max(peak, l.Age) * load; o.known == nil || cost < o.knownCost {
		o.known, o.knownCost = b, cost
	}
}

// cheapest returns the two in order, nil for what there is not.
//
// A fresh backend gets its first request at once, since only an answer tells what it is worth. Until then
// it is taken to be slower than the others, and so has a part of their load at most.
func (o *offer) cheapest() (one, other *pool.Backend) {
	if o.fresh == nil {
		return o.known, nil
	}
	if o.known == nil {
		return o.fresh, nil
	}
	if max(coldFactor*o.peaks/o.count, o.freshAge)*o.freshLoad < o.knownCost {
		return o.fresh, o.known
	}
	return o.known, o.fresh
}
