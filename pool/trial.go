package pool

import (
	"math"
	"time"
)

// A backend whose ejection is over is on trial: it gets one request at a time until one succeeds. The others are
// served by those that are usable besides, backups too. With nobody else usable they wait in the queue; but an
// answer may take long and be good nonetheless, so every trialPatience one more request is let through.
const (
	trialPatience = time.Second
	patientTicks  = uint32(trialPatience/tick) + 1
)

// trialPicker gives those on trial their one request each, and another picker all the others.
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

// trialTick is the time in the unit of counters.trial, never 0.
func (b *Backend) trialTick() uint32 { return max(uint32(b.clock()>>tickShift), 1) }

// trialOpen reports whether another trial request may set out, given when the last one did.
func (b *Backend) trialOpen(began uint32) bool {
	if began == 0 {
		return true
	}
	return b.pool != nil && b.pool.snapshot.Load().trials && ticksBetween(began, b.trialTick()) >= patientTicks
}

// trialLimit is the most requests at a time, those from before the trial included.
func (b *Backend) trialLimit() int64 {
	if limit := b.state.Load().maxConns; limit != noLimit {
		return int64(limit)
	}
	return math.MaxInt64
}

// reserveTrial lets one request through at a time. Those that were on their way before the ejection
// (a WebSocket, say) do not count, or the trial could wait for them for ever.
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
		// Look again: whoever made room just now has found the trial taken.
		b.trial.Store(0)
		if b.inFlight.Load() < 0 {
			return false
		}
	}
	return false
}

// renewTrials serves those who wait in the queue of a pool that has nobody but backends on trial, if one of them
// may have another request by now, and returns how long until the next may.
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

// onlyTrials reports whether all of some backends are on trial.
func onlyTrials(backends []*Backend) bool {
	for _, b := range backends {
		if b.state.Load().passive != PassiveTrial {
			return false
		}
	}
	return len(backends) > 0
}
