package pool

import (
	"strconv"
	"time"
)

// maxEjections bounds the growth of an ejection's duration.
const maxEjections = 10

// farAway is how long the pool's goroutine sleeps without a timer.
const farAway = 24 * time.Hour

// countFailure ejects a backend with too many failures in a row, or that failed its trial.
func (p *Pool) countFailure(b *Backend, inARow int, o Outcome) {
	e := p.snapshot.Load().eject
	if e.Failures <= 0 {
		return
	}
	switch b.state.Load().passive {
	case PassiveEject, PassiveRefuse: // late reports, or a pool in panic
		return
	case PassiveOK:
		if inARow < e.Failures {
			return
		}
	}
	reason := "trial request failed"
	if inARow >= e.Failures {
		reason = strconv.Itoa(inARow) + " failures in a row"
	}
	reason += ", the last: " + failures[o]
	p.change(b, reason, func(s *state) (from, to string) {
		if s.passive.out() || s.passive == PassiveOK && b.inARow.Load() < int32(e.Failures) {
			return "", ""
		}
		b.inARow.Store(0)
		if !p.mayEject(b, o == Connect || o == Reset) {
			return "", ""
		}
		from = s.passive.String()
		s.ejections = min(s.ejections+1, maxEjections)
		s.until = time.Now().Add(p.options.Eject.Duration * time.Duration(s.ejections))
		s.passive = PassiveEject
		b.Metrics.ejections.Inc()
		return from, s.passive.String()
	})
}

// failures describe the outcomes.
var failures = [...]string{
	Connect: "no connection", Reset: "connection reset", Timeout: "no response in time", Protocol: "invalid HTTP", Status: "status 502, 503 or 504",
}

// mayEject reports whether one more ejection stays within max_percent, which does not bound ejections by failed
// connections. Below 100 the last usable backend is never ejected, since one that fails sometimes is better than
// none. The last usable primary may be ejected if there is a backup, or a small pool could never use its backups. The
// caller holds p.mu.
func (p *Pool) mayEject(b *Backend, connection bool) bool {
	percent := p.options.Eject.MaxPercent
	ejected, usable := 1, 0
	primaries, backups := 0, 0 // that remain
	for _, m := range p.members {
		if m == b {
			continue
		}
		s := m.state.Load()
		if s.passive == PassiveEject {
			ejected++
		}
		if !s.usable() {
			continue
		}
		usable++
		switch {
		case !s.backup:
			primaries++
		case s.settled():
			backups++
		}
	}
	if !b.state.Load().backup && primaries == 0 && backups > 0 && percent > 0 {
		return true
	}
	if connection && usable > 0 {
		return true
	}
	return ejected*100 <= percent*len(p.members) && (usable > 0 || percent >= 100)
}

// endEjection changes a state after a successful probe or trial.
func (b *Backend) endEjection(s *state) {
	s.passive, s.ejections, s.until = PassiveOK, 0, time.Time{}
	b.inARow.Store(0)
}

// HeadArrived reports that the head of a successful response has arrived. That is enough to end a trial, since
// the rest of an event stream or of an upgraded connection may take hours.
func (b *Backend) HeadArrived() {
	if b.limit.Load() == onTrial {
		b.pool.endTrial(b)
	}
}

// endTrial ends the trial of a backend that succeeded.
func (p *Pool) endTrial(b *Backend) {
	if b.state.Load().passive != PassiveTrial {
		return
	}
	p.change(b, "trial request succeeded", func(s *state) (from, to string) {
		if s.passive != PassiveTrial {
			return "", ""
		}
		from = s.passive.String()
		b.endEjection(s)
		return from, s.passive.String()
	})
}

// endEjections puts backends on trial whose ejection is over, and returns how long until the next one's is.
func (p *Pool) endEjections(now time.Time) time.Duration {
	next := farAway
	for _, b := range p.snapshot.Load().members {
		s := b.state.Load()
		if s.passive != PassiveEject {
			continue
		}
		if wait := s.until.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		p.putOnTrial(b, "the ejection is over", now)
	}
	return next
}

// putOnTrial puts an ejected backend on trial, unless its ejection lasts beyond now; a zero now ends any ejection.
// The reason of the ejection is part of the new reason.
func (p *Pool) putOnTrial(b *Backend, reason string, now time.Time) {
	if last := b.state.Load().passiveChange; last != nil && last.Reason != "" {
		reason += "; before: " + last.Reason
	}
	p.change(b, reason, func(s *state) (from, to string) {
		if s.passive != PassiveEject || !now.IsZero() && s.until.After(now) {
			return "", ""
		}
		from = s.passive.String()
		s.passive = PassiveTrial
		b.inARow.Store(0)
		b.trial.Store(0)
		return from, s.passive.String()
	})
}
