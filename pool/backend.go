// Package pool holds the backends of a pool, their state, and the ready snapshot that requests pick from.
package pool

import (
	"io"
	"time"
)

// Connections is the transport's side of a backend; the proxy knows its concrete type.
// Close closes the idle connections and makes the busy ones close when they are done.
type Connections interface {
	io.Closer
	Counts() (active, idle int)
}

// Outcome is how one attempt on a backend ended.
type Outcome uint8

// The outcomes of an attempt.
const (
	Success  Outcome = iota // a response that is no failure
	Connect                 // could not connect
	Reset                   // the connection ended before the response did
	Timeout                 // no progress in time
	Protocol                // no valid HTTP
	Status                  // a whole response with 502, 503 or 504
	Aborted                 // the client went away; says nothing of the backend
)

// Backend is one member of a pool.
type Backend struct {
	// Conns is set once, when the backend joins, from Options.Connect.
	Conns   Connections
	Metrics Metrics
}

// Address returns the address as configured or discovered: "127.0.0.1:5000", "unix:/run/app.sock".
func (b *Backend) Address() string { panic("todo") }

// Pool returns the pool that the backend is or was a member of; nil for one made by NewBackend.
func (b *Backend) Pool() *Pool { panic("todo") }

// Weight returns the weight in force, at least 1.
func (b *Backend) Weight() int { panic("todo") }

// MaxConns returns the most requests at a time; 0: no limit.
func (b *Backend) MaxConns() int { panic("todo") }

// InFlight returns the number of requests that have reserved the backend and not released it.
func (b *Backend) InFlight() int64 { panic("todo") }

// AdminState returns what the administrator wants; a prober does not probe in Maint.
func (b *Backend) AdminState() Admin { panic("todo") }

// ActiveState returns what the health checks say.
func (b *Backend) ActiveState() Active { panic("todo") }

// Usable tells whether all three axes allow requests.
func (b *Backend) Usable() bool { panic("todo") }

// Reserve takes one place and tells whether there was one. Pickers call it; the caller of Pick releases.
func (b *Backend) Reserve() bool { panic("todo") }

// Release gives back what Pick reserved. Exactly once for each pick.
func (b *Backend) Release() { panic("todo") }

// Report tells how an attempt ended. It feeds passive ejection and the error counters; it does not release.
func (b *Backend) Report(o Outcome) { panic("todo") }

// Observe adds the time to a response head to the backend's moving average and to lb_backend_duration_seconds.
func (b *Backend) Observe(d time.Duration) { panic("todo") }

// RecordCheck keeps the result of a probe for the status and counts it. It changes no state:
// see Pool.SetActive and Pool.ProbePassed.
func (b *Backend) RecordCheck(c Check) { panic("todo") }

// Status returns the backend as the admin API shows it.
func (b *Backend) Status() BackendStatus { panic("todo") }

// NewBackend returns a backend that belongs to no pool: for pickers' tests and benchmarks.
func NewBackend(m Member) *Backend { panic("todo") }
