package balancer

import (
	"sync/atomic"

	"golang.org/x/sys/cpu"

	"lb/pool"
)

// roundRobin walks a schedule in which each backend stands as often as its weight says. The only thing that
// requests share is the position. A backend without room is passed over; the next in the schedule
// takes its turn.
type roundRobin struct {
	backends []*pool.Backend
	schedule []*pool.Backend
	start    uint64

	_    cpu.CacheLinePad
	next atomic.Uint64
	_    cpu.CacheLinePad
}

func newRoundRobin(backends []*pool.Backend, seed uint64, _ source) pool.Picker {
	r := &roundRobin{backends: backends}
	weights := weightsOf(backends)
	for _, i := range interleave(weights) {
		r.schedule = append(r.schedule, r.backends[i])
	}
	r.start = seed % uint64(len(r.schedule))
	return r
}

// Pick implements pool.Picker.
func (r *roundRobin) Pick(uint64) *pool.Backend {
	at := int((r.start + r.next.Add(1) - 1) % uint64(len(r.schedule)))
	if b := r.schedule[at]; b.Reserve() {
		return b
	}
	return r.pickNext(at)
}

// pickNext goes on from a turn that was full. The heavy ones stand in the schedule often, so that some
// backend may not come up within a bounded walk: those are asked at the end.
func (r *roundRobin) pickNext(at int) *pool.Backend {
	for range min(len(r.schedule), 2*len(r.backends)) {
		if at++; at == len(r.schedule) {
			at = 0
		}
		if b := r.schedule[at]; b.Reserve() {
			return b
		}
	}
	return scan(r.backends, at%len(r.backends))
}
