package server_test

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"testing"

	"lb/internal/lbtest"
)

// TestServerNameToBackends: which server name the TLS of a backend is asked for: server_name, or the host of its address,
// verified or not. An address that is a number has no name to send (RFC 6066 section 3).
func TestServerNameToBackends(t *testing.T) {
	t.Parallel()
	_, pair := backendPair(t)
	names := make(chan string, 100)
	conf := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		names <- hello.ServerName
		return &pair, nil
	}}
	answer := lbtest.Answer(lbtest.OK("x"))
	b := lbtest.NewTLSBackend(t, conf, answer)
	_, number, _ := net.SplitHostPort(b.Addr)
	socket := "unix:" + filepath.Join(t.TempDir(), "app.sock")
	lbtest.NewTLSBackendOn(t, socket, conf, answer)
	for _, tc := range []struct{ address, tls, want string }{
		{"localhost:" + number, "verify = false", "localhost"},
		{"localhost:" + number, "verify = true", "localhost"},
		{"localhost:" + number, "server_name = \"app.test\"\n    verify = false", "app.test"},
		{b.Addr, "server_name = \"app.test\"\n    verify = false", "app.test"},
		{b.Addr, "verify = false", ""},
		{socket, "verify = false", "localhost"},
	} {
		lb := start(t, proxyTo("  tls {\n    "+tc.tls+"\n  }\n  retry {\n    attempts = 0\n  }\n", tc.address))
		lb.get("/", "Host: site.example")
		if got, ok := lbtest.Wait(t, "a handshake", names); ok && got != tc.want {
			t.Errorf("%s, %s: asked for %q, want %q", tc.address, tc.tls, got, tc.want)
		}
		lb.stop()
		for len(names) > 0 {
			<-names
		}
	}
}
