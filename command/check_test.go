package command

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCheckExpiredCertificate: an expired certificate is a warning with its place, and the configuration is valid.
func TestCheckExpiredCertificate(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clock.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(-time.Minute)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"c.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})),
		"c.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
		"lb.hcl": "listen \":8443\" {\n  tls {\n    certificate {\n      cert = \"c.pem\"\n      key  = \"c.key\"\n    }\n  }\n}\n" +
			"site \"s\" {\n  route \"/\" {\n    respond {}\n  }\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, out, said := run("check", "-config", filepath.Join(dir, "lb.hcl"))
	if status != exitOK || !strings.Contains(out, "is valid") {
		t.Errorf("exit %d, %q", status, out)
	}
	if !strings.Contains(said, `lb.hcl:4:14: warning: the certificate of clock.test in "`+dir+`/c.pem" expired `) {
		t.Errorf("said %q", said)
	}
}
