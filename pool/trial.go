package pool

import (
	"math"
	"time"
)

// After an ejection a backend is on trial: it gets one request at a time until one succeeds. Other requests go to
// other usable backends, including backups. If there are none they wait in the queue; since a good response may take
// long, one more request is let through every trialPatience.
const (
	trialPatience = time.Second
	patientTicks  = uint32(trialPatience/tick) + 1
)

// trialPicker gives each backend on trial its one request, and another picker all other requests.
type trialPicker struct {
	onTrial []*Backend
	others  Picker
}

// Pick implements Picker.
func (t *trialPicker) Pick(key uint64) *Backend {
	for _, b := range t.onTrial {
		if b.Reserve() {
			return b
		}
	}
	return t.others.Pick(key)
}

// trialTick is the current time in the unit of counters.trial, never 0.
func (b *Backend) trialTick() uint32 { return max(uint32(b.clock()>>tickShift), 1) }

// trialOpen reports whether another trial request may begin, given when the last one did.
func (b *Backend) trialOpen(began uint32) bool {
	if began == 0 {
		return true
	}
	return b.pool != nil && b.pool.snapshot.Load().trials && ticksBetween(began, b.trialTick()) >= patientTicks
}

// trialLimit is the most requests at a time, including those from before the trial.
func (b *Backend) trialLimit() int64 {
	if limit := b.state.Load().maxConns; limit != noLimit {
		return int64(limit)
	}
	return math.MaxInt64
}

// reserveTrial lets one request through at a time. Requests from before the ejection, such as a WebSocket, do not
// count, or the trial might never begin.
func (b *Backend) reserveTrial() bool {
	limit := b.trialLimit()
	for b.inFlight.Load() < limit {
		last := b.trial.Load()
		if !b.trialOpen(last) || !b.trial.CompareAndSwap(last, b.trialTick()) {
			return false
		}
		if b.reserveBelow(limit) {
			return true
		}
		// Look again: a request that has just made room found the trial taken.
		b.trial.Store(0)
		if b.inFlight.Load() < 0 {
			return false
		}
	}
	return false
}

// renewTrials serves the queue of a pool whose usable backends are all on trial, if one of them may have another
// request now, and returns how long until the next may.
func (p *Pool) renewTrials() time.Duration {
	s := p.snapshot.Load()
	if !s.trials || p.queue.waiting.Load() == 0 {
		return farAway
	}
	p.serveQueue()
	next := patientTicks
	for _, b := range s.usable {
		if passed := ticksBetween(b.trial.Load(), b.trialTick()); passed < patientTicks {
			next = min(next, patientTicks-passed)
		}
	}
	return time.Duration(next) * tick
}

// onlyTrials reports whether all backends are on trial.
func onlyTrials(backends []*Backend) bool {
	for _, b := range backends {
		if b.state.Load().passive != PassiveTrial {
			return false
		}
	}
	return len(backends) > 0
}
