package server_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// wantCheck waits until the active state and the last check's error of the pool's only backend are as wanted.
func (r *running) wantCheck(active, failure string) {
	r.t.Helper()
	var last string
	defer func() {
		if r.t.Failed() {
			r.t.Logf("the pool: %s", last)
		}
	}()
	lbtest.Eventually(r.t, fmt.Sprintf("the backend is %s: %q", active, failure), func() bool {
		last = r.admin("GET", "/api/v1/pools/app")
		return strings.Contains(last, `"active":"`+active+`"`) && (failure == "" || strings.Contains(last, failure))
	})
}

// healthServer serves gRPC health responses through HTTP/2, and 204 to other requests; it returns its address.
func healthServer(t *testing.T, secure bool, status byte, protocols http.Protocols) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/grpc.health.v1.Health/Check" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, status})
		w.Header().Set("Grpc-Status", "0")
	}))
	s.Config.Protocols = &protocols
	if secure {
		s.EnableHTTP2 = protocols.HTTP2()
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestHealthGRPC: a pool is checked by gRPC's health service with and without TLS, whether the pool or the checks alone have it.
func TestHealthGRPC(t *testing.T) {
	t.Parallel()
	var h2, h2c, h1 http.Protocols
	h2.SetHTTP2(true)
	h2c.SetUnencryptedHTTP2(true)
	h1.SetHTTP1(true)
	for name, c := range map[string]struct {
		address, pool, health, active, failure string
	}{
		"plain":           {healthServer(t, false, 1, h2c), "", "", "up", ""},
		"not serving":     {healthServer(t, false, 2, h2c), "", "", "down", "serving status NOT_SERVING"},
		"TLS of the pool": {healthServer(t, true, 1, h2), "  tls {\n    verify = false\n  }\n", "", "up", ""},
		"TLS of checks":   {healthServer(t, true, 1, h2), "", "    tls {\n      verify = false\n    }\n", "up", ""},
		"not verified":    {healthServer(t, true, 1, h2), "", "    tls {}\n", "down", "certificate"},
		"HTTP/1":          {healthServer(t, false, 1, h1), "", "", "down", "HTTP"},
		"HTTP/1 by TLS":   {healthServer(t, true, 1, h1), "  tls {\n    verify = false\n  }\n", "", "down", ""},
	} {
		t.Run(name, func(t *testing.T) {
			lb := start(t, proxyTo(c.pool+"  health {\n    type = \"grpc\"\n    timeout = \"9s\"\n"+c.health+"  }\n", c.address))
			lb.wantCheck(c.active, c.failure)
		})
	}
}

// TestHealthHTTP2: checks of a pool with HTTP/2 speak HTTP/2 whether they connect as requests do or by settings of their own.
func TestHealthHTTP2(t *testing.T) {
	t.Parallel()
	var h2, h2c, h1 http.Protocols
	h2.SetHTTP2(true)
	h2c.SetUnencryptedHTTP2(true)
	h1.SetHTTP1(true)
	withoutALPN := lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{lbtest.SelfSigned(t)}}, func(c *lbtest.Conn) { c.ReadHead() }).Addr
	const pool, checks = "  tls {\n    verify = false\n  }\n", "    tls {\n      verify = false\n    }\n"
	for name, c := range map[string]struct {
		address, pool, health, active, failure string
	}{
		"TLS of the pool":      {healthServer(t, true, 1, h2), "  protocol = \"h2\"\n" + pool, "", "up", ""},
		"TLS of checks":        {healthServer(t, true, 1, h2), "  protocol = \"h2\"\n" + pool, checks, "up", ""},
		"TLS of checks alone":  {healthServer(t, true, 1, h2), "  protocol = \"h2c\"\n", checks, "up", ""},
		"without TLS":          {healthServer(t, false, 1, h2c), "  protocol = \"h2\"\n" + pool, "    tls {\n      enabled = false\n    }\n", "up", ""},
		"HTTP/1 by TLS":        {healthServer(t, true, 1, h1), "  protocol = \"h2\"\n" + pool, checks, "down", "no application protocol"},
		"HTTP/1 by pool's TLS": {healthServer(t, true, 1, h1), "  protocol = \"h2\"\n" + pool, "", "down", ""},
		"HTTP/1 without TLS":   {healthServer(t, false, 1, h1), "  protocol = \"h2c\"\n", "", "down", "HTTP/1"},
		"TLS without ALPN":     {withoutALPN, "  protocol = \"h2\"\n" + pool, checks, "down", "did not agree on HTTP/2"},
	} {
		t.Run(name, func(t *testing.T) {
			lb := start(t, proxyTo(c.pool+"  health {\n    timeout = \"9s\"\n"+c.health+"  }\n", c.address))
			lb.wantCheck(c.active, c.failure)
		})
	}
}

// TestHealthPort: checks go to another port than requests, without the pool's TLS and PROXY header, and with them again after a reload.
func TestHealthPort(t *testing.T) {
	t.Parallel()
	path, pair := backendPair(t)
	app := lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{pair}}, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			if strings.Contains(head, "lb-health") {
				c.Send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
				continue
			}
			c.Send(lbtest.OK("x"))
		}
	})
	hosts := make(chan string, 99)
	management := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		head, _ := c.ReadRequest()
		if head != "" {
			hosts <- lbtest.Fields(head, "Host")[0]
			c.Send(lbtest.OK("x"))
		}
	})
	_, port, err := net.SplitHostPort(management.Addr)
	if err != nil {
		t.Fatal(err)
	}
	secure := fmt.Sprintf("  tls {\n    ca = %q\n    server_name = \"app.test\"\n  }\n", path+".pem")
	check := "  health {\n    interval = \"50ms\"\n    fast_interval = \"50ms\"\n%s  }\n"
	apart := proxyTo(secure+fmt.Sprintf(check, "    port = "+port+"\n    tls {\n      enabled = false\n    }\n"), app.Addr)
	lb := start(t, apart)
	lb.wantCheck("up", "")
	if host, _ := lbtest.Wait(t, "a check", hosts); host != management.Addr {
		t.Errorf("Host is %q, want %q", host, management.Addr)
	}
	if r := lb.get("/"); r.Status() != 200 {
		t.Errorf("%q", r.Head)
	}
	if err := lb.reload(proxyTo(secure+fmt.Sprintf(check, ""), app.Addr)); err != nil {
		t.Fatal(err)
	}
	lb.wantCheck("down", "status 500")
	if err := lb.reload(apart); err != nil {
		t.Fatal(err)
	}
	lb.wantCheck("up", "")
	if err := lb.reload(proxyTo(secure+fmt.Sprintf(check, "    port = "+port+"\n"), app.Addr)); err != nil { // TLS where there is none
		t.Fatal(err)
	}
	lb.wantCheck("down", "")
}
