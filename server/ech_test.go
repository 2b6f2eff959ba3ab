package server_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestECH: a ClientHello that is encrypted with a key from the file is decrypted. A client whose key was replaced gets the new
// configuration.
func TestECH(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeCertificate(t, dir+"/c", 1, "secret.test")
	writeCertificate(t, dir+"/public", 2, "public.test")
	write := func(id byte) (list []byte) {
		t.Helper()
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		list = lbtest.ECHConfigList(id, key.PublicKey(), "public.test")
		text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "ECHCONFIG", Bytes: list})...)
		if err := os.WriteFile(dir+"/ech.new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/ech.new", dir+"/ech.pem"); err != nil {
			t.Fatal(err)
		}
		return list
	}
	roots := x509.NewCertPool()
	for _, name := range []string{"c", "public"} {
		text, err := os.ReadFile(dir + "/" + name + ".pem")
		if err != nil || !roots.AppendCertsFromPEM(text) {
			t.Fatal(err)
		}
	}
	first := write(1)
	lb := startTLS(t, dir+"/c", strings.Replace(tlsListener, "    certificate {", "    ech_keys = \""+dir+"/ech.pem\"\n    certificate {\n      cert = \""+dir+"/public.pem\"\n      key = \""+dir+"/public.key\"\n    }\n    certificate {", 1)+respondSite)
	dial := func(list []byte) error {
		c, err := tls.Dial("tcp", lb.addr(), &tls.Config{ServerName: "secret.test", RootCAs: roots, MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: list})
		if err != nil {
			return err
		}
		defer c.Close()
		if !c.ConnectionState().ECHAccepted {
			return errors.New("not accepted")
		}
		if status, _ := ask(t, c, "secret.test"); !strings.Contains(status, "200") {
			return errors.New(status)
		}
		return nil
	}
	if err := dial(first); err != nil {
		t.Fatal(err)
	}
	second := write(2)
	lbtest.Eventually(t, "the new key", func() bool { return dial(second) == nil })
	var rejected *tls.ECHRejectionError
	if err := dial(first); !errors.As(err, &rejected) {
		t.Fatalf("with the key of before: %v", err)
	}
	if err := dial(rejected.RetryConfigList); err != nil {
		t.Errorf("with the configuration that was sent: %v", err)
	}
	if _, serial := lb.dialTLS("secret.test"); serial != 1 {
		t.Errorf("without encryption: serial %d", serial)
	}
}
