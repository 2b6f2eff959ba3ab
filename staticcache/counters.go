package staticcache

import "lb/telemetry"

// counters are looked up once; the request path only adds to them.
type counters struct {
	hit, miss, stream, notModified, evictions *telemetry.Counter
}

func newCounters(s *telemetry.Scope) counters {
	counter := func(name string, labels ...string) *telemetry.Counter {
		if s == nil {
			return new(telemetry.Counter)
		}
		return s.Counter(name, labels...)
	}
	requests := func(result string) *telemetry.Counter {
		return counter("lb_static_requests_total", "result", result)
	}
	return counters{
		hit:         requests("hit"),
		miss:        requests("miss"),
		stream:      requests("stream"),
		notModified: requests("not_modified"),
		evictions:   counter("lb_static_evictions_total"),
	}
}
