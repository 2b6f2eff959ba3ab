package balancer

import (
	"math"
	"sync/atomic"

	"golang.org/x/sys/cpu"

	"lb/pool"
)

const (
	// boundFactor is how far above the average, for its weight, a backend may be loaded before keys move on
	// ("Consistent Hashing with Bounded Loads", Mirrokni, Thorup, Zadimoghaddam).
	boundFactor = 1.25
	// boundAtLeast is the load that no backend is passed over for, however idle the others are: a browser's
	// requests come by six connections at once, and with a few in flight in all, every second one would move.
	boundAtLeast = 8
	// longestWalk is how many slots are looked at for a backend below the bound. Of the average load four backends in
	// five at most can be above it, so that this many slots hardly ever miss the others.
	longestWalk = 100
	// countEvery is how long, in nanoseconds for each backend, the total of the requests in flight is good for:
	// counting takes a hundredth of that.
	countEvery = 1000
)

// hashed sends a key always to the same backend, by a Maglev table. A backend that is full, or loaded too far
// above the average, is passed over to another one: the same for the same key.
type hashed struct {
	backends []*pool.Backend
	table    maglev
	shares   []float64 // of the weights, times boundFactor
	// growing is the part, of 2³², that each backend has of its keys while some start slowly; nil: all have theirs.
	// The table is that of the full weights, so that the keys of a backend come back to it one by one, each
	// once, and those of the others stay where they are.
	growing []uint64

	_     cpu.CacheLinePad
	until atomic.Int64 // total is good until this time of the backends' clock
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

// Pick implements pool.Picker. With nobody below the bound the key's own backend is taken, and
// if that is full, the first with room behind it.
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

// walk returns the first backend of the key below the bound that take takes, nil if there is none, and the
// index of the key's own, -1 if it came upon none.
func (h *hashed) walk(key uint64, take func(*pool.Backend) bool) (b *pool.Backend, owner int) {
	owner = -1
	place := another(key) & (1<<32 - 1) // the key's, among those that come back one by one
	for range longestWalk {
		i, ok := h.table.at(key)
		if key = another(key); !ok {
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

// allows tells whether a backend with so many requests may have one more: up to its share of all of them and
// a quarter, rounded up, but at least boundAtLeast.
func (h *hashed) allows(i int, inFlight int64) bool {
	return inFlight < boundAtLeast || float64(inFlight+1) <= math.Ceil(h.shares[i]*float64(h.load()+1))
}

// load returns the requests in flight on all backends, counted by one request now and then.
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
