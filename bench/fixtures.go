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
	"slices"
	"strings"
	"time"
)

// fixtures is what all balancers serve and present alike.
type fixtures struct {
	root        string // of /files/1k.txt and its like
	certificate string // PEM, self-made, ECDSA P-256
	key         string
	bundle      string // both in one file, as HAProxy requires
}

const (
	smallFile     = "/files/1k.txt"
	largeFile     = "/files/100mb.bin"
	largeFileSize = 100 * megabyte
)

// fixture is the file /files/NAME.txt.
type fixture struct {
	name string
	size int
}

func fixtureFiles() []fixture {
	return []fixture{
		{"1k", 1 << 10}, {"8k", 8 << 10}, {"16k", 16 << 10}, {"32k", 32 << 10}, {"64k", 64 << 10}, {"100k", 100 << 10},
		{"1m", mib}, {"10m", 10 * mib},
	}
}

// writeFixtures creates the files below dir. nginx's workers may run as another user than the harness, so
// everything but the key is readable by all.
func writeFixtures(dir string) (fixtures, error) {
	f := fixtures{
		root:        filepath.Join(dir, "www"),
		certificate: filepath.Join(dir, "bench.pem"),
		key:         filepath.Join(dir, "bench.key"),
		bundle:      filepath.Join(dir, "bench-bundle.pem"),
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return f, fmt.Errorf("cannot open up %q: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Join(f.root, "files"), 0o755); err != nil {
		return f, fmt.Errorf("cannot create the files to serve: %w", err)
	}
	for _, file := range fixtureFiles() {
		if err := os.WriteFile(filepath.Join(f.root, "files", file.name+".txt"), []byte(bodyText(file.size)), 0o644); err != nil {
			return f, fmt.Errorf("cannot create the files to serve: %w", err)
		}
	}
	for name, content := range map[string][]byte{"page.html": htmlDocument(100 << 10), "list.json": jsonDocument(mib)} {
		if err := os.WriteFile(filepath.Join(f.root, "files", name), content, 0o644); err != nil {
			return f, fmt.Errorf("cannot create the files to serve: %w", err)
		}
	}
	// A file of zeros takes no space on the disk.
	large := filepath.Join(f.root, "files", "100mb.bin")
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		return f, fmt.Errorf("cannot create the files to serve: %w", err)
	}
	if err := os.Truncate(large, largeFileSize); err != nil {
		return f, fmt.Errorf("cannot create the files to serve: %w", err)
	}
	return f, writeCertificate(f)
}

// bodyText is size bytes of plain text that needs no quoting in a configuration.
func bodyText(size int) string {
	const line = "All work and no load makes a balancer an idle process. "
	return strings.Repeat(line, size/len(line)+1)[:size]
}

func writeCertificate(f fixtures) error {
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
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyBytes})
	for _, file := range []struct {
		path    string
		mode    os.FileMode
		content []byte
	}{{f.certificate, 0o644, certificatePEM}, {f.key, 0o600, keyPEM}, {f.bundle, 0o600, slices.Concat(certificatePEM, keyPEM)}} {
		if err := os.WriteFile(file.path, file.content, file.mode); err != nil {
			return fmt.Errorf("cannot write %q: %w", file.path, err)
		}
	}
	return nil
}
