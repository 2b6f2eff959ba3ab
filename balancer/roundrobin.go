package balancer

import (
	"sync/atomic"

	"golang.org/x/sys/cpu"

	"lb/pool"
)

// roundRobin walks a schedule that has each backend as often as its weight says. Requests share nothing but the
// position. A backend without room is skipped for the next in the schedule.
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

// pickNext continues after a turn whose backend was full. Heavy backends fill much of the schedule, so a bounded walk
// may miss a light one; the scan at the end does not.
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
