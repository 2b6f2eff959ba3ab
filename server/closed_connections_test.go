package server_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

const (
	aGet   = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	aPut   = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
	aPost  = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
	aKeyed = "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: 4\r\n\r\nbody"
)

// closingBackend responds to the first request of a connection, reads the second, sends a part of a response and closes the
// connection.
type closingBackend struct {
	*lbtest.Backend
	asked atomic.Int64 // complete requests
}

func newClosingBackend(t *testing.T, partial string) *closingBackend {
	m := &closingBackend{}
	m.Backend = lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for i := range 2 {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			m.asked.Add(1)
			if i == 0 {
				c.Send(lbtest.OK("first"))
			} else {
				c.Send(partial)
			}
		}
	})
	return m
}

// TestKeptConnectionClosedDuringRequest: when the backend closes a kept-alive connection after it has read the request, the
// request counts as sent. If it is idempotent and retries are enabled, it is sent once to another backend, on a new connection.
func TestKeptConnectionClosedDuringRequest(t *testing.T) {
	for _, tc := range []struct {
		name, request, partial, pool string
		status                       int
		closing, good                int64 // requests received, including the first one
		retries                      string
	}{
		{"GET", aGet, "", "", 200, 2, 1, "1"},
		{"PUT", aPut, "", "", 200, 2, 1, "1"},
		{"PUT of nothing", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "", "", 200, 2, 1, "1"},
		{"PUT of nothing in chunks", "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", "", 200, 2, 1, "1"},
		{"PUT that waits for a 100", "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", "", "", 200, 2, 1, "1"},
		{"POST", aPost, "", "", 502, 2, 0, "0"},
		{"POST with a key", aKeyed, "", "", 200, 2, 1, "1"},
		{"no budget is needed", aGet, "", "  retry {\n    budget = 0\n  }\n", 200, 2, 1, "1"},
		{"no attempts", aGet, "", "  retry {\n    attempts = 0\n  }\n", 502, 2, 0, "0"},
		{"not on reset", aGet, "", "  retry {\n    on = [\"connect\"]\n  }\n", 502, 2, 0, "0"},
		{"half a head", aGet, "HTTP/1.1 200 OK\r\nConte", "", 200, 2, 1, "1"},
		{"a byte of a head", aPut, "H", "", 200, 2, 1, "1"},
		{"half a head, POST", aPost, "HTTP/1.1 200 OK\r\nConte", "", 502, 2, 0, "0"},
		{"after an interim response", aGet, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 2", "", 103, 2, 0, "0"},
		{"no HTTP", aGet, "hello\r\n", "", 502, 2, 0, "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			closing, good := newClosingBackend(t, tc.partial), newClosingBackend(t, "")
			lb := start(t, proxyTo("  balance = \"first\"\n"+tc.pool, closing.Addr, good.Addr))
			c := lb.dial() // each loop keeps its own connections to backends
			c.Send(aGet)
			if r := c.ReadResponse("GET"); r.Body != "first" {
				t.Fatalf("%q", r.Head)
			}
			c.Send(tc.request)
			r := c.ReadResponse("GET")
			if r.Status() != tc.status {
				t.Errorf("%d %q, want %d", r.Status(), r.Body, tc.status)
			}
			if closing.asked.Load() != tc.closing || good.asked.Load() != tc.good {
				t.Errorf("the closing backend was asked %d times, want %d; the good one %d, want %d",
					closing.asked.Load(), tc.closing, good.asked.Load(), tc.good)
			}
			if tc.name != "no HTTP" {
				lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+closing.Addr+`",reason="reset"}`, "1")
			}
			lb.wantMetric(`lb_retries_total{pool="app",reason="reset"}`, tc.retries)
			lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+closing.Addr+`"}`, "0")
		})
	}
}

// TestClosedConnectionsDoNotEject: closed kept-alive connections do not eject a backend. If it is the only backend, or that of a
// sticky client, the request is sent to it again.
func TestClosedConnectionsDoNotEject(t *testing.T) {
	for name, more := range map[string]string{"alone": "", "sticky": "  sticky {\n    cookie = \"lb\"\n    secret = \"0123456789abcdef0123456789abcdef\"\n  }\n"} {
		t.Run(name, func(t *testing.T) {
			closing, other := newClosingBackend(t, ""), newClosingBackend(t, "")
			backends := []string{closing.Addr}
			if name == "sticky" {
				backends = append(backends, other.Addr)
			}
			lb := start(t, proxyTo("  balance = \"first\"\n  eject {\n    failures = 2\n  }\n"+more, backends...))
			c := lb.dial() // each loop keeps its own connections to backends
			c.Send(aGet)
			first := c.ReadResponse("GET")
			cookie, _, _ := strings.Cut(first.Field("Set-Cookie"), ";")
			for i := range 10 {
				c.Send("GET / HTTP/1.1\r\nHost: a\r\nCookie: " + cookie + "\r\n\r\n")
				if r := c.ReadResponse("GET"); r.Status() != 200 {
					t.Fatalf("request %d: %d", i, r.Status())
				}
			}
			lb.wantMetric(`lb_retries_total{pool="app",reason="reset"}`, "10")
			lb.wantMetric(`lb_backend_ejections_total{pool="app",backend="`+closing.Addr+`"}`, "0")
			if n := closing.asked.Load(); n != 21 || other.asked.Load() != 0 {
				t.Errorf("asked %d times, the other %d", n, other.asked.Load())
			}
		})
	}
}

