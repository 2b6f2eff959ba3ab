package listener

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
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
	// challenge is for the handshakes of ACME servers; nil: there are none.
	challenge atomic.Pointer[tls.Config]
	// nameless has no certificate, so that crypto/tls refuses the handshake as of an unrecognized name (RFC 6066 section 3).
	nameless tls.Config
	http2    bool

	quic atomic.Pointer[tls.Config] // for HTTP/3
	keys atomic.Pointer[[][32]byte] // of session tickets; nil: random ones
}

func newTLSSource(o *TLSOptions, http2 bool) *tlsSource {
	s := &tlsSource{http2: http2, nameless: tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}}
	s.use(o)
	s.outer = s.inner.Load().Clone()
	s.outer.GetConfigForClient = s.configFor
	s.outer.GetEncryptedClientHelloKeys = s.echKeys
	return s
}

// configFor refuses server names that are too long for a site. They could have almost 64 KiB otherwise.
func (s *tlsSource) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if len(hello.ServerName) > mostServerName {
		return &s.nameless, nil
	}
	if c := s.challenge.Load(); c != nil && len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == challengeProtocol {
		return c, nil
	}
	return s.inner.Load(), nil
}

// challengeProtocol is the application protocol of handshakes that validate a name (RFC 8737 section 6.2).
const challengeProtocol = "acme-tls/1"

// mostServerName is the maximum length of a server name in bytes, the same as of a host name in a request.
const mostServerName = 255

// echKeys returns the keys by which a ClientHello may be encrypted.
func (s *tlsSource) echKeys(hello *tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
	if f := s.inner.Load().GetEncryptedClientHelloKeys; f != nil {
		return f(hello)
	}
	return nil, nil
}

// setTicketKeys has session tickets encrypted by the first key, and those by the others accepted.
func (s *tlsSource) setTicketKeys(keys [][32]byte) {
	s.outer.SetSessionTicketKeys(keys)
	s.keys.Store(&keys)
	s.quic.Load().SetSessionTicketKeys(keys)
}

// quicConfigFor is configFor for HTTP/3.
func (s *tlsSource) quicConfigFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if len(hello.ServerName) > mostServerName {
		return &s.nameless, nil
	}
	return s.quic.Load(), nil
}

// use applies o to new handshakes.
func (s *tlsSource) use(o *TLSOptions) {
	config := &tls.Config{
		MinVersion:     max(o.MinVersion, tls.VersionTLS12),
		CipherSuites:   ciphers.Suites(),
		NextProtos:     []string{"http/1.1"},
		GetCertificate: o.GetCertificate,
	}
	if s.http2 {
		config.NextProtos = []string{protocolHTTP2, "http/1.1"}
	}
	if o.MinVersion != 0 {
		config.MinVersion = o.MinVersion
	}
	if o.ClientCAs != nil {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = o.ClientCAs
		if o.ClientOptional {
			config.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	config.GetEncryptedClientHelloKeys = o.ECHKeys
	s.inner.Store(config)
	quic := config.Clone()
	quic.NextProtos, quic.MinVersion = []string{protocolHTTP3}, tls.VersionTLS13
	if keys := s.keys.Load(); keys != nil {
		quic.SetSessionTicketKeys(*keys)
	}
	s.quic.Store(quic)
	if o.Challenge == nil {
		s.challenge.Store(nil)
	} else {
		s.challenge.Store(&tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{challengeProtocol}, GetCertificate: o.Challenge, SessionTicketsDisabled: true,
		})
	}
}

// protocolHTTP2 is the ALPN name of HTTP/2 (RFC 9113 section 3.2).
const protocolHTTP2 = "h2"

// handshake starts a handshake when its first byte has been received.
func (c *conn) handshake() {
	c.phase = phaseHandshake
	c.Socket.ServerTLS(c.listener.tls.outer, c.listener.limits.HeaderTimeout)
}

// secured is called after the handshake.
func (c *conn) secured() {
	c.listener.socket.metrics.handshakeDone.Inc()
	state := c.Socket.ConnectionState()
	if state.NegotiatedProtocol == challengeProtocol {
		c.end() // the handshake is all
		return
	}
	c.Info.TLS = &http1.TLS{Version: versionName(state.Version), ALPN: state.NegotiatedProtocol, ServerName: state.ServerName}
	if len(state.VerifiedChains) > 0 {
		c.Info.TLS.ClientCert = clientCert(state.PeerCertificates[0])
	}
	if state.NegotiatedProtocol == protocolHTTP2 {
		c.beginHTTP2(nil)
		return
	}
	c.beginHTTP(nil)
}

// clientCert returns a certificate as the value of Client-Cert (RFC 9440 section 2.2): a byte sequence of structured fields.
func clientCert(c *x509.Certificate) []byte {
	value := append(make([]byte, 0, base64.StdEncoding.EncodedLen(len(c.Raw))+2), ':')
	return append(base64.StdEncoding.AppendEncode(value, c.Raw), ':')
}

// handshakeFailed ends the connection, after a response to a client that speaks plain HTTP.
func (c *conn) handshakeFailed(err error) {
	k := c.listener.socket
	k.metrics.handshakeFailed.Inc()
	k.set.log.Debug("tls handshake failed", "peer", c.Info.Peer, "listener", c.listener.Address, "error", err)
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) && notTLS.Conn != nil && looksLikeHTTP(notTLS.RecordHeader[:]) {
		c.refuse(http1.SpeaksTLS(c.Socket.Local()))
	} else {
		c.end()
	}
}

// looksLikeHTTP reports whether a connection begins with a method: with at least three capital letters, up to a space if there is one.
func looksLikeHTTP(start []byte) bool {
	method, _, _ := bytes.Cut(start, []byte(" "))
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return len(method) >= len("GET")
}

// versionName returns the name of a version in the access log.
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
