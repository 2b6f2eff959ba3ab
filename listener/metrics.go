package listener

import (
	"lb/http1"
	"lb/http2"
	"lb/telemetry"
)

// Reasons in lb_rejected_requests_total, in addition to those of http1.
const (
	reasonConnections = "max_connections"
	reasonPerIP       = "connections_per_ip"
)

// setMetrics are the series that do not belong to one listener.
type setMetrics struct {
	registry *telemetry.Registry // nil: metrics are off
	scope    *telemetry.Scope
	reasons  map[string]*telemetry.Counter
	panics   *telemetry.Counter
}

func newSetMetrics(r *telemetry.Registry) *setMetrics {
	m := &setMetrics{registry: r, reasons: map[string]*telemetry.Counter{}, panics: new(telemetry.Counter)}
	if r != nil {
		m.scope = r.NewScope()
		m.panics = m.scope.Counter("lb_handler_panics_total")
	}
	for _, reason := range [...]string{http1.LabelBadRequest, http1.LabelHeaderSize, http1.LabelHeaderFields, http1.LabelHeaderTimeout, http2.LabelFlood, reasonConnections, reasonPerIP} {
		m.reasons[reason] = new(telemetry.Counter)
		if r != nil {
			m.reasons[reason] = m.scope.Counter("lb_rejected_requests_total", "reason", reason)
		}
	}
	return m
}

func (m *setMetrics) rejected(reason string) { m.reasons[reason].Inc() }

func (m *setMetrics) close() {
	if m.scope != nil {
		m.scope.Close()
	}
}

// socketMetrics are the series of a listener. They are removed together with it.
type socketMetrics struct {
	scope           *telemetry.Scope
	accepted        *telemetry.Counter
	handshakeDone   *telemetry.Counter
	handshakeFailed *telemetry.Counter
}

func (m *setMetrics) newSocket(k *socket) *socketMetrics {
	if m.registry == nil {
		return &socketMetrics{nil, new(telemetry.Counter), new(telemetry.Counter), new(telemetry.Counter)}
	}
	scope := m.registry.NewScope()
	scope.Gauge("lb_connections", func() float64 { return float64(k.open.Load()) }, "listener", k.address)
	return &socketMetrics{
		scope:           scope,
		accepted:        scope.Counter("lb_connections_total", "listener", k.address),
		handshakeDone:   scope.Counter("lb_tls_handshakes_total", "listener", k.address, "result", "ok"),
		handshakeFailed: scope.Counter("lb_tls_handshakes_total", "listener", k.address, "result", "failed"),
	}
}

func (m *socketMetrics) retire() {
	if m.scope != nil {
		m.scope.Close()
	}
}