// TestCutHeadOnNewConnection: a backend that closes a new connection in the middle of a head has begun to respond, so the request
// is not retried.
func TestCutHeadOnNewConnection(t *testing.T) {
	var asked atomic.Int64
	script := func(c *lbtest.Conn) {
		c.ReadRequest()
		asked.Add(1)
		c.Send("HTTP/1.1 200 OK\r\nConte")
	}
	lb := start(t, proxyTo("", lbtest.NewBackend(t, script).Addr, lbtest.NewBackend(t, script).Addr))
	if r := lb.get("/"); r.Status() != 502 || asked.Load() != 1 {
		t.Errorf("%d after %d attempts", r.Status(), asked.Load())
	}
}

// TestPostsAvoidKeptConnections: after a backend has closed a kept-alive connection without announcing it, requests that cannot be
// retried use new connections to it. Others continue to reuse connections.
func TestPostsAvoidKeptConnections(t *testing.T) {
	for name, announced := range map[string]string{"unannounced": "", "announced": "Connection: close\r\n"} {
		t.Run(name, func(t *testing.T) {
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				for {
					head, _ := c.ReadRequest()
					if head == "" {
						return
					}
					if strings.HasPrefix(head, "GET /end ") {
						c.Send("HTTP/1.1 200 OK\r\n" + announced + "Content-Length: 0\r\n\r\n")
						return
					}
					c.Send(lbtest.OK("x"))
				}
			})
			lb := start(t, proxyTo("", b.Addr))
			c := lb.dial()
			ask := func(request string, opens int64) {
				t.Helper()
				before := b.Conns.Load()
				c.Send(request)
				if r := c.ReadResponse("GET"); r.Status() != 200 {
					t.Fatalf("%.10q: %d", request, r.Status())
				}
				if n := b.Conns.Load() - before; n != opens {
					t.Errorf("%.10q: %d new connections, want %d", request, n, opens)
				}
			}
			ask(aPost, 1)
			ask(aPost, 0)
			ask("GET /end HTTP/1.1\r\nHost: a\r\n\r\n", 0)
			b.WaitIdle(t)
			ask(aGet, 1)
			ask(aGet, 0)
			newConns := map[string]int64{"unannounced": 1, "announced": 0}[name]
			for range 3 {
				ask(aPost, newConns)
				ask(aKeyed, 0)
				ask(aPut, 0)
			}
			lb.wantMetric(`lb_requests_total{site="s",code="200"}`, fmt.Sprint(14))
		})
	}
}

// TestRetryOnNewConnectionWhileOthersAreFull: if a kept-alive connection fails while all other backends are full, the request is
// retried at once on a new connection to the same backend.
func TestRetryOnNewConnectionWhileOthersAreFull(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	full := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadRequest()
		close(entered)
		<-release
		c.Send(lbtest.OK("full"))
	})
	closing := newClosingBackend(t, "")
	text := proxyTo("  queue {\n    limit = 0\n  }\n", closing.Addr, full.Addr)
	lb := start(t, strings.ReplaceAll(text, "\" {}\n", "\" {\n    max_conns = 1\n  }\n"))
	c := lb.dial() // each loop keeps its own connections to backends
	c.Send(aGet)
	if r := c.ReadResponse("GET"); r.Body != "first" {
		t.Fatalf("%q", r.Head)
	}
	lbtest.Eventually(t, "its place is free", func() bool {
		return lb.metric(`lb_backend_in_flight{pool="app",backend="`+closing.Addr+`"}`) == "0"
	})
	busy := lb.dial()
	busy.Send(aGet)
	<-entered
	c.Send(aGet)
	if r := c.ReadResponse("GET"); r.Status() != 200 || r.Body != "first" {
		t.Errorf("%d %q", r.Status(), r.Body)
	}
	if n := closing.asked.Load(); n != 3 {
		t.Errorf("the closing backend was asked %d times, want 3", n)
	}
	close(release)
	if r := busy.ReadResponse("GET"); r.Body != "full" {
		t.Errorf("%q", r.Head)
	}
}

// TestNoRetryAfterInterim: after a client has received interim responses of one backend, it does not get the response of another.
func TestNoRetryAfterInterim(t *testing.T) {
	const early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	busy := lbtest.NewBackend(t, lbtest.Respond(early+"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"))
	good := newClosingBackend(t, "")
	lb := start(t, proxyTo("  balance = \"first\"\n", busy.Addr, good.Addr))
	c := lb.dial()
	c.Send(aGet)
	if r := c.ReadResponse("GET"); r.Status() != 103 {
		t.Fatalf("%d", r.Status())
	}
	if r := c.ReadResponse("GET"); r.Status() != 503 || r.Body != "busy" {
		t.Errorf("%d %q", r.Status(), r.Body)
	}
	if n := good.asked.Load(); n != 0 {
		t.Errorf("the other backend was asked %d times", n)
	}
}
