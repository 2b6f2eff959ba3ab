// Package telemetry has the metrics, the operations log and the access log of lb.
//
// Everything that the request path uses (a counter, a histogram, a set of counters by status) is looked up once, when
// the configuration is built.
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
	mu         sync.Mutex
	scopes     []*Scope // oldest first
	counters   shared[Counter]
	loops      shared[LoopCounter]
	histograms shared[Histogram]
}

// shared are values that are removed when the last scope that holds them is closed.
type shared[T any] map[series]*struct {
	value   *T
	holders int
}

// hold returns the value of a series, creating it if necessary, for one more holder.
func (m shared[T]) hold(id series, create func() *T) *T {
	x := m[id]
	if x == nil {
		x = new(struct {
			value   *T
			holders int
		})
		x.value = create()
		m[id] = x
	}
	x.holders++
	return x.value
}

// values returns the values by series.
func (m shared[T]) values() map[series]*T {
	all := make(map[series]*T, len(m))
	for id, x := range m {
		all[id] = x.value
	}
	return all
}

func (m shared[T]) release(id series) {
	if m[id].holders--; m[id].holders == 0 {
		delete(m, id)
	}
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{counters: shared[Counter]{}, loops: shared[LoopCounter]{}, histograms: shared[Histogram]{}}
}

// NewScope returns a group of series with a common lifetime, such as those of one backend.
func (r *Registry) NewScope() *Scope {
	s := &Scope{
		registry:   r,
		gauges:     metrics.NewSet(),
		counters:   make(map[series]*Counter),
		loops:      make(map[series]*LoopCounter),
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

// Scope is a group of series with one life time.
//
// Several scopes may hold one series, as when a backend is replaced by one with the same address. Counters and
// histograms are then shared, and removed with the last scope, so that they never count backwards; of gauges, the
// newest scope's is shown.
//
// Names of families and of labels are constants of the code, and a wrong one panics; label values may be any bytes.
type Scope struct {
	registry *Registry
	gauges   *metrics.Set

	// The rest is guarded by the registry's lock.
	counters   map[series]*Counter
	loops      map[series]*LoopCounter
	histograms map[series]*Histogram
	codes      map[series]*CodeCounters
	closed     bool
}

// Counter returns the counter with that name; labels are name, value, name, value …. It returns the same counter for
// the same name and labels.
func (s *Scope) Counter(name string, labels ...string) *Counter {
	return held(s, s.counters, s.registry.counters, newSeries(name, labels), func() *Counter { return new(Counter) })
}

// LoopCounter is Counter for what event loops count with each request.
func (s *Scope) LoopCounter(name string, labels ...string) *LoopCounter {
	return held(s, s.loops, s.registry.loops, newSeries(name, labels), NewLoopCounter)
}

// Histogram returns a histogram of durations in seconds with cumulative le buckets. It returns the same histogram for
// the same name and labels.
func (s *Scope) Histogram(name string, labels ...string) *Histogram {
	return s.histogram(1, name, labels)
}

// LoopHistogram is Histogram for what event loops observe with each request.
func (s *Scope) LoopHistogram(name string, labels ...string) *Histogram {
	return s.histogram(loopShards(), name, labels)
}

func (s *Scope) histogram(shards int, name string, labels []string) *Histogram {
	return held(s, s.histograms, s.registry.histograms, newSeries(name, labels), func() *Histogram { return newHistogram(shards) })
}

// held returns the scope's own value, or the one that other scopes hold already, or a new one. After Close it returns
// one that is not shown: a request may have a new status on a backend that left.
func held[T any](s *Scope, own map[series]*T, all shared[T], id series, create func() *T) *T {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	x := own[id]
	if x == nil {
		if s.closed {
			return create()
		}
		x = all.hold(id, create)
		own[id] = x
	}
	return x
}

// Gauge registers a gauge whose value is called at each scrape. It replaces one with the same name and labels. A
// running scrape may still call value once after Close.
func (s *Scope) Gauge(name string, value func() float64, labels ...string) {
	id := newSeries(name, labels).String()
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	s.gauges.UnregisterMetric(id)
	s.gauges.NewGauge(id, value)
}

// CodeCounters returns counters by status in the label "code", a LoopCounter for each status. It returns the same counters for the same
// name and labels.
func (s *Scope) CodeCounters(name string, labels ...string) *CodeCounters {
	id := newSeries(name, labels)
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	c := s.codes[id]
	if c == nil {
		c = &CodeCounters{scope: s, name: name, labels: slices.Clone(labels)}
		s.codes[id] = c
	}
	return c
}

// Close removes the scope's series from the registry. Those that no other scope holds can still be counted but are
// not shown. Closing twice is harmless.
func (s *Scope) Close() {
	r := s.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	i := slices.Index(r.scopes, s)
	r.scopes = slices.Delete(r.scopes, i, i+1)
	for id := range s.counters {
		r.counters.release(id)
	}
	for id := range s.loops {
		r.loops.release(id)
	}
	for id := range s.histograms {
		r.histograms.release(id)
	}
}

// series names one time series: a family and its labels, rendered as `a="x",b="y"`.
type series struct{ family, labels string }

// newSeries panics on an odd number of labels and on a name that is invalid in Prometheus; both are constants of the
// code.
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

// writeLabelValue escapes what the text format reserves. Prometheus rejects a whole scrape for one value that is not
// UTF-8, so such bytes become U+FFFD.
func writeLabelValue(b *strings.Builder, v string) {
	for _, r := range v { // a byte that is not UTF-8 is read as U+FFFD
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
