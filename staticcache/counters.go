package staticcache

import "lb/telemetry"

// counters are looked up once; the request path only adds to them.
type counters struct {
	hit, notModified        *telemetry.LoopCounter
	miss, stream, evictions *telemetry.Counter
}

func newCounters(s *telemetry.Scope) counters {
	counter := func(name string, labels ...string) *telemetry.Counter {
		if s == nil {
			return new(telemetry.Counter)
		}
		return s.Counter(name, labels...)
	}
	loopCounter := func(result string) *telemetry.LoopCounter {
		if s == nil {
			return telemetry.NewLoopCounter()
		}
		return s.LoopCounter("lb_static_requests_total", "result", result)
	}
	return counters{
		hit:         loopCounter("hit"),
		notModified: loopCounter("not_modified"),
		miss:        counter("lb_static_requests_total", "result", "miss"),
		stream:      counter("lb_static_requests_total", "result", "stream"),
		evictions:   counter("lb_static_evictions_total"),
	}
}
