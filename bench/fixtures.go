package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// fixtures is what all balancers serve and present alike.
type fixtures struct {
	root        string // of /files/1k.txt and /files/100k.txt
	certificate string // PEM, self-made, ECDSA P-256
	key         string
}

// writeFixtures creates the files below dir. nginx's workers may run as another user than the harness, so
// everything but the key is readable by all.
func writeFixtures(dir string) (fixtures, error) {
	f := fixtures{
		root:        filepath.Join(dir, "www"),
		certificate: filepath.Join(dir, "bench.pem"),
		key:         filepath.Join(dir, "bench.key"),
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return f, fmt.Errorf("cannot open up %q: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Join(f.root, "files"), 0o755); err != nil {
		return f, fmt.Errorf("cannot create the files to serve: %w", err)
	}
	for name, size := range map[string]int{"1k.txt": 1 << 10, "100k.txt": 100 << 10} {
		if err := os.WriteFile(filepath.Join(f.root, "files", name), []byte(bodyText(size)), 0o644); err != nil {
			return f, fmt.Errorf("cannot create the files to serve: %w", err)
		}
	}
	return f, writeCertificate(f.certificate, f.key)
}

// bodyText is size bytes of plain text that needs no quoting in a configuration.
func bodyText(size int) string {
	const line = "All work and no load makes a balancer an idle process. "
	return strings.Repeat(line, size/len(line)+1)[:size]
}

func writeCertificate(certificatePath, keyPath string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("cannot make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "bench.test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"bench.test", "localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("cannot make a certificate: %w", err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("cannot encode the key: %w", err)
	}
	if err := writePEM(certificatePath, 0o644, "CERTIFICATE", certificate); err != nil {
		return err
	}
	return writePEM(keyPath, 0o600, "PRIVATE KEY", keyBytes)
}

func writePEM(path string, mode os.FileMode, kind string, content []byte) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), mode); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return nil
}
