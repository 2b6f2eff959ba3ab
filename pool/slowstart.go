package pool

import "time"

const (
	// fullShare is the share, in tenths of its weight, of a backend that is not in a slow start.
	fullShare = 10
	// stepsAtMost bounds how many pickers a pool makes during one slow_start because shares grow, however many
	// backends start at different moments: steps that are close together are taken together.
	stepsAtMost = 20
)

// settled reports whether a backend gets its whole share of requests. One on trial does not.
func (s *state) settled() bool { return s.usable() && s.passive == PassiveOK }

// warm begins a slow start if s is the new state of a backend that comes back, or that joined a pool that is serving.
// A backend that goes out of service will be cold when it returns. The caller holds p.mu.
//
// A backend before its first probe has not been out of service: the backends that a pool starts with get their whole
// share at once. So does a backend without others, since it gets all requests anyway.
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

// othersServe reports whether there are others of the same kind, primary or backup, to serve requests meanwhile.
func (p *Pool) othersServe(b *Backend, backup bool) bool {
	for _, m := range p.members {
		if s := m.state.Load(); m != b && m.limit.Load() != removed && s.backup == backup && s.settled() {
			return true
		}
	}
	return false
}

// growShares updates the shares of backends in a slow start, and returns how long until the next step. A share grows
// from one tenth of the weight to all of it in nine steps.
func (p *Pool) growShares(now time.Time) time.Duration {
	p.mu.Lock() // before the check, since a concurrent publish has woken this goroutine already
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
