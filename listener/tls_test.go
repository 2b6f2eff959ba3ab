package listener

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"lb/http1"
	"lb/telemetry"
)

// issue makes a certificate for names, signed by parent, or self-signed if that is nil.
func issue(t testing.TB, parent *tls.Certificate, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer, signerKey := template, any(key)
	if parent != nil {
		signer, signerKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// always returns a GetCertificate that always returns the same certificate.
func always(c tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c, nil }
}

func oneListener(t testing.TB, secure bool) []ListenerOptions {
	o := ListenerOptions{Address: "127.0.0.1:0"}
	if secure {
		o.TLS = &TLSOptions{GetCertificate: always(issue(t, nil, "first.example"))}
	}
	return []ListenerOptions{o}
}

func dialMaybeTLS(t testing.TB, s *Set, secure bool) *client {
	c := dial(t, s)
	if !secure {
		return c
	}
	return newClient(t, tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true}))
}

// TestCertificateIsChosen: the certificate is what GetCertificate returns, and the exchange knows the server name.
func TestCertificateIsChosen(t *testing.T) {
	first, second := issue(t, nil, "first.example"), issue(t, nil, "second.example")
	s := start(t, Options{
		Listeners: []ListenerOptions{{Address: "127.0.0.1:0", TLS: &TLSOptions{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == "second.example" {
				return &second, nil
			}
			return &first, nil
		}}}},
		Handler: respondWith(func(x *exchange) string {
			info := x.s.Conn().Info.TLS
			return info.ServerName + " " + info.Version
		}),
	})
	for name, want := range map[string]string{"": "first.example", "first.example": "first.example", "second.example": "second.example"} {
		secure := tls.Client(dial(t, s).Conn, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		c := newClient(t, secure)
		c.send(ok + "\r\n")
		_, body := c.response("GET")
		state := secure.ConnectionState()
		if got := state.PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("%q: certificate of %s, want %s", name, got, want)
		}
		if body != name+" TLSv1.3" || state.NegotiatedProtocol != "http/1.1" {
			t.Errorf("%q: %q, protocol %q", name, body, state.NegotiatedProtocol)
		}
	}
}

func TestClientCertificateAndMinVersion(t *testing.T) {
	authority := issue(t, nil, "authority")
	pool := x509.NewCertPool()
	pool.AddCert(authority.Leaf)
	registry := telemetry.NewRegistry()
	s := start(t, Options{Metrics: registry, Listeners: []ListenerOptions{{Address: "127.0.0.1:0",
		TLS: &TLSOptions{GetCertificate: always(issue(t, nil, "first.example")), MinVersion: tls.VersionTLS13, ClientCAs: pool}}}})
	try := func(config *tls.Config) error {
		config.InsecureSkipVerify = true
		c := dial(t, s)
		secure := tls.Client(c.Conn, config)
		if _, err := io.WriteString(secure, ok+"\r\n"); err != nil {
			return err
		}
		_, err := secure.Read(make([]byte, 1))
		return err
	}
	good, bad := issue(t, &authority, "client"), issue(t, nil, "client")
	if err := try(&tls.Config{Certificates: []tls.Certificate{good}}); err != nil {
		t.Errorf("a good certificate: %v", err)
	}
	for name, config := range map[string]*tls.Config{
		"no certificate":                   {},
		"certificate of another authority": {GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &bad, nil }},
		"old version":                      {Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12},
	} {
		if err := try(config); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
	var out bytes.Buffer
	eventually(t, func() bool {
		out.Reset()
		registry.WritePrometheus(&out)
		return strings.Contains(out.String(), `lb_tls_handshakes_total{listener="127.0.0.1:0",result="failed"} 3`)
	})
	if want := `lb_tls_handshakes_total{listener="127.0.0.1:0",result="ok"} 1`; !strings.Contains(out.String(), want) {
		t.Errorf("no %s in\n%s", want, grep(out.String(), "tls"))
	}
}

// TestPlainHTTPOnATLSPort: a client that speaks HTTP without TLS gets a response that says so, whatever its method, and another one none.
func TestPlainHTTPOnATLSPort(t *testing.T) {
	s := start(t, Options{Listeners: oneListener(t, true)})
	for _, request := range []string{ok + "\r\n", "GET http://a.test/ HTTP/1.1\r\n\r\n", "CONNECT a.test:443 HTTP/1.1\r\n\r\n", "PROPFIND / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
		c := dial(t, s)
		c.send(request)
		if resp, body := c.response("GET"); resp.StatusCode != 400 || !strings.Contains(body, "This port speaks HTTPS: write https://") ||
			!strings.Contains(body, "https://"+c.RemoteAddr().String()+"/") {
			t.Errorf("%q: %d %q", request, resp.StatusCode, body)
		}
	}
	for _, other := range []string{"\x00\x01\x02\x03\x04\x05", "helo mail.test\r\n", "A1 x\r\n"} {
		c := dial(t, s)
		c.send(other)
		c.closed()
	}
}

// TestNoCommonProtocol: a client that offers only protocols that the listener does not speak is refused with the right alert; one that
// offers none is served by HTTP/1.
func TestNoCommonProtocol(t *testing.T) {
	registry := telemetry.NewRegistry()
	l := oneListener(t, true)
	l[0].HTTP2 = true
	s := start(t, Options{Metrics: registry, Listeners: l})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"smtp", "h2c"}, MaxVersion: version}
		secure := tls.Client(dial(t, s).Conn, config)
		err := secure.Handshake()
		if err == nil || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		config.NextProtos = nil
		c := newClient(t, tls.Client(dial(t, s).Conn, config))
		c.send(ok + "\r\n")
		c.expect("GET / ")
	}
	eventually(t, func() bool {
		var out bytes.Buffer
		registry.WritePrometheus(&out)
		return strings.Contains(out.String(), `lb_tls_handshakes_total{listener="127.0.0.1:0",result="failed"} 2`)
	})
}

