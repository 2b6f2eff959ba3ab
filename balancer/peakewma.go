package balancer

import "lb/pool"

const (
	// coldFactor is how much slower than the others a backend is assumed to be before its first response.
	coldFactor = 4
	// noise, in nanoseconds, is the shortest peak that counts; anything faster is equally fast. Otherwise a few
	// microseconds would send everything to one backend as long as requests come one at a time.
	noise = 1e6
)

// peakEWMA picks the backend where a request costs least: its recent slow responses (a peak that decays over ten
// seconds) times the requests in flight including this one, for its weight.
//
// Up to 32 backends it looks at all, which was as good or better in every simulation. In a larger set it draws two,
// the first by weight, and picks the better one.
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

// Pick implements pool.Picker. If the backends it looked at are full, it falls back on the next one with room.
func (p *peakEWMA) Pick(uint64) *pool.Backend {
	now := p.backends[0].Now()
	var best offer
	i := 0
	if n := len(p.backends); n <= exactUpTo {
		i = below(p.random(), n) // a random start, so that ties do not always go to the same one
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

// offer holds the best backends seen so far, one with a history and one without.
type offer struct {
	known     *pool.Backend
	knownCost float64
	peaks     float64 // sum over the known ones
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

// cheapest returns the two in order; nil where there is none.
//
// A fresh backend gets its first request at once, since only a response shows what it is worth. Until then it is
// assumed to be slower than the others, which limits its share of their load.
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
