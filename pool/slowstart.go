package pool

import "time"

const (
	// fullShare is the share of a backend, in tenths of its weight, that is not starting slowly.
	fullShare = 10
	// stepsAtMost bounds how often in one slow_start a pool makes a new picker because shares grow, however many
	// backends start at different moments: those whose steps are close together take them together.
	stepsAtMost = 20
)

// settled reports whether a backend takes all the requests that its share says. One on trial does not.
func (s *state) settled() bool { return s.usable() && s.passive == PassiveOK }

// warm begins a slow start if s is the new state of a backend that comes back, or that joined a pool which
// served already; one that is out of service will be cold when it returns. The caller holds p.mu.
//
// A backend that nobody has looked at yet has not been out of service: what a pool starts with takes its whole
// share at once. So does one that would be alone, as all requests go there anyway.
func (p *Pool) warm(b *Backend, s *state) {
	switch {
	case s.settled():
		if s.cold && p.options.SlowStart > 0 && p.othersServe(b, s.backup) {
			s.warmSince, s.tenths = time.Now(), 1
		}
		s.cold = false
	case s.active != ActiveUnknown || s.passive != PassiveOK || s.admin != Ready:
		s.cold = true
		s.endSlowStart()
	}
}

func (s *state) endSlowStart() { s.warmSince, s.tenths = time.Time{}, 0 }

// othersServe reports whether a backend has others of its kind, primary or backup, to leave requests to.
func (p *Pool) othersServe(b *Backend, backup bool) bool {
	for _, m := range p.members {
		if s := m.state.Load(); m != b && m.limit.Load() != gone && s.backup == backup && s.settled() {
			return true
		}
	}
	return false
}

// growShares gives the backends that start slowly the share that is theirs by now, and returns how long until the next
// step. A share grows from one tenth of the weight to all of it in nine steps.
func (p *Pool) growShares(now time.Time) time.Duration {
	p.mu.Lock() // before the look, as who is just publishing has woken this goroutine already
	defer p.mu.Unlock()
	if !p.snapshot.Load().warming {
		return farAway
	}
	slow := p.options.SlowStart
	if wait := p.grown.Add(slow / stepsAtMost).Sub(now); wait > 0 {
		return wait
	}
	next, changed := farAway, false
	for _, b := range p.members {
		s := *b.state.Load()
		if s.tenths == 0 {
			continue
		}
		elapsed := now.Sub(s.warmSince)
		if step := max(slow/(fullShare-1), 1); elapsed < slow {
			was := s.tenths
			s.tenths = 1 + int(elapsed/step)
			next = min(next, step-elapsed%step)
			if s.tenths == was {
				continue
			}
		} else {
			s.endSlowStart()
		}
		b.set(&s)
		changed = true
	}
	if changed {
		p.grown = now
		p.publish()
		next = max(next, slow/stepsAtMost)
	}
	return next
}
