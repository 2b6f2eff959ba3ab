package server_test

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"testing"

	"lb/internal/lbtest"
)

// TestServerNameToBackends: the server name of TLS to a backend is server_name, or the host of its address, whether it is verified
// or not. For an IP address no name is sent (RFC 6066 section 3).
func TestServerNameToBackends(t *testing.T) {
	t.Parallel()
	_, pair := backendPair(t)
	for _, tc := range []struct{ address, tls, want string }{
		{"name", "verify = false", "localhost"},
		{"name", "verify = true", "localhost"},
		{"name", "server_name = \"app.test\"\n    verify = false", "app.test"},
		{"number", "server_name = \"app.test\"\n    verify = false", "app.test"},
		{"number", "verify = false", ""},
		{"socket", "verify = false", "localhost"},
	} {
		// Each case has a separate backend: lb may still check the previous one when it is stopped.
		names := make(chan string, 100)
		conf := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			names <- hello.ServerName
			return &pair, nil
		}}
		address := "unix:" + filepath.Join(t.TempDir(), "app.sock")
		if tc.address == "socket" {
			lbtest.NewTLSBackendOn(t, address, conf, lbtest.Respond(lbtest.OK("x")))
		} else {
			address = lbtest.NewTLSBackend(t, conf, lbtest.Respond(lbtest.OK("x"))).Addr
		}
		if tc.address == "name" {
			_, number, _ := net.SplitHostPort(address)
			address = "localhost:" + number
		}
		lb := start(t, proxyTo("  tls {\n    "+tc.tls+"\n  }\n  retry {\n    attempts = 0\n  }\n", address))
		lb.get("/", "Host: site.example")
		if got, ok := lbtest.Wait(t, "a handshake", names); ok && got != tc.want {
			t.Errorf("%s, %s: asked for %q, want %q", tc.address, tc.tls, got, tc.want)
		}
		lb.stop()
	}
}
