package pool

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// snapshot is what requests read: immutable, and replaced whole at each change.
type snapshot struct {
	members []*Backend // all of them
	usable  []*Backend // those that picker chooses from
	picker  Picker
	tier    tier
	warming bool                 // some member is in its slow start
	sticky  map[string]*Backend  // members by the value that their clients bring; nil: not sticky
	counts  [len(stateNames)]int // members by state, in the order of stateNames

	balance      string
	eject        Eject
	queueLimit   int
	queueTimeout time.Duration
	retryBudget  float64
}

// tier says which members a pool has to resort to.
type tier uint8

const (
	tierNone    tier = iota // no backend is usable
	tierUnknown             // none is up; those not probed yet are used
	tierBackup              // no primary is usable; the backups are used
	tierPanic               // too few primaries are usable; all are used
	tierPrimary
)

// String returns the name used in the log and in events.
func (t tier) String() string {
	return [...]string{"none", "unknown", "backup", "panic", "primary"}[t]
}

// inOrder picks the first with room: what a pool without Options.NewPicker does.
type inOrder []*Backend

func (backends inOrder) Pick(uint64) *Backend {
	for _, b := range backends {
		if b.Reserve() {
			return b
		}
	}
	return nil
}

// choose returns the members to pick from and the reason for these. The rules, in order: primaries that
// are usable, or all whose state is known if those are fewer than the threshold's share; backups that are
// usable; members that no probe has looked at yet; nobody.
func choose(members []*Backend, threshold float64) ([]*Backend, tier) {
	var primaries, backups, unknown, unknownBackups, all []*Backend
	for _, b := range members {
		s := b.state.Load()
		if s.admin != Ready {
			continue
		}
		switch {
		case s.active == ActiveUnknown && s.passive == PassiveEject:
		case s.active == ActiveUnknown && s.backup:
			unknownBackups = append(unknownBackups, b)
		case s.active == ActiveUnknown:
			unknown = append(unknown, b)
		case s.backup:
			if s.usable() {
				backups = append(backups, b)
			}
		default:
			all = append(all, b)
			if s.usable() {
				primaries = append(primaries, b)
			}
		}
	}
	switch {
	case len(primaries) > 0 && float64(len(primaries)) < threshold*float64(len(all)):
		return all, tierPanic
	case len(primaries) > 0:
		return primaries, tierPrimary
	case len(backups) > 0:
		return backups, tierBackup
	case len(unknown) > 0:
		return unknown, tierUnknown
	case len(unknownBackups) > 0:
		return unknownBackups, tierUnknown
	}
	return nil, tierNone
}

// publish makes the current members and options what requests see, and serves those who wait.
// The caller holds p.mu.
func (p *Pool) publish() {
	o := &p.options
	usable, t := choose(p.members, o.PanicThreshold)
	next := &snapshot{
		members:      p.members,
		usable:       usable,
		tier:         t,
		picker:       inOrder(usable),
		sticky:       p.stickyMembers(),
		balance:      o.Balance,
		eject:        o.Eject,
		queueLimit:   o.QueueLimit,
		queueTimeout: o.QueueTimeout,
		retryBudget:  o.RetryBudget,
	}
	last := p.snapshot.Load()
	if o.NewPicker != nil && len(usable) > 0 {
		var seed uint64
		if last != nil {
			seed = rand.Uint64()
		}
		next.picker = o.NewPicker(usable, seed)
	}
	for _, b := range p.members {
		s := b.state.Load()
		next.warming = next.warming || s.tenths != 0
		name := s.name()
		for i := range stateNames {
			if stateNames[i] == name {
				next.counts[i]++
			}
		}
	}
	p.snapshot.Store(next)
	if last != nil && last.tier != next.tier && !p.closed {
		p.tierChanged(last.tier, next)
	}
	if p.queue.waiting.Load() != 0 {
		p.serveQueue()
	}
}

// tierChanged reports a pool that has come into or out of trouble. That the backends of
// a pool get known is no news.
func (p *Pool) tierChanged(from tier, s *snapshot) {
	if from == tierUnknown && s.tier == tierPrimary {
		return
	}
	p.announce(nil, Change{
		Time:   time.Now(),
		From:   from.String(),
		To:     s.tier.String(),
		Reason: fmt.Sprintf("%d of %d backends up, %d used", s.counts[0], len(s.members), len(s.usable)),
	}, true)
}
