package pool

import (
	"context"
	"sync"
	"time"
)

// A backend that refuses a connection is out from that moment on, as nothing can be sent to it, and until it accepts one: the
// pool looks for that itself, as without active checks nobody else would.
const (
	// firstLook is how long after a refused connection the pool looks for the first time, and lastLook the most that passes
	// between two looks. The time doubles from look to look.
	firstLook = 5 * time.Millisecond
	lastLook  = time.Second
	// quickLook is the most that passes while requests wait, for each quickShare of the backends that refuse.
	quickLook  = 20 * time.Millisecond
	quickShare = 8
	// relapse is how soon a backend that refuses again is looked at as seldom as before.
	relapse = time.Second
)

// look is how the pool looks whether a backend accepts connections. Guarded by Pool.mu.
type look struct {
	delay    time.Duration // before the next; 0: the backend has not refused yet
	last     time.Time     // when the last one ended, or the backend refused
	accepted time.Time     // when it last accepted after it had refused
	busy     bool          // one is under way
}

// Refused tells, with a reason in words, that the backend refused a connection. No request goes there until it accepts one,
// as far as the pool can look for that: see Options.Dial.
func (b *Backend) Refused(reason string) {
	if p := b.pool; p != nil && b.state.Load().passive != PassiveRefuse {
		p.refused(b, reason)
	}
}

// askEvery is how often requests that a backend has reset may look whether it refuses connections, while others are usable.
const askEvery = 20 * time.Millisecond

// asked is the last answer to such a look.
type asked struct {
	mu   sync.Mutex
	at   time.Time
	last error
}

// Refusal returns what ask returns, or what it returned a moment ago, and nil if the backend accepts connections. Requests that
// come meanwhile wait for that answer, so that looks do not grow with the requests that fail.
func (b *Backend) Refusal(ask func() error) error {
	a := &b.asked
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.at) > askEvery {
		a.last = ask()
		a.at = time.Now()
	}
	return a.last
}

func (p *Pool) refused(b *Backend, reason string) {
	if !p.started.Load() {
		return // nobody would take it back
	}
	p.change(b, reason, func(s *state) (from, to string) {
		if p.options.Dial == nil || s.passive.out() {
			return "", ""
		}
		from = s.passive.String()
		s.passive = PassiveRefuse
		b.inARow.Store(0)
		if now := time.Now(); b.look.delay == 0 || now.Sub(b.look.accepted) > relapse {
			b.look = look{delay: firstLook, last: now, busy: b.look.busy}
		} else {
			b.look.last = now
		}
		b.Metrics.ejections.Inc()
		return from, s.passive.String()
	})
	p.recall()
	p.outbox.nudge()
}

// accepted takes a backend back that has accepted a connection.
func (p *Pool) accepted(b *Backend) {
	p.change(b, "accepts connections", func(s *state) (from, to string) {
		if s.passive != PassiveRefuse {
			return "", ""
		}
		from = s.passive.String()
		b.endEjection(s)
		b.look.accepted = time.Now()
		return from, s.passive.String()
	})
}

// recall puts the backends on trial that were ejected for a time, if by now no other is usable: an ejection leaves one that
// is, but that may have begun to refuse connections since, or failed its checks.
func (p *Pool) recall() {
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

// lookAfter starts the looks that are due, and returns how long until the next one is. It is called by the pool's goroutine
// alone.
func (p *Pool) lookAfter(ctx context.Context, now time.Time) time.Duration {
	s := p.snapshot.Load()
	if s.refuse == 0 {
		return farAway
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.queue.waiting.Load() != 0
	most := quickLook * time.Duration(1+s.refuse/quickShare)
	next := farAway
	for _, b := range p.members {
		state := b.state.Load()
		if state.passive != PassiveRefuse || state.admin == Maint || b.look.busy {
			continue
		}
		if p.options.HealthChecks && state.active == ActiveDown && !waiting {
			continue // a check that passes ends this too
		}
		delay := b.look.delay
		if waiting {
			delay = min(delay, most)
		}
		if wait := b.look.last.Add(delay).Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		b.look.busy = true
		p.looks.Go(func() { p.lookAt(ctx, b) })
	}
	return next
}

func (p *Pool) lookAt(ctx context.Context, b *Backend) {
	p.mu.Lock()
	dial := p.options.Dial
	p.mu.Unlock()
	if dial == nil || dial(ctx, b) == nil {
		p.accepted(b)
	}
	p.mu.Lock()
	b.look.busy = false
	b.look.delay, b.look.last = min(2*b.look.delay, lastLook), time.Now()
	p.mu.Unlock()
	p.outbox.nudge()
}
