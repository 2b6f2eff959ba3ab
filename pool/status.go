package pool

import (
	"math"
	"time"
)

// Check is the result of one probe.
type Check struct {
	Time     time.Time     `json:"time"`
	OK       bool          `json:"ok"`
	Duration time.Duration `json:"-"`
	Millis   float64       `json:"duration_ms"`      // filled in from Duration
	Status   int           `json:"status,omitempty"` // of the response; 0: there was none
	Error    string        `json:"error,omitempty"`
}

// Change is the last change of a backend's state.
type Change struct {
	Time   time.Time `json:"time"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
}

// BackendStatus is one backend at one moment, in the shape of the admin API.
type BackendStatus struct {
	Address          string  `json:"address"`
	Weight           int     `json:"weight"`
	ConfiguredWeight int     `json:"configured_weight,omitempty"`  // only if another was set at run time
	SlowStartPercent int     `json:"slow_start_percent,omitempty"` // of its weight, while it starts slowly
	MaxConns         int     `json:"max_conns,omitempty"`
	Backup           bool    `json:"backup"`
	Usable           bool    `json:"usable"`             // the AND of the three axes
	State            string  `json:"state"`              // the one name that lb_backend_state shows
	Flapping         bool    `json:"flapping,omitempty"` // active changes too often
	Active           string  `json:"active"`
	Passive          string  `json:"passive"`
	Admin            string  `json:"admin"`
	InFlight         int64   `json:"in_flight"`
	ActiveConns      int     `json:"connections_active"`
	IdleConns        int     `json:"connections_idle"`
	Requests         uint64  `json:"requests"`
	Errors           uint64  `json:"errors"` // failed attempts, without those that the client ended
	EWMAMillis       float64 `json:"ewma_ms"`
	LastCheck        *Check  `json:"last_check,omitempty"`
	LastChange       *Change `json:"last_change,omitempty"`
	Cause            *Change `json:"cause,omitempty"` // what made it unusable or put it on trial, if that is so
}

// PoolStatus is a whole pool in the shape of the admin API.
type PoolStatus struct {
	Name     string          `json:"name"`
	Balance  string          `json:"balance"`
	Panic    bool            `json:"panic"`
	Tier     string          `json:"tier"`    // which backends it chooses from: primary, panic, backup, unknown or none
	Waiting  int             `json:"waiting"` // requests in the queue
	Backends []BackendStatus `json:"backends"`
}

// Status returns the backend as the admin API shows it.
func (b *Backend) Status() BackendStatus { return b.status(b.state.Load()) }

func (b *Backend) status(s *state) BackendStatus {
	out := BackendStatus{
		Address:  b.address,
		Weight:   s.weight(),
		MaxConns: s.maxConns,

		SlowStartPercent: s.tenths * 100 / fullShare,

		Backup:     s.backup,
		Usable:     s.usable(),
		State:      s.name(),
		Flapping:   s.flapping,
		Active:     s.active.String(),
		Passive:    s.passive.String(),
		Admin:      s.admin.String(),
		InFlight:   b.InFlight(),
		Errors:     b.failed.Load(),
		EWMAMillis: millis(math.Float64frombits(b.ewma.Load())),
		LastCheck:  b.lastCheck.Load(),
	}
	if s.override != 0 {
		out.ConfiguredWeight = s.configured
	}
	if !s.change.Time.IsZero() {
		change := s.change
		out.LastChange = &change
	}
	if cause := s.cause(); cause != nil {
		change := *cause
		out.Cause = &change
	}
	out.ActiveConns, out.IdleConns = b.countConns()
	if b.Metrics.Requests != nil {
		out.Requests = b.Metrics.Requests.Total()
	}
	return out
}

// Status returns the pool as the admin API shows it.
func (p *Pool) Status() PoolStatus {
	s := p.snapshot.Load()
	out := PoolStatus{
		Name:     p.name,
		Balance:  s.balance,
		Panic:    s.tier == tierPanic,
		Tier:     s.tier.String(),
		Waiting:  int(p.queue.waiting.Load()),
		Backends: make([]BackendStatus, len(s.members)),
	}
	for i, b := range s.members {
		out.Backends[i] = b.Status()
	}
	return out
}

// millis converts nanoseconds to milliseconds, rounded to microseconds for people.
func millis(ns float64) float64 {
	return math.Round(ns/1e3) / 1e3
}
