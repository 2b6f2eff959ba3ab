package listener

import (
	"cmp"
	"crypto/x509"
	"sync"

	"lb/http1"
	"lb/telemetry"
)

// Reasons in lb_rejected_requests_total, beside those of http1.
const (
	reasonConnections = "max_connections"
	reasonPerIP       = "connections_per_ip"
)

// setMetrics are the series of no listener in particular.
type setMetrics struct {
	registry *telemetry.Registry // nil: metrics are off
	scope    *telemetry.Scope
	reasons  map[string]*telemetry.Counter
	panics   *telemetry.Counter

	mu           sync.Mutex
	certificates *telemetry.Scope
}

func newSetMetrics(r *telemetry.Registry) *setMetrics {
	m := &setMetrics{registry: r, reasons: map[string]*telemetry.Counter{}, panics: new(telemetry.Counter)}
	if r != nil {
		m.scope = r.NewScope()
		m.panics = m.scope.Counter("lb_handler_panics_total")
	}
	for _, reason := range [...]string{http1.LabelBadRequest, http1.LabelHeaderSize, http1.LabelHeaderFields, http1.LabelHeaderTimeout, reasonConnections, reasonPerIP} {
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
	m.replaceCertificates(nil)
}

// showCertificates replaces the series of certificates by those of the listeners.
func (m *setMetrics) showCertificates(listeners []ListenerOptions) {
	if m.registry == nil {
		return
	}
	expiry := map[string]int64{} // of the certificate that ends first, where several bear one name
	for _, l := range listeners {
		if l.TLS == nil {
			continue
		}
		for i := range l.TLS.Certificates {
			if leaf := leafOf(&l.TLS.Certificates[i]); leaf != nil {
				name, end := subjectOf(leaf), leaf.NotAfter.Unix()
				if old, ok := expiry[name]; !ok || end < old {
					expiry[name] = end
				}
			}
		}
	}
	scope := m.registry.NewScope()
	m.replaceCertificates(scope)
	for name, end := range expiry {
		scope.Gauge("lb_tls_certificate_expiry_timestamp_seconds", func() float64 { return float64(end) }, "subject", name)
	}
}

func (m *setMetrics) replaceCertificates(scope *telemetry.Scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.certificates != nil {
		m.certificates.Close()
	}
	m.certificates = scope
}

// subjectOf names a certificate: its common name, or else its first host name.
func subjectOf(leaf *x509.Certificate) string {
	first := ""
	if len(leaf.DNSNames) > 0 {
		first = leaf.DNSNames[0]
	}
	return cmp.Or(leaf.Subject.CommonName, first, leaf.Subject.String())
}

// socketMetrics are a listener's series; they go when it is removed.
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
