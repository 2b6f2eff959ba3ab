// Package telemetry is what lb tells about itself: metrics, the operations log and the access log.
//
// Everything that the request path touches (a counter, a histogram, a set of counters by status)
// is looked up once, when the configuration is built, and is then only added to.
package telemetry

import (
	"io"

	"github.com/VictoriaMetrics/metrics"
)

// Counter counts events; Inc, Add and Get are safe for concurrent use and take no lock.
type Counter = metrics.Counter

// Registry holds every series that /metrics shows. The zero value is not usable; see NewRegistry.
type Registry struct{}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { panic("todo") }

// NewScope returns a group of series that come and go together: those of one backend, say.
func (r *Registry) NewScope() *Scope { panic("todo") }

// WritePrometheus writes all series in the Prometheus text format, grouped by
// family with HELP and TYPE lines.
func (r *Registry) WritePrometheus(w io.Writer) error { panic("todo") }

// Scope is a group of series with one life time.
type Scope struct{}

// Counter returns the counter with that name; labels are name, value, name, value ….
// Asking twice for the same name and labels returns the same counter.
func (s *Scope) Counter(name string, labels ...string) *Counter { panic("todo") }

// Gauge registers a gauge whose value is asked for at each scrape.
func (s *Scope) Gauge(name string, value func() float64, labels ...string) { panic("todo") }

// Histogram returns a histogram of durations in seconds with cumulative le buckets.
func (s *Scope) Histogram(name string, labels ...string) *Histogram { panic("todo") }

// CodeCounters returns counters by HTTP status in the label "code".
func (s *Scope) CodeCounters(name string, labels ...string) *CodeCounters { panic("todo") }

// Close takes the scope's series out of the registry.
func (s *Scope) Close() { panic("todo") }
