package server_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestRefusedExpectation: a backend that responded without requesting the announced body may read the next request as that body,
// so its connection is not reused (RFC 9112 section 9.3).
func TestRefusedExpectation(t *testing.T) {
	heads := make(chan string, 10)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for refused := false; ; {
			head := c.ReadHead()
			switch {
			case head == "":
				return
			case refused:
				t.Errorf("a request in the place of a body: %q", head)
			}
			refused = strings.HasPrefix(head, "PUT")
			heads <- head
			c.Send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		}
	})
	lb := start(t, proxyTo("", b.Addr))
	for range 3 {
		c := lb.dial()
		c.Send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 30\r\n\r\n")
		if r := c.ReadResponse("PUT"); r.Status() != 401 || r.Body != "no" {
			t.Fatalf("%q %q", r.Head, r.Body)
		}
		<-heads
		lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
		if r := lb.get("/next"); r.Status() != 401 {
			t.Fatalf("%q", r.Head)
		}
		<-heads
	}
}

// TestExpectationWithoutBody: Expect is not forwarded if there is no body to wait for (RFC 9110 section 10.1.1).
func TestExpectationWithoutBody(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	for _, length := range []string{"", "Content-Length: 0\r\n"} {
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + length + "\r\n")
		if r := c.ReadResponse("POST"); r.Status() != 200 {
			t.Fatalf("%q", r.Head)
		}
		head, _ := b.last()
		if strings.Contains(head, "Expect") || strings.Contains(head, "Transfer-Encoding") || !strings.Contains(head, length) {
			t.Errorf("with %q the backend read %q", length, head)
		}
	}
}

// endlessly sends interim responses until the balancer closes the connection.
func endlessly(c *lbtest.Conn, head string) {
	for _, err := c.Write([]byte(head)); err == nil; _, err = c.Write([]byte(head)) {
		time.Sleep(20 * time.Millisecond) // the pace of the backend
	}
}

// TestEndlessInterimResponses: interim responses do not restart the timeout for the final response.
func TestEndlessInterimResponses(t *testing.T) {
	const processing = "HTTP/1.1 102 Processing\r\n\r\n"
	const limits = "  timeouts {\n    response = \"300ms\"\n  }\n  retry {\n    attempts = 0\n  }\n"
	for _, tc := range []struct {
		name, request string
		interim       bool
	}{
		{"no body", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", false},
		{"kept body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", true},
		{"streamed body", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", true},
		{"expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				c.ReadHead()
				endlessly(c, processing)
			})
			lb := start(t, proxyTo(limits, b.Addr))
			c := lb.dial()
			c.Send(tc.request)
			interim := 0
			r := c.ReadResponse("GET")
			for ; r.Status() == 102 || r.Status() == 100; r = c.ReadResponse("GET") {
				if interim++; r.Head == processing && interim > 500 {
					t.Fatal("it does not end")
				}
			}
			if r.Status() != 504 || tc.interim != (interim > 0) {
				t.Errorf("%q after %d interim responses", r.Head, interim)
			}
			lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="timeout"}`, "1")
		})
	}
}

// TestResponseTimeBeginsBehindTheBody: the response timeout starts when the body has been sent, also after a 100, and then runs in
// full.
func TestResponseTimeBeginsBehindTheBody(t *testing.T) {
	const limits = "  timeouts {\n    response = \"500ms\"\n  }\n  retry {\n    attempts = 0\n    body     = \"0B\"\n  }\n"
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
		t.Run(expect, func(t *testing.T) {
			t.Parallel()
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				head := c.ReadHead()
				if expect != "" {
					c.Send("HTTP/1.1 100 Continue\r\n\r\n")
				}
				body := make([]byte, 4)
				if _, err := io.ReadFull(c, body); err != nil {
					t.Errorf("after %q: %v", head, err)
					return
				}
				time.Sleep(250 * time.Millisecond) // less than the timeout
				c.Send("HTTP/1.1 102 Processing\r\n\r\n" + lbtest.OK("x"))
			})
			lb := start(t, proxyTo(limits, b.Addr))
			c := lb.dial()
			c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + expect + "Content-Length: 4\r\n\r\n")
			for range 4 {
				time.Sleep(200 * time.Millisecond) // the pace of the client
				c.Send("x")
			}
			r := c.ReadResponse("POST")
			for r.Status() == 100 || r.Status() == 102 {
				r = c.ReadResponse("POST")
			}
			if r.Status() != 200 {
				t.Errorf("%q", r.Head)
			}
		})
	}
}
