package pool

import "lb/telemetry"

// Metrics are the series of one backend, resolved when it joins its pool.
type Metrics struct {
	Requests *telemetry.CodeCounters // lb_backend_requests_total
	Duration *telemetry.Histogram    // lb_backend_duration_seconds, to the response head
	Opened   *telemetry.Counter      // lb_backend_connections_total{result="opened"}
	Reused   *telemetry.Counter
	Failed   *telemetry.Counter

	ChecksPassed *telemetry.Counter // lb_health_checks_total, counted by Backend.RecordCheck
	ChecksFailed *telemetry.Counter

	errors    [Aborted + 1]*telemetry.Counter // lb_backend_errors_total; nil for Success and Status
	ejections *telemetry.Counter
}

// PoolMetrics are the series of a pool that others count in.
type PoolMetrics struct {
	Connect *telemetry.Histogram // lb_backend_connect_seconds

	retries         [retryReasons]*telemetry.Counter
	budgetExhausted *telemetry.Counter
	queueWait       *telemetry.Histogram
	queueRejected   *telemetry.Counter
}

const retryReasons = 7

// Retried counts a retry in lb_retries_total. The outcome is that of the attempt before;
// status tells the 502, 503 and 504 apart if the outcome is Status.
func (m *PoolMetrics) Retried(o Outcome, status int) { panic("todo") }
