package front

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"lb/internal/ciphers"
	"lb/message"
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
	if len(hello.ServerName) > message.MaxHost {
		if k, ok := hello.Conn.(*link); ok {
			k.misnamed = true
		}
		return &s.nameless, nil
	}
	return s.inner.Load(), nil
}

var errServerName = errors.New("the server name has more than 255 bytes")

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

// chooser finds the certificate for a server name.
type chooser struct {
	first  func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	all    []*tls.Certificate
	byName map[string][]*tls.Certificate // wildcards as "*.example.org"
}

func newChooser(o *TLSOptions) *chooser {
	ch := &chooser{first: o.GetCertificate, byName: map[string][]*tls.Certificate{}}
	for i := range o.Certificates {
		cert := &o.Certificates[i]
		ch.all = append(ch.all, cert)
		for _, name := range certificateNames(cert) {
			ch.byName[name] = append(ch.byName[name], cert)
		}
	}
	return ch
}

// choose returns the first certificate that the client can use: of those for the name that it asks for, exact ones before
// wildcards, or else of all. Where the client can use none, the handshake fails with the first of them.
func (ch *chooser) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if ch.first != nil {
		if cert, err := ch.first(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	if len(ch.all) == 0 {
		return nil, errors.New("no certificate for that name")
	}
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	exact, wildcards := ch.byName[name], []*tls.Certificate(nil)
	if _, parent, ok := strings.Cut(name, "."); ok {
		wildcards = ch.byName["*."+parent]
	}
	usable := *hello
	usable.ServerName = "" // names were compared above; what is left is the kind of the key
	for _, certs := range [...][]*tls.Certificate{exact, wildcards, ch.all} {
		for _, cert := range certs {
			if usable.SupportsCertificate(cert) == nil {
				return cert, nil
			}
		}
	}
	return slices.Concat(exact, wildcards, ch.all)[0], nil
}

func certificateNames(cert *tls.Certificate) []string {
	leaf := leafOf(cert)
	if leaf == nil {
		return nil
	}
	var names []string
	for _, name := range leaf.DNSNames {
		names = append(names, strings.ToLower(name))
	}
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = append(names, strings.ToLower(leaf.Subject.CommonName))
	}
	return names
}

func leafOf(cert *tls.Certificate) *x509.Certificate {
	if cert.Leaf != nil || len(cert.Certificate) == 0 {
		return cert.Leaf
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}

// handshake starts TLS. It reports false if there is none, after a client that speaks plain HTTP was told.
func (c *Conn) handshake() bool {
	l := c.listener
	c.renewHead()
	c.link.idle = l.limits.HeaderTimeout
	conn := tls.Server(&c.link, l.tls.outer)
	err := conn.Handshake()
	c.link.idle = 0
	if err != nil && c.link.misnamed {
		err = errServerName
	}
	if err != nil {
		l.socket.metrics.handshakeFailed.Inc()
		l.socket.front.log.Debug("tls handshake failed", "peer", c.peer, "listener", l.Address, "error", err)
		var notTLS tls.RecordHeaderError
		if errors.As(err, &notTLS) && notTLS.Conn != nil && looksLikeHTTP(notTLS.RecordHeader[:]) {
			c.refuse(speaksTLS, preferences{})
		}
		return false
	}
	l.socket.metrics.handshakeDone.Inc()
	state := conn.ConnectionState()
	c.tls, c.tlsVersion = conn, state.Version
	if state.ServerName != "" {
		c.serverName = &serverName{name: state.ServerName}
	}
	return true
}

func looksLikeHTTP(start []byte) bool {
	switch string(start) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET":
		return true
	}
	return false
}
