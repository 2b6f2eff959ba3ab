package pool

import (
	"fmt"
	"time"
)

// Active is the result of the health checks.
type Active uint8

// The active states. A backend without health checks is ActiveUp.
const (
	ActiveUnknown Active = iota // no probe has ended yet; used only when none is up
	ActiveUp
	ActiveDown
)

// String returns the name used in the status and in metrics.
func (a Active) String() string {
	switch a {
	case ActiveUp:
		return "up"
	case ActiveDown:
		return "down"
	}
	return "unknown"
}

// Passive is the result of the backend's own responses.
type Passive uint8

// The passive states.
const (
	PassiveOK     Passive = iota
	PassiveEject          // not used until its time is up
	PassiveTrial          // after an ejection: one request at a time until one succeeds
	PassiveRefuse         // not used until it accepts a connection: see Backend.Refused
)

// String returns the name used in the status. A backend that refuses connections is shown as ejected; the reason of
// the change has the difference.
func (s Passive) String() string {
	switch s {
	case PassiveEject, PassiveRefuse:
		return "ejected"
	case PassiveTrial:
		return "trial"
	}
	return "ok"
}

// out reports whether no request goes to a backend in that state.
func (s Passive) out() bool { return s == PassiveEject || s == PassiveRefuse }

// Admin is the administrator's state of a backend.
type Admin uint8

// The admin states.
const (
	Ready Admin = iota
	Drain       // no new requests; those in flight finish
	Maint       // no requests and no probes
)

// String returns the name used in the status, in metrics and in the admin API.
func (a Admin) String() string {
	switch a {
	case Drain:
		return "drain"
	case Maint:
		return "maint"
	}
	return "ready"
}

// MarshalText implements encoding.TextMarshaler.
func (a Admin) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Admin) UnmarshalText(text []byte) error {
	parsed, ok := ParseAdmin(string(text))
	if !ok {
		return fmt.Errorf("unknown admin state %q", text)
	}
	*a = parsed
	return nil
}

// ParseAdmin is the inverse of Admin.String.
func ParseAdmin(s string) (Admin, bool) {
	for _, a := range [...]Admin{Ready, Drain, Maint} {
		if s == a.String() {
			return a, true
		}
	}
	return Ready, false
}

// stateNames are the values of the label "state"; each backend is in exactly one.
var stateNames = [...]string{"up", "down", "unknown", "ejected", "drain", "maint"}

// state is everything about a backend that changes seldom. It is immutable and replaced as a whole, so that readers
// see the three axes of one moment.
type state struct {
	active  Active
	passive Passive
	admin   Admin

	configured int // weight by configuration or discovery
	override   int // weight set at run time; 0: none
	maxConns   int
	backup     bool

	until     time.Time // end of the ejection
	ejections int       // in a row

	flapping bool // active flips too often

	cold      bool      // starts slowly once it is settled
	warmSince time.Time // zero: no slow start
	tenths    int       // of the weight that count during a slow start, below fullShare; 0: all

	change Change // the last one
	// The last change of each axis, which is the reason for its value; nil: it has not changed. The last change of
	// all may be of another axis.
	activeChange, passiveChange, adminChange *Change
}

// record sets the last change of the state, and of each axis in which it differs from was.
func (s *state) record(was *state, c Change) {
	s.change = c
	if s.active != was.active {
		s.activeChange = &c
	}
	if s.passive != was.passive {
		s.passiveChange = &c
	}
	if s.admin != was.admin {
		s.adminChange = &c
	}
}

func (s *state) weight() int {
	if s.override > 0 {
		return s.override
	}
	return max(s.configured, 1)
}

// usable is the AND of the three axes.
func (s *state) usable() bool {
	return s.active == ActiveUp && !s.passive.out() && s.admin == Ready
}

// name is the most important state: the administrator's before that of the probes, and that before that of requests.
func (s *state) name() string {
	switch {
	case s.admin != Ready:
		return s.admin.String()
	case s.active != ActiveUp:
		return s.active.String()
	case s.passive.out():
		return "ejected"
	}
	return "up"
}
