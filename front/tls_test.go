package front

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

func dialMaybeTLS(t testing.TB, f *Front, secure bool) *client {
	c := dial(t, f)
	if !secure {
		return c
	}
	return newClient(t, tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true}))
}

func TestCertificateByServerName(t *testing.T) {
	certificates := []tls.Certificate{issue(t, nil, "first.example"), issue(t, nil, "a.example", "*.wild.example"), issue(t, nil, "b.wild.example")}
	f := start(t, Options{
		Listeners: []ListenerOptions{{Address: "127.0.0.1:0", TLS: &TLSOptions{Certificates: certificates, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == "asked.example" {
				return &certificates[2], nil
			}
			return nil, nil
		}}}},
		Handler: func(c *Conn) {
			text := c.ServerName() + " " + c.TLSVersion()
			reply(c, []byte("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+text), nil)
			c.EndAfter()
		},
	})
	for name, want := range map[string]string{
		"a.example": "a.example", "A.Example": "a.example", "c.wild.example": "a.example", "b.wild.example": "b.wild.example",
		"x.c.wild.example": "first.example", "wild.example": "first.example", "other.example": "first.example",
		"": "first.example", "asked.example": "b.wild.example",
	} {
		c := dial(t, f)
		secure := tls.Client(c.Conn, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		c = newClient(t, secure)
		c.send(ok + "\r\n")
		_, body := c.answer("GET")
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
	f := start(t, Options{Metrics: registry, Listeners: []ListenerOptions{{Address: "127.0.0.1:0",
		TLS: &TLSOptions{Certificates: []tls.Certificate{issue(t, nil, "first.example")}, MinVersion: tls.VersionTLS13, ClientCAs: pool}}}})
	try := func(config *tls.Config) error {
		config.InsecureSkipVerify = true
		c := dial(t, f)
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

func eventually(t testing.TB, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still not so")
		}
	}
}

func TestPlainHTTPOnATLSPort(t *testing.T) {
	c := dial(t, start(t, Options{Listeners: oneListener(t, true)}))
	c.send(ok + "\r\n")
	if resp, body := c.answer("GET"); resp.StatusCode != 400 || !strings.Contains(body, "https") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

func TestHandshakeHasADeadline(t *testing.T) {
	f := start(t, Options{Listeners: oneListener(t, true), Limits: Limits{HeaderTimeout: 50 * time.Millisecond}})
	c := dial(t, f)
	c.send("\x16\x03\x01")
	c.closed()
	// And holds nobody else up.
	slow := dial(t, f)
	c = dialMaybeTLS(t, f, true)
	c.send(ok + "\r\n")
	c.expect("GET / ")
	slow.closed()
}

func TestCertificatesAreSwapped(t *testing.T) {
	old, renewed := issue(t, nil, "old"), issue(t, nil, "renewed")
	o := Options{Handler: echo, Listeners: []ListenerOptions{{Address: "127.0.0.1:0", TLS: &TLSOptions{Certificates: []tls.Certificate{old}}}}}
	f := start(t, o)
	kept := dialMaybeTLS(t, f, true)
	kept.send(ok + "\r\n")
	kept.expect("GET / ")
	sessions := tls.NewLRUClientSessionCache(4)
	connect := func() (string, bool) {
		c := dial(t, f)
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
	if err := f.Apply(o); err != nil {
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
	if resp, _ := kept.answer("GET"); resp.Close {
		t.Error("new certificates ended a connection")
	}
}

func dialMaybeTLSOver(t testing.TB, c *client) *client {
	return newClient(t, tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true}))
}
