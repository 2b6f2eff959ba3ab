package pool

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/telemetry"
)

// SourceConfig is the source of the members in Options.Members.
const SourceConfig = "config"

// Options are the settings of a pool. The zero value of every field has a meaning; a pool with the zero Options is
// empty and picks nothing.
type Options struct {
	Name    string
	Balance string // the algorithm's name, for the status only

	// NewPicker makes the picker of a snapshot; it is called at each change of state. The seed is 0 for a pool's
	// first picker and random after that, so that rotations that start again do not favour the first backend. nil:
	// the first with room, in order.
	NewPicker func(usable []*Backend, seed uint64) Picker

	// Sticky, if set, makes clients return to their backend.
	Sticky *Sticky

	// Connect makes the connections of a backend that joins, always in the same type. It must not block and must
	// not call the pool's setters. nil: backends have no connections.
	Connect func(*Backend) Connections

	// Dial connects to a backend as a request would, TLS included, and closes the connection; it must give up when
	// the context ends. With it a backend that refuses a connection is not used until it accepts one. nil: a refused
	// connection is an ordinary failure.
	Dial func(context.Context, *Backend) error

	// TransportKey represents all settings that Connect uses. If it differs in Apply, all backends that stay get new
	// connections; running requests end on the old ones.
	TransportKey string

	Members []Member // those in the configuration
	Sources []string // the discoverers, in order of precedence; Apply removes the members of others
	// Restarted are those of Sources that start again with this Apply. Their members stay until they publish. So do,
	// as with new Sources, the members of all others that leave.
	Restarted []string

	HealthChecks   bool    // backends join as unknown rather than up
	PanicThreshold float64 // with fewer usable than this share, but at least one, all are used; 0: never
	Eject          Eject
	SlowStart      time.Duration // in which a returning backend gets its share step by step; 0: at once
	QueueLimit     int           // most waiting requests; 0: none waits, Pick fails with ErrFull
	QueueTimeout   time.Duration // longest wait; 0: only the context bounds it
	WhileDown      time.Duration // how long requests wait for a pool that is down; 0: none waits
	RetryBudget    float64       // share of requests that may be retried; 0: only the floor of limits.RetryFloor

	// CheckNow, if set, is called repeatedly for each backend whose checks fail while requests wait for the pool; one
	// check that passes should suffice then. It must not block.
	CheckNow func(*Backend)

	Clock Clock // of backends that join; nil: Monotonic

	// The hooks are called one at a time, in the order of the changes, without locks, never by a request, and never
	// before Start, which reports the members that the pool was made with.
	OnJoin  func(*Backend)
	OnLeave func(*Backend)
	OnAdmin func(*Backend) // a member's admin state has changed; called before OnEvent for the same change
	OnEvent func(Event)

	Log       hclog.Logger        // nil: nothing is logged
	Telemetry *telemetry.Registry // nil: the series are kept but not shown
}

// Eject says when a backend is ejected because of failed requests.
type Eject struct {
	Failures int           // in a row; 0: never
	Duration time.Duration // times the number of ejections in a row, at most ten times
	// MaxPercent bounds the ejections by status, timeout or invalid responses, which the requests may have caused: at
	// most that percentage of the pool's members, rounded down, may be ejected. 50 of one backend is none, of two
	// one. Failed or reset connections eject all but the last usable one.
	MaxPercent int
}

// Member is a backend as configured or discovered. Within a pool the address is the identity.
type Member struct {
	Address  string // "127.0.0.1:5000", "unix:/run/app.sock"
	Weight   int    // 0: 1
	MaxConns int    // requests at a time; 0: no limit
	Backup   bool   // used only while no other is usable
}

// Event is a change of a backend's state, for the log and the event stream.
type Event struct {
	Time    time.Time `json:"time"`
	Pool    string    `json:"pool"`
	Backend string    `json:"backend,omitempty"` // "": the pool itself
	From    string    `json:"from"`
	To      string    `json:"to"`
	Reason  string    `json:"reason"`
}
