package server_test

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"testing"

	"lb/internal/lbtest"
)

// TestBackendCertificate: with a tls block, only a backend whose certificate is signed by the CA and made for
// the name gets requests; another hears nothing of them.
func TestBackendCertificate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backend")
	writeCertificate(t, path, 1, "app.test")
	pair, err := tls.LoadX509KeyPair(path+".pem", path+".key")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	b := lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{pair}}, func(c *lbtest.Conn) {
		if head, _ := c.ReadRequest(); head != "" {
			asked++ // the balancer waits for the answer, so there is one at a time
			c.Send(lbtest.OK("abc"))
		}
	})
	for _, tc := range []struct {
		name, tls string
		status    int
	}{
		{"right", fmt.Sprintf("ca = %q\nserver_name = \"app.test\"", path+".pem"), 200},
		{"other name", fmt.Sprintf("ca = %q\nserver_name = \"other.test\"", path+".pem"), 502},
		{"the address is no name of it", fmt.Sprintf("ca = %q", path+".pem"), 502},
		{"signed by nobody known", "server_name = \"app.test\"", 502},
		{"not verified", "verify = false", 200},
	} {
		asked = 0
		lb := start(t, proxyTo("  tls {\n"+tc.tls+"\n}\n", b.Addr))
		if r := lb.get("/"); r.Status() != tc.status || (asked > 0) != (tc.status == 200) {
			t.Errorf("%s: %d, want %d; the backend got %d requests", tc.name, r.Status(), tc.status, asked)
		}
		lb.stop()
	}
}
