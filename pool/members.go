package pool

import (
	"time"

	"github.com/hashicorp/go-hclog"
)

// updateMembers updates p.members from the sources. With reconnect, members that stay get new connections. The caller
// holds p.mu and publishes.
func (p *Pool) updateMembers(reason string, reconnect bool) {
	old := make(map[string]*Backend, len(p.members))
	for _, b := range p.members {
		old[b.address] = b
	}
	seen := make(map[string]bool)
	stays := make(map[*Backend]bool, len(p.members))
	var wanted []Member
	for m := range p.wanted() {
		if seen[m.Address] {
			continue
		}
		seen[m.Address] = true
		wanted = append(wanted, m)
		if b := old[m.Address]; b != nil {
			stays[b] = true
		}
	}
	for _, b := range p.members {
		if !stays[b] {
			p.leave(b, reason)
		}
	}
	members := make([]*Backend, len(wanted))
	for i, m := range wanted {
		b := old[m.Address]
		if b == nil {
			members[i] = p.join(m, reason)
			continue
		}
		p.update(b, m)
		if reconnect {
			b.connect(p.options.Connect(b))
		}
		members[i] = b
	}
	p.members = members
}

// join makes a backend. It has the overrides of the member that left with the same address.
func (p *Pool) join(m Member, reason string) *Backend {
	active := ActiveUp
	if p.options.HealthChecks {
		active = ActiveUnknown
	}
	b := newBackend(m, active, p.options.Clock)
	b.pool = p
	s := *b.state.Load()
	override := p.keptOverrides.take(m.Address)
	if override != (Override{}) {
		reason += ", with the admin state and weight that it had"
	}
	s.admin, s.override = override.Admin, override.Weight
	if last := p.snapshot.Load(); last != nil {
		s.cold = last.tier > tierUnknown
	}
	joined := Change{Time: time.Now(), From: "absent", To: active.String(), Reason: reason}
	s.record(b.state.Load(), joined)
	s.activeChange = &joined
	p.warm(b, &s)
	b.set(&s)
	p.registerBackend(b)
	p.announce(b, s.change, true)
	if join := p.options.OnJoin; join != nil {
		p.outbox.add(func() { join(b) })
	}
	return b
}

// update applies new settings to a backend that stays.
func (p *Pool) update(b *Backend, m Member) {
	s := *b.state.Load()
	s.configured, s.maxConns, s.backup = m.Weight, m.MaxConns, m.Backup
	s.flapping = s.flapping && p.options.HealthChecks
	if !p.options.HealthChecks && s.active != ActiveUp {
		was := s
		s.active = ActiveUp
		s.record(&was, Change{Time: time.Now(), From: was.active.String(), To: "up", Reason: "health checks were removed"})
		p.announce(b, s.change, true)
	}
	if p.options.Eject.Failures <= 0 && s.passive != PassiveOK && s.passive != PassiveRefuse {
		was := s
		b.endEjection(&s)
		s.record(&was, Change{Time: time.Now(), From: was.passive.String(), To: "ok", Reason: "ejection was turned off"})
		p.announce(b, s.change, true)
	}
	if p.options.SlowStart <= 0 {
		s.endSlowStart()
	}
	b.set(&s)
}

// leave removes a backend. No request can reserve it any more; those that it has can end. Its connections are closed
// after the last of them, or now if there is none.
func (p *Pool) leave(b *Backend, reason string) {
	s := b.state.Load()
	from := s.name()
	b.limit.Store(removed)
	p.keptOverrides.remember(b.address, s.overridden())
	b.scope.Close()
	p.leaving[b] = struct{}{}
	p.announce(b, Change{Time: time.Now(), From: from, To: "absent", Reason: reason}, true)
	if leave := p.options.OnLeave; leave != nil {
		p.outbox.add(func() { leave(b) })
	}
	b.retire()
}

// forget closes the connections of a backend that has left, after its last request.
func (p *Pool) forget(b *Backend) {
	b.closeConns()
	p.mu.Lock()
	delete(p.leaving, b)
	p.mu.Unlock()
}

// announce logs a change and sends it to the event stream, after the caller's lock is released. A nil backend means
// the pool itself. A change that is not logged is an event, too.
func (p *Pool) announce(b *Backend, c Change, logged bool) {
	e := Event{Time: c.Time, Pool: p.name, From: c.From, To: c.To, Reason: c.Reason}
	if b != nil {
		e.Backend = b.address
	}
	log, hook := p.options.Log, p.options.OnEvent
	p.outbox.add(func() {
		level := hclog.Info
		switch e.To {
		case "none":
			level = hclog.Error
		case "down", "ejected", "panic", "backup", "flapping":
			level = hclog.Warn
		}
		switch {
		case !logged:
		case b == nil:
			log.Log(level, "pool changed", "pool", e.Pool, "from", e.From, "to", e.To, "reason", e.Reason)
		default:
			p.digest.add(backendLine{log, level, e.Pool, e.Backend, e.From, e.To, e.Reason}, time.Now())
		}
		if hook != nil {
			hook(e)
		}
	})
}
