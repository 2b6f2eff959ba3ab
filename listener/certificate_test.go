package listener

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// selfSigned makes a certificate for names, the first of which is its common name too, with an RSA or an ECDSA key.
func selfSigned(t testing.TB, withRSA bool, names ...string) tls.Certificate {
	t.Helper()
	var cert tls.Certificate
	var public any
	if withRSA {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		cert.PrivateKey, public = key, &key.PublicKey
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cert.PrivateKey, public = key, &key.PublicKey
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names[1:],
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert.Certificate = [][]byte{der}
	return cert
}

// TestCertificateByKey: of the certificates for a name, or of all where none has the name, a client gets the first whose
// kind of key it can use, whichever is written first.
func TestCertificateByKey(t *testing.T) {
	rsaCert, ecdsaCert := selfSigned(t, true, "rsa", "a.example", "both.wild.example"), selfSigned(t, false, "ecdsa", "a.example", "*.wild.example")
	onlyRSA, onlyECDSA := selfSigned(t, true, "only.rsa"), selfSigned(t, false, "only-ecdsa", "only.ecdsa")
	suites := map[string][]uint16{
		"rsa":   {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		"ecdsa": {tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	}
	for _, c := range []struct {
		name         string
		certificates []tls.Certificate
		serverName   string
		client       string // the kind of key that it can use; "": any
		want         string // the common name
	}{
		{"no name, ECDSA first", []tls.Certificate{ecdsaCert, rsaCert}, "", "rsa", "rsa"},
		{"no name, RSA first", []tls.Certificate{rsaCert, ecdsaCert}, "", "ecdsa", "ecdsa"},
		{"no name, any client", []tls.Certificate{rsaCert, ecdsaCert}, "", "", "rsa"},
		{"unknown name, ECDSA first", []tls.Certificate{ecdsaCert, rsaCert}, "other.example", "rsa", "rsa"},
		{"unknown name, RSA first", []tls.Certificate{rsaCert, ecdsaCert}, "other.example", "ecdsa", "ecdsa"},
		{"known name, ECDSA first", []tls.Certificate{onlyRSA, ecdsaCert, rsaCert}, "a.example", "rsa", "rsa"},
		{"known name, RSA first", []tls.Certificate{onlyECDSA, rsaCert, ecdsaCert}, "a.example", "ecdsa", "ecdsa"},
		{"exact name of the wrong kind", []tls.Certificate{rsaCert, ecdsaCert}, "both.wild.example", "ecdsa", "ecdsa"},
		{"exact name before wildcard", []tls.Certificate{ecdsaCert, rsaCert}, "both.wild.example", "", "rsa"},
		{"common name alone", []tls.Certificate{ecdsaCert, onlyRSA}, "only.rsa", "rsa", "only.rsa"},
		{"name of the wrong kind alone", []tls.Certificate{onlyECDSA, rsaCert}, "only.ecdsa", "rsa", "rsa"},
		{"nothing usable", []tls.Certificate{onlyECDSA, ecdsaCert}, "", "rsa", ""},
	} {
		s := start(t, Options{Listeners: []ListenerOptions{{Address: "127.0.0.1:0", TLS: &TLSOptions{Certificates: c.certificates}}}})
		config := &tls.Config{ServerName: c.serverName, InsecureSkipVerify: true}
		if c.client != "" {
			config.MaxVersion, config.CipherSuites = tls.VersionTLS12, suites[c.client]
		}
		secure := tls.Client(dial(t, s).Conn, config)
		err := secure.Handshake()
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: no error", c.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := secure.ConnectionState().PeerCertificates[0].Subject.CommonName; got != c.want {
			t.Errorf("%s: certificate of %s, want %s", c.name, got, c.want)
		}
		newClient(t, secure).send(ok + "\r\n")
	}
}
