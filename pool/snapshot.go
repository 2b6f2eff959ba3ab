package pool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// snapshot is what requests read. It is immutable and replaced as a whole.
type snapshot struct {
	members []*Backend // all of them
	usable  []*Backend // those that picker chooses from
	picker  Picker
	spare   []*Backend // usable backups for retries only; spares chooses from them
	spares  Picker
	tier    tier
	trials  bool                 // all usable ones are on trial
	warming bool                 // some member is in its slow start
	refuse  int                  // members that refuse connections
	sticky  map[string]*Backend  // members by the value that their clients send; nil: not sticky
	counts  [len(stateNames)]int // members by state, in the order of stateNames

	balance      string
	eject        Eject
	downUntil    time.Time // until then requests wait for the pool, which is down; zero: they do not
	queueLimit   int
	queueTimeout time.Duration
	retryBudget  float64
}

// tier says which members a pool uses.
type tier uint8

const (
	tierNone    tier = iota // no backend is usable
	tierUnknown             // none is up; those not probed yet are used
	tierBackup              // no primary is usable, except on trial; the backups are used
	tierPanic               // too few primaries are usable; all are used
	tierPrimary
)

// String returns the name used in the log and in events.
func (t tier) String() string {
	return [...]string{"none", "unknown", "backup", "panic", "primary"}[t]
}

// inOrder picks the first with room; it is used without Options.NewPicker.
type inOrder []*Backend

func (backends inOrder) Pick(uint64) *Backend {
	for _, b := range backends {
		if b.Reserve() {
			return b
		}
	}
	return nil
}

// choice is the backends that get a pool's requests, with the tier.
type choice struct {
	tier    tier
	onTrial []*Backend // the first of used, which get one request each before the others are chosen from
	used    []*Backend
	spare   []*Backend // for retries that have tried all of used
}

// choose applies these rules in order: usable primaries, with usable backups to spare, or if the primaries are fewer
// than the threshold's share, all primaries that do not refuse connections and whose state is known; usable backups,
// together with primaries on trial if there are no others; members without a first probe; none.
func choose(members []*Backend, threshold float64) choice {
	var primaries, onTrial, backups, unknown, unknownBackups, all []*Backend
	known := 0 // primaries, including those that refuse connections
	for _, b := range members {
		s := b.state.Load()
		if s.admin != Ready {
			continue
		}
		switch {
		case s.active == ActiveUnknown && s.passive.out():
		case s.active == ActiveUnknown && s.backup:
			unknownBackups = append(unknownBackups, b)
		case s.active == ActiveUnknown:
			unknown = append(unknown, b)
		case s.backup:
			if s.usable() {
				backups = append(backups, b)
			}
		default:
			known++
			if s.passive != PassiveRefuse {
				all = append(all, b)
			}
			if s.usable() {
				primaries = append(primaries, b)
				if s.passive == PassiveTrial {
					onTrial = append(onTrial, b)
				}
			}
		}
	}
	switch {
	case len(backups) > 0 && len(primaries) == len(onTrial):
		return choice{tier: tierBackup, onTrial: onTrial, used: slices.Concat(onTrial, backups)}
	case len(primaries) > 0 && len(primaries) < len(all) && float64(len(primaries)) < threshold*float64(known):
		return choice{tier: tierPanic, used: all, spare: backups}
	case len(primaries) > 0:
		return choice{tier: tierPrimary, used: primaries, spare: backups}
	case len(unknown) > 0:
		return choice{tier: tierUnknown, used: unknown}
	case len(unknownBackups) > 0:
		return choice{tier: tierUnknown, used: unknownBackups}
	}
	return choice{tier: tierNone}
}

// publish makes the current members and options the snapshot for requests, and serves the queue. The caller holds
// p.mu.
func (p *Pool) publish() {
	o := &p.options
	chosen := choose(p.members, o.PanicThreshold)
	last := p.snapshot.Load()
	next := &snapshot{
		members:      p.members,
		usable:       chosen.used,
		tier:         chosen.tier,
		picker:       p.pickerOf(chosen.used[len(chosen.onTrial):], last != nil),
		trials:       onlyTrials(chosen.used),
		spare:        chosen.spare,
		spares:       p.pickerOf(chosen.spare, last != nil),
		sticky:       p.stickyMembers(),
		balance:      o.Balance,
		eject:        o.Eject,
		queueLimit:   o.QueueLimit,
		queueTimeout: o.QueueTimeout,
		retryBudget:  o.RetryBudget,
	}
	if len(chosen.onTrial) > 0 {
		next.picker = &trialPicker{chosen.onTrial, next.picker}
	}
	for _, b := range p.members {
		s := b.state.Load()
		next.warming = next.warming || s.tenths != 0
		if s.passive == PassiveRefuse {
			next.refuse++
		}
		name := s.name()
		for i := range stateNames {
			if stateNames[i] == name {
				next.counts[i]++
			}
		}
	}
	p.markDown(next, time.Now())
	p.snapshot.Store(next)
	if last != nil && last.tier != next.tier && !p.closed {
		p.tierChanged(last.tier, next)
	}
	if p.queue.waiting.Load() != 0 {
		p.serveQueue()
	}
}

// pickerOf makes the picker of a set. The rotation of the first one starts at the first backend. The caller holds
// p.mu.
func (p *Pool) pickerOf(backends []*Backend, again bool) Picker {
	if p.options.NewPicker == nil || len(backends) == 0 {
		return inOrder(backends)
	}
	var seed uint64
	if again {
		seed = rand.Uint64()
	}
	return p.options.NewPicker(backends, seed)
}

// tierChanged announces a change of the tier, except that the backends of a new pool become known.
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
