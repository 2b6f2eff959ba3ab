package pool

import (
	"context"
	"sync"
	"time"
)

// A backend that refuses a connection is not used from that moment on, until it accepts one. The pool dials it to
// find out, since without health checks nothing else would.
const (
	// firstRedial is how long after a refused connection the pool dials for the first time, and slowestRedial the longest
	// time between two attempts. The time doubles after each attempt.
	firstRedial   = 5 * time.Millisecond
	slowestRedial = time.Second
	// quickRedial is the longest time while requests wait, for each redialShare refusing backends.
	quickRedial = 20 * time.Millisecond
	redialShare = 8
	// A backend that refuses again within relapse of accepting keeps its delay.
	relapse = time.Second
)

// redial is the state of dialling a backend that refuses connections. Guarded by Pool.mu.
type redial struct {
	delay    time.Duration // before the next attempt; 0: the backend has not refused yet
	last     time.Time     // when the last attempt ended, or the backend refused
	accepted time.Time     // when it last accepted a connection after refusing
	busy     bool          // an attempt is running
}

// Refused records that the backend refused a connection, with a reason. It gets no request until it accepts
// a connection; see Options.Dial.
func (b *Backend) Refused(reason string) {
	if p := b.pool; p != nil && b.state.Load().passive != PassiveRefuse {
		p.refused(b, reason)
	}
}

// refusalEvery is how often requests that a backend has reset may check whether it refuses connections, while others are
// usable.
const refusalEvery = 20 * time.Millisecond

// refusal is the last result of such a check.
type refusal struct {
	mu   sync.Mutex
	at   time.Time
	last error
}

// Refusal returns the result of ask, perhaps a recent one: nil if the backend accepts connections. Concurrent
// requests wait for one result, so that failing requests do not multiply the checks.
func (b *Backend) Refusal(ask func() error) error {
	a := &b.refusal
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.at) > refusalEvery {
		a.last = ask()
		a.at = time.Now()
	}
	return a.last
}

func (p *Pool) refused(b *Backend, reason string) {
	if !p.started.Load() {
		return // without Start nothing would end it
	}
	p.change(b, reason, func(s *state) (from, to string) {
		if p.options.Dial == nil || s.passive.out() {
			return "", ""
		}
		from = s.passive.String()
		s.passive = PassiveRefuse
		b.inARow.Store(0)
		if now := time.Now(); b.redial.delay == 0 || now.Sub(b.redial.accepted) > relapse {
			b.redial = redial{delay: firstRedial, last: now, busy: b.redial.busy}
		} else {
			b.redial.last = now
		}
		b.Metrics.ejections.Inc()
		return from, s.passive.String()
	})
	p.trialIfNoneUsable()
	p.outbox.nudge()
}

// accepted ends the refusal of a backend that has accepted a connection.
func (p *Pool) accepted(b *Backend) {
	p.change(b, "accepts connections", func(s *state) (from, to string) {
		if s.passive != PassiveRefuse {
			return "", ""
		}
		from = s.passive.String()
		b.endEjection(s)
		b.redial.accepted = time.Now()
		return from, s.passive.String()
	})
}

// trialIfNoneUsable puts ejected backends on trial if no other is usable any more. An ejection always leaves a usable one, but
// that may have begun to refuse connections since, or failed its checks.
func (p *Pool) trialIfNoneUsable() {
	s := p.snapshot.Load()
	if len(s.usable) > 0 || s.eject.MaxPercent >= 100 {
		return
	}
	for _, b := range s.members {
		if b.state.Load().passive == PassiveEject {
			p.putOnTrial(b, "no other backend is usable", time.Time{})
		}
	}
}

// startRedials starts the attempts that are due, and returns how long until the next one is. Only the pool's goroutine
// calls it.
func (p *Pool) startRedials(ctx context.Context, now time.Time) time.Duration {
	s := p.snapshot.Load()
	if s.refuse == 0 {
		return farAway
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.queue.waiting.Load() != 0
	most := quickRedial * time.Duration(1+s.refuse/redialShare)
	next := farAway
	for _, b := range p.members {
		state := b.state.Load()
		if state.passive != PassiveRefuse || state.admin == Maint || b.redial.busy {
			continue
		}
		if p.options.HealthChecks && state.active == ActiveDown && !waiting {
			continue // a passing check ends this state, too
		}
		delay := b.redial.delay
		if waiting {
			delay = min(delay, most)
		}
		if wait := b.redial.last.Add(delay).Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		b.redial.busy = true
		p.redials.Go(func() { p.redialOnce(ctx, b) })
	}
	return next
}

func (p *Pool) redialOnce(ctx context.Context, b *Backend) {
	p.mu.Lock()
	dial := p.options.Dial
	p.mu.Unlock()
	if dial == nil || dial(ctx, b) == nil {
		p.accepted(b)
	}
	p.mu.Lock()
	b.redial.busy = false
	b.redial.delay, b.redial.last = min(2*b.redial.delay, slowestRedial), time.Now()
	p.mu.Unlock()
	p.outbox.nudge()
}