// stopping passes on only the first bytes that are written, as a client that stops in a handshake.
type stopping struct {
	net.Conn
	left int
}

func (s *stopping) Write(b []byte) (int, error) {
	if n := min(s.left, len(b)); n > 0 {
		s.left -= n
		if _, err := s.Conn.Write(b[:n]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// TestClientStopsInHandshake: wherever in a handshake a client stops, the connection ends, and others are served meanwhile.
func TestClientStopsInHandshake(t *testing.T) {
	l := oneListener(t, true)
	l[0].TLS.ClientCAs = x509.NewCertPool()
	l[0].TLS.ClientOptional = true
	s := start(t, Options{Listeners: l, Limits: Limits{Limits: http1.Limits{HeaderTimeout: 500 * time.Millisecond}}})
	var clients []*client
	var running sync.WaitGroup
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		// In the header of a record, at its end, in the ClientHello, after it, and in what follows it: with the client's key and Finished.
		for _, n := range []int{1, 4, 5, 6, 60, 150, 1500} {
			c := dial(t, s)
			clients = append(clients, c)
			if n == 1500 { // all of the ClientHello, in a write of its own
				n = -1
			}
			running.Go(func() {
				config := &tls.Config{InsecureSkipVerify: true, MaxVersion: version}
				conn := &stopping{c.Conn, n}
				if n < 0 {
					conn.left = helloSize(t, config) + 3
				}
				if tls.Client(conn, config).Handshake() == nil && n >= 0 {
					t.Errorf("%s: a handshake of %d bytes succeeded", tls.VersionName(version), n)
				}
			})
		}
	}
	c := dialMaybeTLS(t, s, true)
	c.send(ok + "\r\n")
	c.expect("GET / ")
	running.Wait()
	for _, c := range clients {
		c.Close()
	}
	c.Close()
	eventually(t, func() bool { return s.Open() == 0 })
}

// helloSize is the size of the first write of a client.
func helloSize(t *testing.T, config *tls.Config) (n int) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(ours, config).Handshake()
	}()
	n, err := theirs.Read(make([]byte, 16<<10))
	if err != nil {
		t.Error(err)
	}
	theirs.Close()
	<-done
	return n
}

func TestHandshakeHasADeadline(t *testing.T) {
	s := start(t, Options{Listeners: oneListener(t, true), Limits: Limits{Limits: http1.Limits{HeaderTimeout: time.Second}}})
	silent, slow := dial(t, s), dial(t, s)
	slow.send("\x16\x03\x01")
	c := dialMaybeTLS(t, s, true) // which they do not delay
	c.send(ok + "\r\n")
	c.expect("GET / ")
	silent.closed()
	slow.closed()
}

func TestCertificatesAreSwapped(t *testing.T) {
	old, renewed := issue(t, nil, "old"), issue(t, nil, "renewed")
	o := Options{Handler: echo, Listeners: []ListenerOptions{{Address: "127.0.0.1:0", TLS: &TLSOptions{GetCertificate: always(old)}}}}
	s := start(t, o)
	kept := dialMaybeTLS(t, s, true)
	kept.send(ok + "\r\n")
	kept.expect("GET / ")
	sessions := tls.NewLRUClientSessionCache(4)
	connect := func() (string, bool) {
		c := dial(t, s)
		secure := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true, ServerName: "x", ClientSessionCache: sessions})
		c = newClient(t, secure)
		c.send(ok + "\r\n")
		c.expect("GET / ")
		state := secure.ConnectionState()
		return state.PeerCertificates[0].Subject.CommonName, state.DidResume
	}
	if name, _ := connect(); name != "old" {
		t.Errorf("certificate of %s", name)
	}
	if _, resumed := connect(); !resumed {
		t.Error("no session was resumed")
	}
	o.Listeners = []ListenerOptions{{Address: "127.0.0.1:0", TLS: &TLSOptions{GetCertificate: always(renewed)}}}
	if err := s.Apply(o); err != nil {
		t.Fatal(err)
	}
	if _, resumed := connect(); !resumed {
		t.Error("a session of before was not resumed")
	}
	sessions = tls.NewLRUClientSessionCache(4)
	if name, _ := connect(); name != "renewed" {
		t.Errorf("certificate of %s after the swap", name)
	}
	kept.send(ok + "\r\n")
	if resp, _ := kept.response("GET"); resp.Close {
		t.Error("new certificates ended a connection")
	}
}

// TestLongServerName: a server name that is too long for a host is refused with the right alert.
func TestLongServerName(t *testing.T) {
	s := start(t, Options{Listeners: oneListener(t, true)})
	for n, want := range map[int]string{255: "", 256: "unrecognized name"} {
		name := strings.Repeat("a.", n)[:n-1] + "a"
		err := tls.Client(dial(t, s).Conn, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// TestHandshakesThatEnd: a handshake that the client aborts, and one that never begins, are counted and leave nothing behind.
func TestHandshakesThatEnd(t *testing.T) {
	registry := telemetry.NewRegistry()
	s := start(t, Options{Metrics: registry, Listeners: oneListener(t, true)})
	dial(t, s).Close()
	c := dial(t, s)
	c.send("\x16\x03\x01\x00\x05hello")
	c.closed()
	c = dial(t, s)
	c.send("\x16\x03\x01\x02\x00")
	c.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
	c.Close()
	eventually(t, func() bool {
		var out bytes.Buffer
		registry.WritePrometheus(&out)
		return strings.Contains(out.String(), `lb_tls_handshakes_total{listener="127.0.0.1:0",result="failed"} 3`) && s.Open() == 0
	})
}
