package pool

import "lb/telemetry"

// Metrics are the series of one backend, resolved when it joins its pool.
type Metrics struct {
	Requests *telemetry.CodeCounters // lb_backend_requests_total
	Duration *telemetry.Histogram    // lb_backend_duration_seconds; Backend.Observe adds to it
	Opened   *telemetry.Counter      // lb_backend_connections_total{result="opened"}
	Reused   *telemetry.LoopCounter
	Failed   *telemetry.Counter

	ChecksPassed *telemetry.Counter // lb_health_checks_total, counted by Backend.RecordCheck
	ChecksFailed *telemetry.Counter

	errors    [Aborted + 1]*telemetry.Counter // lb_backend_errors_total; nil for Success and Status
	ejections *telemetry.Counter
}

// PoolMetrics are the series of a pool that other packages count in.
type PoolMetrics struct {
	Connect *telemetry.Histogram    // lb_backend_connect_seconds
	GRPC    *telemetry.CodeCounters // lb_grpc_responses_total

	retries         [Aborted + 1]*telemetry.Counter // lb_retries_total by outcome; nil for Status
	retriesByStatus [3]*telemetry.Counter           // of 502, 503 and 504
	unavailable     *telemetry.Counter              // retries after UNAVAILABLE of gRPC
	budgetExhausted *telemetry.Counter
	queueWait       *telemetry.Histogram
	queueRejected   *telemetry.Counter
}

// Retried counts a retry in lb_retries_total. The outcome is that of the attempt before; status distinguishes 502,
// 503 and 504 if the outcome is Status.
func (m *PoolMetrics) Retried(o Outcome, status int) {
	switch {
	case o != Status:
		if c := m.retries[o]; c != nil {
			c.Inc()
		}
	case status >= 502 && status <= 504:
		m.retriesByStatus[status-502].Inc()
	}
}

// RetriedUnavailable counts a retry after the status UNAVAILABLE of gRPC in lb_retries_total.
func (m *PoolMetrics) RetriedUnavailable() { m.unavailable.Inc() }

// reasons are the values of the label "reason".
var reasons = [Aborted + 1]string{
	Connect: "connect", Reset: "reset", Timeout: "timeout", Protocol: "protocol", Aborted: "aborted",
}

// register registers the pool's own series.
func (p *Pool) register() {
	s := p.registry.NewScope()
	p.scope = s
	m := &p.metrics
	m.Connect = s.Histogram("lb_backend_connect_seconds", "pool", p.name)
	m.GRPC = s.CodeCounters("lb_grpc_responses_total", "pool", p.name)
	m.queueWait = s.Histogram("lb_queue_wait_seconds", "pool", p.name)
	m.queueRejected = s.Counter("lb_queue_rejected_total", "pool", p.name)
	m.budgetExhausted = s.Counter("lb_retry_budget_exhausted_total", "pool", p.name)
	for _, o := range [...]Outcome{Connect, Reset, Timeout, Protocol} {
		m.retries[o] = s.Counter("lb_retries_total", "pool", p.name, "reason", reasons[o])
	}
	m.unavailable = s.Counter("lb_retries_total", "pool", p.name, "reason", "unavailable")
	for i, code := range [...]string{"502", "503", "504"} {
		m.retriesByStatus[i] = s.Counter("lb_retries_total", "pool", p.name, "reason", code)
	}
	s.Gauge("lb_queue_length", func() float64 { return float64(p.queue.waiting.Load()) }, "pool", p.name)
	s.Gauge("lb_pool_panic", func() float64 {
		s := p.snapshot.Load()
		return toFloat(s != nil && s.tier == tierPanic)
	}, "pool", p.name)
	for i, name := range stateNames {
		s.Gauge("lb_pool_backends", func() float64 {
			if s := p.snapshot.Load(); s != nil {
				return float64(s.counts[i])
			}
			return 0
		}, "pool", p.name, "state", name)
	}
}

// registerBackend registers a backend's series and makes its connections, which count in them.
func (p *Pool) registerBackend(b *Backend) {
	s := p.registry.NewScope()
	b.scope = s
	labels := func(more ...string) []string {
		return append([]string{"pool", p.name, "backend", b.address}, more...)
	}
	m := &b.Metrics
	m.Requests = s.CodeCounters("lb_backend_requests_total", labels()...)
	m.Duration = s.LoopHistogram("lb_backend_duration_seconds", labels()...)
	m.Opened = s.Counter("lb_backend_connections_total", labels("result", "opened")...)
	m.Reused = s.LoopCounter("lb_backend_connections_total", labels("result", "reused")...)
	m.Failed = s.Counter("lb_backend_connections_total", labels("result", "failed")...)
	m.ChecksPassed = s.Counter("lb_health_checks_total", labels("result", "pass")...)
	m.ChecksFailed = s.Counter("lb_health_checks_total", labels("result", "fail")...)
	m.ejections = s.Counter("lb_backend_ejections_total", labels()...)
	for o, reason := range reasons {
		if reason != "" {
			m.errors[o] = s.Counter("lb_backend_errors_total", labels("reason", reason)...)
		}
	}
	if p.options.Connect != nil {
		b.connect(p.options.Connect(b))
	}
	// The gauges come last, since a scrape may read them at once.
	s.Gauge("lb_backend_up", func() float64 { return toFloat(b.Usable()) }, labels()...)
	s.Gauge("lb_backend_in_flight", func() float64 { return float64(b.InFlight()) }, labels()...)
	for _, name := range stateNames {
		s.Gauge("lb_backend_state", func() float64 {
			return toFloat(b.state.Load().name() == name)
		}, labels("state", name)...)
	}
	if b.conns.Load() == nil {
		return
	}
	s.Gauge("lb_backend_connections", func() float64 {
		active, _ := b.countConns()
		return float64(active)
	}, labels("state", "active")...)
	s.Gauge("lb_backend_connections", func() float64 {
		_, idle := b.countConns()
		return float64(idle)
	}, labels("state", "idle")...)
}

func toFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
