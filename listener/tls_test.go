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
	"strings"
	"testing"
	"time"

	"lb/http1"
	"lb/telemetry"
)

// issue makes a certificate for names, signed by parent, or by itself without one.
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

func oneListener(t testing.TB, secure bool) []ListenerOptions {
	o := ListenerOptions{Address: "127.0.0.1:0"}
	if secure {
		o.TLS = &TLSOptions{Certificates: []tls.Certificate{issue(t, nil, "first.example")}}
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

func TestCertificateByServerName(t *testing.T) {
	certificates := []tls.Certificate{issue(t, nil, "first.example"), issue(t, nil, "a.example", "*.wild.example"), issue(t, nil, "b.wild.example")}
	s := start(t, Options{
		Listeners: []ListenerOptions{{Address: "127.0.0.1:0", TLS: &TLSOptions{Certificates: certificates, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == "asked.example" {
				return &certificates[2], nil
			}
			return nil, nil
		}}}},
		Handler: respondWith(func(x *exchange) string {
			info := x.s.Conn().Info.TLS
			return info.ServerName + " " + info.Version
		}),
	})
	for name, want := range map[string]string{
		"a.example": "a.example", "A.Example": "a.example", "c.wild.example": "a.example", "b.wild.example": "b.wild.example",
		"x.c.wild.example": "first.example", "wild.example": "first.example", "other.example": "first.example",
		"": "first.example", "asked.example": "b.wild.example",
	} {
		c := dial(t, s)
		secure := tls.Client(c.Conn, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		c = newClient(t, secure)
		c.send(ok + "\r\n")
		_, body := c.response("GET")
		state := secure.ConnectionState()
		if got := state.PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("%q: certificate of %s, want %s", name, got, want)
		}
		if want := strings.ToLower(name) + " TLSv1.3"; !strings.EqualFold(body, want) || state.NegotiatedProtocol != "http/1.1" {
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
		TLS: &TLSOptions{Certificates: []tls.Certificate{issue(t, nil, "first.example")}, MinVersion: tls.VersionTLS13, ClientCAs: pool}}}})
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
	for _, want := range []string{`lb_tls_handshakes_total{listener="127.0.0.1:0",result="ok"} 1`, `lb_tls_certificate_expiry_timestamp_seconds{subject="first.example"} `} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, grep(out.String(), "tls"))
		}
	}
}

func TestPlainHTTPOnATLSPort(t *testing.T) {
	c := dial(t, start(t, Options{Listeners: oneListener(t, true)}))
	c.send(ok + "\r\n")
	if resp, body := c.response("GET"); resp.StatusCode != 400 || !strings.Contains(body, "https") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

func TestHandshakeHasADeadline(t *testing.T) {
	s := start(t, Options{Listeners: oneListener(t, true), Limits: Limits{Limits: http1.Limits{HeaderTimeout: time.Second}}})
	silent, slow := dial(t, s), dial(t, s)
	slow.send("\x16\x03\x01")
	c := dialMaybeTLS(t, s, true) // which they do not hold up
	c.send(ok + "\r\n")
	c.expect("GET / ")
	silent.closed()
	slow.closed()
}

func TestCertificatesAreSwapped(t *testing.T) {
	old, renewed := issue(t, nil, "old"), issue(t, nil, "renewed")
	o := Options{Handler: echo, Listeners: []ListenerOptions{{Address: "127.0.0.1:0", TLS: &TLSOptions{Certificates: []tls.Certificate{old}}}}}
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
	o.Listeners = []ListenerOptions{{Address: "127.0.0.1:0", TLS: &TLSOptions{Certificates: []tls.Certificate{renewed}}}}
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

// TestLongServerName: a server name that no host can have is refused, by the alert that says so.
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

// TestHandshakesThatEnd: one that its client breaks off, and one that never begins, are counted, and leave nothing.
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
