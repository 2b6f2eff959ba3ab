package pool

import (
	"fmt"
	"strconv"
	"time"

	"lb/internal/limits"
)

// change replaces a backend's state by one that edit has modified, and publishes it. If edit returns equal names,
// nothing changes. The caller does not hold p.mu. A backend that has left does not change.
func (p *Pool) change(b *Backend, reason string, edit func(*state) (from, to string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.pool != p || b.limit.Load() == removed {
		return
	}
	was := b.state.Load()
	s := *was
	from, to := edit(&s)
	if from == to {
		return
	}
	s.record(was, Change{Time: time.Now(), From: from, To: to, Reason: reason})
	p.warm(b, &s)
	b.state.Store(&s) // first, since the announcement wakes readers of the state
	if hook := p.options.OnAdmin; hook != nil && s.admin != was.admin {
		p.outbox.add(func() { hook(b) })
	}
	p.announce(b, s.change, !s.flapping || s.active == was.active)
	if s.passive.out() && was.passive == PassiveTrial {
		// The limit goes last: while requests see the old snapshot, any number of them could get a backend that has
		// just failed its trial.
		p.publish()
	}
	b.set(&s)
	p.publish()
}

// SetActive is called with the first result of a backend's health checks, and at each flip.
// Up ends an ejection.
func (p *Pool) SetActive(b *Backend, up bool, reason string) {
	if !up {
		defer p.trialIfNoneUsable()
	}
	p.change(b, reason, func(s *state) (from, to string) {
		from = s.active.String()
		if s.active == ActiveUnknown {
			s.flapping = false
		}
		s.active = ActiveDown
		if up {
			s.active = ActiveUp
			if s.passive != PassiveOK {
				from = s.passive.String()
				b.endEjection(s)
			}
		}
		return from, s.active.String()
	})
}

// SetFlapping is called when the active state of a backend flips too often, again from time to time, and when it has
// stopped. While it flaps its flips are events but not logged.
func (p *Pool) SetFlapping(b *Backend, flapping bool, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := *b.state.Load()
	if b.pool != p || b.limit.Load() == removed || !flapping && !s.flapping {
		return
	}
	const name = "flapping"
	c := Change{Time: time.Now(), From: s.name(), To: s.name(), Reason: reason}
	if s.flapping {
		c.From = name
	}
	if flapping {
		c.To = name
	}
	s.flapping = flapping
	b.set(&s)
	p.announce(b, c, true)
}

// ProbePassed is called after every probe that passed. It ends an ejection, and makes an unknown backend up.
// Otherwise it costs one load.
func (p *Pool) ProbePassed(b *Backend) {
	s := b.state.Load()
	if s.passive != PassiveOK || s.active == ActiveUnknown {
		p.change(b, "probe passed", func(s *state) (from, to string) {
			from = s.passive.String()
			if s.active == ActiveUnknown {
				from, s.active = s.active.String(), ActiveUp
			} else if s.passive == PassiveOK {
				return "", ""
			}
			b.endEjection(s)
			return from, s.name()
		})
	}
}

// SetAdmin sets the administrator's state of a backend. It survives a reload. A backend with health checks that
// leaves Maint is unknown until its next probe, since there were no probes meanwhile.
func (p *Pool) SetAdmin(b *Backend, a Admin, reason string) {
	if a != Ready {
		defer p.trialIfNoneUsable()
	}
	p.change(b, reason, func(s *state) (from, to string) {
		from = s.admin.String()
		if s.admin == Maint && a != Maint && p.options.HealthChecks {
			s.active = ActiveUnknown
		}
		s.admin = a
		s.flapping = s.flapping && a != Maint // there are no probes in Maint
		return from, a.String()
	})
}

// SetWeight sets a backend's weight at run time; 0 restores the configured one. It survives a reload. The error names
// the allowed range.
func (p *Pool) SetWeight(b *Backend, weight int, reason string) error {
	if weight < 0 || weight > limits.MaxWeight {
		return fmt.Errorf("cannot set weight %d of backend %q: not between 1 and %d", weight, b.address, limits.MaxWeight)
	}
	p.change(b, reason, func(s *state) (from, to string) {
		from = "weight " + strconv.Itoa(s.weight())
		s.override = weight
		return from, "weight " + strconv.Itoa(s.weight())
	})
	return nil
}
