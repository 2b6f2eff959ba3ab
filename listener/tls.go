package listener

import (
	"crypto/tls"
	"errors"
	"sync/atomic"

	"lb/http1"
	"lb/internal/ciphers"
)

// tlsSource gives each handshake the configuration in force. The outer one stays while
// certificates change, and with it the keys of session tickets.
type tlsSource struct {
	outer *tls.Config
	inner atomic.Pointer[tls.Config]
	// nameless has no certificate, so that crypto/tls refuses the handshake as of an unrecognized name (RFC 6066 section 3).
	nameless tls.Config
}

func newTLSSource(o *TLSOptions) *tlsSource {
	s := &tlsSource{nameless: tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}}
	s.use(o)
	s.outer = s.inner.Load().Clone()
	s.outer.GetConfigForClient = s.configFor
	return s
}

// configFor refuses server names that no site can have, which may have almost 64 KiB otherwise.
func (s *tlsSource) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if len(hello.ServerName) > mostServerName {
		return &s.nameless, nil
	}
	return s.inner.Load(), nil
}

// mostServerName is how many bytes a server name may have: as many as a host name in a request.
const mostServerName = 255

// use makes o hold for handshakes to come.
func (s *tlsSource) use(o *TLSOptions) {
	config := &tls.Config{
		MinVersion:     max(o.MinVersion, tls.VersionTLS12),
		CipherSuites:   ciphers.Suites(),
		NextProtos:     []string{"http/1.1"},
		GetCertificate: newChooser(o).choose,
	}
	if o.MinVersion != 0 {
		config.MinVersion = o.MinVersion
	}
	if o.ClientCAs != nil {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = o.ClientCAs
	}
	s.inner.Store(config)
}

// handshake begins when the first byte of one has come.
func (c *conn) handshake() {
	c.phase = phaseHandshake
	c.Socket.ServerTLS(c.listener.tls.outer, c.listener.limits.HeaderTimeout)
}

// secured is called after the handshake.
func (c *conn) secured() {
	c.listener.socket.metrics.handshakeDone.Inc()
	state := c.Socket.ConnectionState()
	c.Info.TLS = &http1.TLS{Version: versionName(state.Version), ServerName: state.ServerName}
	c.beginHTTP(nil)
}

// handshakeFailed ends the connection, after a response to a client that speaks plain HTTP.
func (c *conn) handshakeFailed(err error) {
	k := c.listener.socket
	k.metrics.handshakeFailed.Inc()
	k.set.log.Debug("tls handshake failed", "peer", c.Info.Peer, "listener", c.listener.Address, "error", err)
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) && notTLS.Conn != nil && looksLikeHTTP(notTLS.RecordHeader[:]) {
		c.refuse(http1.SpeaksTLS)
	} else {
		c.end()
	}
}

func looksLikeHTTP(start []byte) bool {
	switch string(start) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET":
		return true
	}
	return false
}

// versionName returns how the access log names a version.
func versionName(version uint16) string {
	switch version {
	case tls.VersionTLS10:
		return "TLSv1"
	case tls.VersionTLS11:
		return "TLSv1.1"
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return ""
}
