package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a certificate and its key as PEM.
type pair struct{ cert, key string }

// spec describes a test certificate.
type spec struct {
	rsa      bool
	subject  string
	names    []string // host names and addresses
	from, to time.Duration
}

// issue creates a self-signed certificate, by default valid from an hour ago for two hours.
func issue(t testing.TB, s spec) pair {
	t.Helper()
	var key crypto.Signer
	var err error
	if s.rsa {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	if s.from == 0 && s.to == 0 {
		s.from, s.to = -time.Hour, time.Hour
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: s.subject},
		NotBefore: time.Now().Add(s.from), NotAfter: time.Now().Add(s.to), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, name := range s.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{encode("CERTIFICATE", der), encode("PRIVATE KEY", secret)}
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// write writes a pair to a directory, by rename, as programs that renew do.
func write(t testing.TB, dir, name string, p pair) {
	t.Helper()
	for ending, text := range map[string]string{".pem": p.cert, ".key": p.key} {
		temporary := filepath.Join(dir, name+ending+".new")
		if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, filepath.Join(dir, name+ending)); err != nil {
			t.Fatal(err)
		}
	}
}

// open writes a pair and opens it.
func open(t testing.TB, dir, name string, p pair) *File {
	t.Helper()
	write(t, dir, name, p)
	f, err := Open(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// logTo returns a logger and its output.
func logTo() (hclog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return hclog.New(&hclog.LoggerOptions{Output: &b, Level: hclog.Info, DisableTime: true}), &b
}

// presented does a handshake over a loopback connection and returns the common name of the certificate that the client got.
func presented(t testing.TB, get func(*tls.ClientHelloInfo) (*tls.Certificate, error), client *tls.Config) (string, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = tls.Server(c, &tls.Config{GetCertificate: get}).Handshake()
	}()
	defer func() { <-done }()
	client.InsecureSkipVerify = true
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	secure := tls.Client(c, client)
	if err := secure.Handshake(); err != nil {
		return "", err
	}
	return secure.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}
