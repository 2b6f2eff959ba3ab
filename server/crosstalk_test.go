package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestUnwantedBodies: bytes after a response without a body reach no client.
func TestUnwantedBodies(t *testing.T) {
	for _, tc := range []struct{ method, response, head string }{
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nWRONG", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nWRONG\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"GET", "HTTP/1.1 204 No Content\r\n\r\nWRONG", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nWRONG", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"},
		{"GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\nWRONG", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"},
	} {
		b := record(t, tc.response)
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		for i := range 5 {
			c.Send(tc.method + " / HTTP/1.1\r\nHost: a\r\n\r\n")
			if r := c.ReadResponse(tc.method); without(r.Head, "X-Request-Id", "Date") != tc.head {
				t.Fatalf("%s %q: response %d is %q", tc.method, tc.response, i, r.Head)
			}
		}
		c.CloseWrite()
		if rest, _ := c.Ended(); rest != "" {
			t.Errorf("%s %q: after the response %q", tc.method, tc.response, rest)
		}
		lb.stop()
	}
}

// TestPipelining: pipelined requests get their responses in order.
func TestPipelining(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, body := c.ReadRequest()
			if head == "" {
				return
			}
			target := strings.Fields(head)[1]
			c.Send(lbtest.OK(target + body))
		}
	})
	lb := start(t, proxyTo(streaming, b.Addr))
	c := lb.dial()
	c.Send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /5 HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, want := range []string{"/1", "/2abc", "/3de", "/4"} {
		if r := c.ReadResponse("GET"); r.Body != want || r.Err != nil {
			t.Fatalf("%q %v, want %q", r.Body, r.Err, want)
		}
	}
	if rest, orderly := c.Ended(); rest != "" || !orderly {
		t.Errorf("after Connection: close: %q, orderly %v", rest, orderly)
	}
}

// TestNoCrosstalk: under load, with responses of all framings and with connections that are kept, closed and reset, every client
// reads the response to its own request.
func TestNoCrosstalk(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for n := 0; ; n++ {
			head, body := c.ReadRequest()
			if head == "" {
				return
			}
			text := strings.Fields(head)[1] + body
			switch n % 5 {
			case 0:
				c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n" + text[:1] + "\r\n")
				for _, r := range text[1:] {
					c.Send("1\r\n" + string(r) + "\r\n")
				}
				c.Send("0\r\n\r\n")
			case 1:
				c.Send(lbtest.OK(text) + lbtest.OK("WRONG"))
				return
			case 4:
				c.Send("HTTP/1.1 200 OK\r\n\r\n" + text)
				return
			default:
				c.SendPieces(lbtest.OK(text), 7)
			}
		}
	})
	lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", b.Addr))
	done := make(chan bool)
	const clients, requests = 6, 100
	for i := range clients {
		go func() {
			defer func() { done <- true }()
			c := lb.dial()
			name := strings.Repeat(string(rune('a'+i)), i+1)
			for range requests {
				c.Send("PUT /" + name + " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n" + name[:1] + "!")
				if r := c.ReadResponse("PUT"); r.Body != "/"+name+name[:1]+"!" {
					t.Errorf("client %s read %d %q %v", name, r.Status(), r.Body, r.Err)
					return
				}
			}
		}()
	}
	for range clients {
		<-done
	}
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
}
