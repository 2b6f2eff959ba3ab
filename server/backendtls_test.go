package server_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// backendPair creates a certificate for "app.test" in the files path+".pem" and ".key".
func backendPair(t *testing.T) (path string, pair tls.Certificate) {
	path = filepath.Join(t.TempDir(), "backend")
	writeCertificate(t, path, 1, "app.test")
	pair, err := tls.LoadX509KeyPair(path+".pem", path+".key")
	if err != nil {
		t.Fatal(err)
	}
	return path, pair
}

// TestBackendCertificate: with a tls block, a backend gets requests only if its certificate is signed by the CA and valid for the
// server name. No byte of a request reaches another backend.
func TestBackendCertificate(t *testing.T) {
	path, pair := backendPair(t)
	var asked atomic.Int64
	b := lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{pair}}, func(c *lbtest.Conn) {
		if head, _ := c.ReadRequest(); head != "" {
			asked.Add(1)
			c.Send(lbtest.OK("abc"))
		}
	})
	for _, tc := range []struct {
		name, tls string
		status    int
	}{
		{"right", fmt.Sprintf("ca = %q\nserver_name = \"app.test\"", path+".pem"), 200},
		{"other name", fmt.Sprintf("ca = %q\nserver_name = \"other.test\"", path+".pem"), 503},
		{"the address is no name of it", fmt.Sprintf("ca = %q", path+".pem"), 503},
		{"signed by an unknown authority", "server_name = \"app.test\"", 503},
		{"not verified", "verify = false", 200},
	} {
		asked.Store(0)
		lb := start(t, proxyTo("  queue {\n    while_down = \"50ms\"\n  }\n  tls {\n"+tc.tls+"\n}\n", b.Addr))
		if r := lb.get("/"); r.Status() != tc.status || (asked.Load() > 0) != (tc.status == 200) {
			t.Errorf("%s: %d, want %d; the backend got %d requests", tc.name, r.Status(), tc.status, asked.Load())
		}
		lb.stop()
	}
}

// TestCloseDelimitedThroughTLS: a response that ends with the connection is complete if TLS was closed by a close_notify alert,
// and truncated if only the socket was closed (RFC 9112 section 9.8). Then the client's connection is aborted.
func TestCloseDelimitedThroughTLS(t *testing.T) {
	_, pair := backendPair(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, word := range []bool{true, false} {
			goOn := make(chan struct{})
			b := lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: version}, func(c *lbtest.Conn) {
				c.ReadRequest()
				c.Send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
				<-goOn // the head has been passed on
				c.Send("half")
				if !word {
					_ = c.Conn.(*tls.Conn).NetConn().(*net.TCPConn).CloseWrite()
					c.ReadHead()
				}
			})
			lb := start(t, proxyTo("  tls {\n    verify = false\n  }\n", b.Addr))
			for minor, whole := range map[string]string{"1": "4\r\nhalf\r\n0\r\n\r\n", "0": "half"} {
				c := lb.dial()
				c.Send("GET / HTTP/1." + minor + "\r\nHost: a\r\nConnection: close\r\n\r\n")
				if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
					t.Fatalf("%q", head)
				}
				goOn <- struct{}{}
				rest, orderly := c.Ended()
				switch {
				case word && (rest != whole || !orderly):
					t.Errorf("TLS %x, HTTP/1.%s, whole: %q, orderly %v", version, minor, rest, orderly)
				case !word && (orderly || minor == "1" && rest == whole):
					t.Errorf("TLS %x, HTTP/1.%s, cut: %q was taken for complete", version, minor, rest)
				}
			}
			if !word {
				lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="reset"}`, "2")
				lbtest.Eventually(t, "the reason in the log", func() bool {
					return strings.Count(lb.read("access.log"), "did not finish") == 2
				})
			}
			lb.stop()
		}
	}
}
