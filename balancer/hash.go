package balancer

import (
	"math"
	"sync/atomic"

	"golang.org/x/sys/cpu"

	"lb/pool"
)

const (
	// boundFactor is how far above the average for its weight a backend may be loaded before keys move on
	// ("Consistent Hashing with Bounded Loads", Mirrokni, Thorup, Zadimoghaddam).
	boundFactor = 1.25
	// boundAtLeast is the load up to which no backend is skipped. A browser sends requests on six connections at
	// once; with few requests in flight overall, every second one would move otherwise.
	boundAtLeast = 8
	// longestWalk is how many slots are tried for a backend below the bound. At most four in five backends can be
	// above it, so that many slots hardly ever miss the others.
	longestWalk = 100
	// countEvery is for how long a count of all requests in flight is used, in nanoseconds for each backend. Counting
	// takes about a hundredth of that.
	countEvery = 1000
)

// hashed maps a key always to the same backend, by a Maglev table. A backend that is full, or loaded too far above
// the average, is skipped for another one, which is the same for the same key.
type hashed struct {
	backends []*pool.Backend
	table    maglev
	shares   []float64 // of the weights, times boundFactor
	// growing is which part of its keys, of 2³², each backend has while some are in their slow start; nil: all have
	// all. The table is that of the full weights, so that the keys of a backend return to it one by one, each once,
	// and other keys do not move.
	growing []uint64

	_     cpu.CacheLinePad
	until atomic.Int64 // total is used until this time of the backends' clock
	total atomic.Int64 // requests in flight on all backends
	_     cpu.CacheLinePad
}

func newHash(backends []*pool.Backend, _ uint64, _ source) pool.Picker {
	full := make([]int, len(backends))
	for i, b := range backends {
		full[i] = b.Weight()
	}
	weights := weightsOf(backends)
	sum := 0
	for _, w := range weights {
		sum += w
	}
	h := &hashed{backends: backends, table: newMaglev(backends, full), shares: make([]float64, len(weights))}
	h.until.Store(math.MinInt64)
	for i, w := range weights {
		h.shares[i] = boundFactor * float64(w) / float64(sum)
	}
	if tenths, most := tenthsOf(backends); tenths != nil {
		for _, t := range tenths {
			h.growing = append(h.growing, uint64(t)<<32/uint64(most))
		}
	}
	return h
}

// Pick implements pool.Picker. If no backend is below the bound, the key's own backend is picked; if that is full,
// the next one with room.
func (h *hashed) Pick(key uint64) *pool.Backend {
	b, owner := h.walk(key, (*pool.Backend).Reserve)
	if b == nil {
		return scan(h.backends, max(owner, 0))
	}
	return b
}

// Prefer implements pool.Predictable.
func (h *hashed) Prefer(key uint64) (now, own *pool.Backend) {
	now, owner := h.walk(key, func(*pool.Backend) bool { return true })
	owner = max(owner, 0)
	for i := 0; now == nil && i < len(h.backends); i++ { // as scan does
		b := h.backends[(owner+i)%len(h.backends)]
		if _, room := b.Load(); room {
			now = b
		}
	}
	return now, h.backends[owner]
}

// walk returns the first backend of the key below the bound that take accepts, or nil, and the index of the key's own
// backend, -1 if it found none.
func (h *hashed) walk(key uint64, take func(*pool.Backend) bool) (b *pool.Backend, owner int) {
	owner = -1
	place := rehash(key) & (1<<32 - 1) // of the key, among the keys that return one by one
	for range longestWalk {
		i, ok := h.table.at(key)
		if key = rehash(key); !ok {
			continue
		}
		if owner < 0 {
			owner = i
		}
		if h.growing != nil && place >= h.growing[i] {
			continue
		}
		b := h.backends[i]
		if inFlight, room := b.Load(); room && h.allows(i, inFlight) && take(b) {
			return b, owner
		}
	}
	return nil, owner
}

// allows reports whether a backend with inFlight requests may have one more: up to its share of all of them times
// boundFactor, rounded up, but at least boundAtLeast.
func (h *hashed) allows(i int, inFlight int64) bool {
	return inFlight < boundAtLeast || float64(inFlight+1) <= math.Ceil(h.shares[i]*float64(h.load()+1))
}

// load returns the requests in flight on all backends. Now and then one request counts them.
func (h *hashed) load() int64 {
	now := h.backends[0].Now()
	if until := h.until.Load(); now < until || !h.until.CompareAndSwap(until, now+int64(len(h.backends))*countEvery) {
		return h.total.Load()
	}
	var total int64
	for _, b := range h.backends {
		total += b.InFlight()
	}
	h.total.Store(total)
	return total
}
