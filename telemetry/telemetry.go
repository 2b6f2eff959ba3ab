// Package telemetry is what lb tells about itself: metrics, the operations log and the access log.
//
// Everything that the request path touches (a counter, a histogram, a set of counters by status)
// is looked up once, when the configuration is built, and is then only added to.
package telemetry

import (
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// Counter counts events; Inc, Add and Get are safe for concurrent use and take no lock.
type Counter = metrics.Counter

// Registry holds every series that /metrics shows. The zero value is not usable; see NewRegistry.
// All its methods are safe for concurrent use.
type Registry struct {
	mu     sync.Mutex
	scopes []*Scope // oldest first
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{} }

// NewScope returns a group of series that come and go together: those of one backend, say.
func (r *Registry) NewScope() *Scope {
	s := &Scope{
		registry:   r,
		set:        metrics.NewSet(),
		histograms: make(map[series]*Histogram),
		codes:      make(map[series]*CodeCounters),
	}
	r.mu.Lock()
	r.scopes = append(r.scopes, s)
	r.mu.Unlock()
	return s
}

// BuildInfo adds lb_build_info with the version given and that of the Go toolchain.
func (r *Registry) BuildInfo(version string) {
	r.NewScope().Gauge("lb_build_info", func() float64 { return 1 },
		"version", version, "go_version", runtime.Version())
}

func (r *Registry) remove(s *Scope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.scopes, s); i >= 0 {
		r.scopes = slices.Delete(r.scopes, i, i+1)
	}
}

// newestFirst returns the scopes of this moment, so that a scrape works on a fixed list.
func (r *Registry) newestFirst() []*Scope {
	r.mu.Lock()
	scopes := slices.Clone(r.scopes)
	r.mu.Unlock()
	slices.Reverse(scopes)
	return scopes
}

// Scope is a group of series with one life time.
//
// Two scopes may hold the same series for a while, as when a backend is replaced by one with the
// same address: the newest scope's value is shown. Names of families and of labels are constants
// of the code, and a wrong one panics; label values may be any bytes.
type Scope struct {
	registry *Registry
	set      *metrics.Set // counters and gauges

	mu         sync.Mutex
	histograms map[series]*Histogram
	codes      map[series]*CodeCounters
}

// Counter returns the counter with that name; labels are name, value, name, value ….
// Asking twice for the same name and labels returns the same counter.
func (s *Scope) Counter(name string, labels ...string) *Counter {
	return s.set.GetOrCreateCounter(newSeries(name, labels).String())
}

// Gauge registers a gauge whose value is asked for at each scrape. It replaces one with the same
// name and labels. A scrape under way may still call value once after Close.
func (s *Scope) Gauge(name string, value func() float64, labels ...string) {
	id := newSeries(name, labels).String()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set.UnregisterMetric(id)
	s.set.NewGauge(id, value)
}

// Histogram returns a histogram of durations in seconds with cumulative le buckets.
// Asking twice for the same name and labels returns the same histogram.
func (s *Scope) Histogram(name string, labels ...string) *Histogram {
	id := newSeries(name, labels)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.histograms[id]
	if h == nil {
		h = &Histogram{}
		s.histograms[id] = h
	}
	return h
}

// CodeCounters returns counters by HTTP status in the label "code".
// Asking twice for the same name and labels returns the same counters.
func (s *Scope) CodeCounters(name string, labels ...string) *CodeCounters {
	id := newSeries(name, labels)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.codes[id]
	if c == nil {
		c = &CodeCounters{scope: s, name: name, labels: slices.Clone(labels)}
		s.codes[id] = c
	}
	return c
}

// Close takes the scope's series out of the registry. What still counts in them counts unseen.
// Closing twice is harmless.
func (s *Scope) Close() { s.registry.remove(s) }

// series names one time series: a family and its labels, rendered as `a="x",b="y"`.
type series struct{ family, labels string }

// newSeries panics on an odd number of labels and on a name that Prometheus does not take: both are
// constants of the code.
func newSeries(family string, labels []string) series {
	if len(labels)%2 != 0 {
		panic("telemetry: " + family + ": a label without a value")
	}
	var b strings.Builder
	for i := 0; i < len(labels); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(labels[i])
		b.WriteString(`="`)
		writeLabelValue(&b, labels[i+1])
		b.WriteByte('"')
	}
	id := series{family, b.String()}
	if err := metrics.ValidateMetric(id.String()); err != nil {
		panic("telemetry: " + err.Error())
	}
	return id
}

func (id series) String() string {
	if id.labels == "" {
		return id.family
	}
	return id.family + "{" + id.labels + "}"
}

// writeLabelValue escapes what the text format reserves. Prometheus refuses a whole scrape over one
// value that is no UTF-8, so such bytes become U+FFFD.
func writeLabelValue(b *strings.Builder, v string) {
	for _, r := range v { // a byte that is no UTF-8 arrives as U+FFFD
		switch r {
		case '\\':
			b.WriteString(`\\`)
		case '"':
			b.WriteString(`\"`)
		case '\n':
			b.WriteString(`\n`)
		default:
			b.WriteRune(r)
		}
	}
}
