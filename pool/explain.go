package pool

import (
	"fmt"
	"slices"
	"time"
)

// Predictable is a Picker whose choice depends only on the key and the current loads, not on chance or a rotation.
type Predictable interface {
	Picker
	// Prefer returns the backend that Pick would choose now, nil if none has room, and the key's own backend, which
	// it would choose if none were full or overloaded. It reserves nothing.
	Prefer(key uint64) (now, own *Backend)
}

// Prospects are a pool as a new request would find it, in the shape of the admin API.
type Prospects struct {
	Name    string `json:"name"`
	Balance string `json:"balance"`
	// Tier says which backends the algorithm chooses from: primary, panic, backup, unknown or none.
	Tier     string     `json:"tier"`
	Why      string     `json:"why"`
	Waiting  int        `json:"waiting"`          // requests in the queue
	Sticky   string     `json:"sticky,omitempty"` // the effect of the client's sticky value
	Choice   string     `json:"choice,omitempty"` // the backend that would get the request, if it can be predicted
	Own      string     `json:"own,omitempty"`    // the key's own backend, if another one would get the request
	Backends []Prospect `json:"backends"`
}

// Prospect is a backend as a new request would find it.
type Prospect struct {
	BackendStatus
	Used  bool       `json:"used"`            // the algorithm chooses from these
	Room  bool       `json:"room"`            // there is room for another request
	Why   string     `json:"why,omitempty"`   // why it is not used, has no room, or is used in spite of its state
	Since *time.Time `json:"since,omitempty"` // when that began, where it is known
	Until *time.Time `json:"until,omitempty"` // when an ejection ends
}

// Explain returns what Pick, or with a value PickSticky, would choose from. It reserves nothing. If keyed is false,
// the key is not known.
func (p *Pool) Explain(key uint64, keyed bool, value []byte) Prospects {
	s := p.snapshot.Load()
	out := Prospects{
		Name: p.name, Balance: s.balance, Tier: s.tier.String(), Why: s.tier.reason(len(s.usable), len(s.members)),
		Waiting: int(p.queue.waiting.Load()), Backends: make([]Prospect, len(s.members)),
	}
	if _, ok := s.picker.(*trialPicker); ok {
		out.Why = "no other backend is usable except those on trial, so the backups are used, too"
	}
	if time.Now().Before(s.downUntil) {
		out.Why = "no backend is usable: requests wait briefly until one is"
	}
	room := len(s.usable) == 0
	for i, b := range s.members {
		out.Backends[i] = b.prospect(s.tier, slices.Contains(s.usable, b))
		room = room || out.Backends[i].Used && out.Backends[i].Room
	}
	switch {
	case room:
	case s.queueLimit > 0:
		out.Why += fmt.Sprintf(", but none has room: the request waits in the queue, as at most %d may", s.queueLimit)
	default:
		out.Why += ", but none has room, so the response is 503"
	}
	if picker, ok := s.picker.(Predictable); ok && keyed && len(s.usable) > 0 {
		now, own := picker.Prefer(key)
		if now != nil {
			out.Choice = now.address
		}
		if own != nil && own != now {
			out.Own = own.address
		}
	}
	if s.sticky != nil {
		s.explainSticky(&out, value)
	}
	return out
}

// explainSticky adds the effect of a sticky value.
func (s *snapshot) explainSticky(out *Prospects, value []byte) {
	switch own := s.sticky[string(value)]; {
	case len(value) == 0:
		out.Sticky = "the request has no cookie, so it may go to any backend"
	case own == nil:
		out.Sticky = "the cookie belongs to no backend of the pool, so the request may go to any"
	case !own.returning():
		out.Sticky = "the cookie belongs to " + own.address + ", which cannot be used, so the request goes to another"
	case !own.awaited() && !own.hasRoom():
		out.Sticky = "the cookie belongs to " + own.address + ", which is on trial and has its one request, so this one goes to another"
	default:
		out.Sticky = "the cookie belongs to " + own.address
		out.Choice, out.Own = own.address, ""
	}
}

// hasRoom returns what Reserve would, without reserving.
func (b *Backend) hasRoom() bool {
	inFlight, room := b.Load()
	if b.limit.Load() == onTrial {
		return inFlight < b.trialLimit() && b.trialOpen(b.trial.Load())
	}
	return room
}

func (t tier) reason(used, members int) string {
	switch t {
	case tierPrimary:
		return fmt.Sprintf("%d of %d backends are used", used, members)
	case tierPanic:
		return "panic: so few backends are usable that all are used, whatever the checks say"
	case tierBackup:
		return "no other backend is usable, so the backups are used"
	case tierUnknown:
		return "no backend is known to be up, so those that are not checked yet are used"
	}
	if members == 0 {
		return "the pool has no backends"
	}
	return "no backend is usable, so the response is 503"
}

func (b *Backend) prospect(t tier, used bool) Prospect {
	s := b.state.Load()
	room := b.hasRoom()
	out := Prospect{BackendStatus: b.status(s), Used: used, Room: room}
	why, change := s.objection()
	switch {
	case why != "" && used && t == tierPanic:
		out.Why = why + "; used anyway because the pool is in panic"
	case why != "":
		out.Why = why
	case !used && s.backup:
		out.Why = "a backup: not needed while another backend is usable"
	case s.passive == PassiveTrial && !room:
		out.Why, change = "on trial, and has its one request", s.passiveChange
	case s.passive == PassiveTrial:
		out.Why, change = "on trial: one request at a time until one succeeds", s.passiveChange
	case !room:
		out.Why = fmt.Sprintf("full: %d of %d requests in flight", b.InFlight(), s.maxConns)
	}
	if change != nil {
		at := change.Time
		out.Since = &at
		if change.Reason != "" {
			out.Why += " (" + change.Reason + ")"
		}
	}
	if s.admin == Ready && s.active != ActiveDown && s.passive == PassiveEject {
		until := s.until
		out.Until = &until
	}
	return out
}

// cause is the change that made a backend unusable or put it on trial; nil if it is neither, or was so from the beginning.
func (s *state) cause() *Change {
	why, change := s.objection()
	if why == "" && s.passive == PassiveTrial {
		return s.passiveChange
	}
	return change
}

// objection returns why a backend is not usable, "" if it is, and the change that caused it, nil if there was none.
func (s *state) objection() (why string, change *Change) {
	switch {
	case s.admin == Drain:
		return "drain: an administrator stopped new requests", s.adminChange
	case s.admin == Maint:
		return "maint: an administrator stopped all requests", s.adminChange
	case s.active == ActiveDown:
		return "down: its health checks fail", s.activeChange
	case s.passive == PassiveEject:
		return "ejected: requests to it failed", s.passiveChange
	case s.passive == PassiveRefuse:
		return "ejected: no connection to it can be made", s.passiveChange
	case s.active == ActiveUnknown:
		return "unknown: it has not been checked yet", s.activeChange
	}
	return "", nil
}
