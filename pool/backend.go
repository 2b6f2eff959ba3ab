// Package pool holds the backends of a pool, their state, and the ready snapshot that requests pick from.
package pool

import (
	"io"

	"lb/telemetry"
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

// Metrics are the series of one backend, resolved when it joins its pool.
type Metrics struct {
	Requests *telemetry.CodeCounters // lb_backend_requests_total
	Duration *telemetry.Histogram    // lb_backend_duration_seconds
	Opened   *telemetry.Counter      // lb_backend_connections_total{result="opened"}
	Reused   *telemetry.Counter
	Failed   *telemetry.Counter
	// and lb_backend_errors_total by reason, counted by Backend.Report
}

// Backend is one member of a pool.
type Backend struct {
	// Conns is set once, when the backend joins, from Options.Connect.
	Conns   Connections
	Metrics Metrics
}

// Address returns the address as configured or discovered: "127.0.0.1:5000", "unix:/run/app.sock".
func (b *Backend) Address() string { panic("todo") }

// Report tells how an attempt ended. It feeds passive ejection and the error counters; it does not release.
func (b *Backend) Report(o Outcome) { panic("todo") }

// Release gives back what Pick reserved. Exactly once for each pick.
func (b *Backend) Release() { panic("todo") }
