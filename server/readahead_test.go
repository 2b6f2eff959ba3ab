package server_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// framed is a response with a body in one of the framings that a backend can use.
func framed(framing, body string) string {
	switch framing {
	case "length":
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	case "chunks":
		var b strings.Builder
		b.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n")
		for rest := body; rest != ""; {
			n := min(len(rest), 100_000)
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		return b.String() + "0\r\nX-End: e\r\n\r\n"
	}
	return "HTTP/1.1 200 OK\r\n\r\n" + body
}

// dialSlow connects a client with a small receive buffer.
func (r *running) dialSlow() *lbtest.Conn {
	c := r.dial()
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	return c
}

// TestReadAhead: a backend is free as soon as its response is buffered, however slowly the client reads it. Nothing is lost, no
// goroutine is needed, and a pipelined request gets its response afterwards.
func TestReadAhead(t *testing.T) {
	const size = 24 << 20
	body := pattern(size)
	for kind, text := range bufferings {
		for _, framing := range []string{"length", "chunks", "close"} {
			t.Run(kind+"/"+framing, func(t *testing.T) {
				b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
					for {
						switch head := c.ReadHead(); {
						case head == "":
							return
						case strings.HasPrefix(head, "GET /big"):
							c.Send(framed(framing, body))
							if framing == "close" {
								return
							}
						default:
							c.Send(lbtest.OK("o"))
						}
					}
				})
				lb := start(t, buffered(strings.ReplaceAll(text, "1MiB", "32MiB"), "", b.Addr))
				c := lb.dialSlow()
				c.Send("GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n")
				lb.wantMetric(`lb_backend_requests_total{pool="app",backend="`+b.Addr+`",code="200"}`, "1")
				lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
				lb.wantMetric(`lb_backend_connections{pool="app",backend="`+b.Addr+`",state="active"}`, "0")
				if kept := lb.metric(`lb_backend_connections{pool="app",backend="` + b.Addr + `",state="idle"}`); framing != "close" && kept != "1" {
					t.Errorf("%s connections are kept", kept)
				}
				lb.paused("s")
				bustle(lb)
				r := c.ReadResponse("GET")
				if r.Status() != 200 || r.Body != body {
					t.Errorf("%q, %d bytes, %v", r.Head, len(r.Body), r.Err)
				}
				if r := c.ReadResponse("GET"); r.Body != "o" {
					t.Errorf("followed by %q %q", r.Head, r.Body)
				}
				lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
				wantNoFiles(t)
			})
		}
	}
}

// TestReadAheadIsBounded: a response larger than the buffer arrives complete, and its backend waits meanwhile.
func TestReadAheadIsBounded(t *testing.T) {
	const size = 24 << 20
	body := pattern(size)
	for kind, text := range bufferings {
		for _, framing := range []string{"length", "chunks", "close"} {
			t.Run(kind+"/"+framing, func(t *testing.T) {
				b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
					for c.ReadHead() != "" {
						c.Send(framed(framing, body))
						if framing == "close" {
							return
						}
					}
				})
				lb := start(t, buffered(text, "", b.Addr))
				c := lb.dialSlow()
				c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				lb.paused("s")
				if n := lb.metric(`lb_backend_in_flight{pool="app",backend="` + b.Addr + `"}`); n != "1" {
					t.Errorf("%s requests are with the backend", n)
				}
				head := c.ReadHead()
				if framing == "length" {
					part := make([]byte, 8<<20)
					if _, err := io.ReadFull(c, part); err != nil || string(part) != body[:len(part)] {
						t.Fatalf("the first part is not as it should be (%v)", err)
					}
					lb.paused("s")
					rest := make([]byte, size-len(part))
					if _, err := io.ReadFull(c, rest); err != nil || string(rest) != body[len(part):] {
						t.Fatalf("the rest is not as it should be (%v)", err)
					}
				} else if got, err := c.ReadBody(head); err != nil || got != body {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
				wantNoFiles(t)
			})
		}
	}
}

// TestReadAheadDelaysNothing: the received part of a response goes to the client at once, whatever is buffered.
func TestReadAheadDelaysNothing(t *testing.T) {
	for _, tc := range []struct{ name, head, frame string }{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n", "%[2]s"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "%[1]x\r\n%[2]s\r\n"},
		{"close", "HTTP/1.1 200 OK\r\n\r\n", "%[2]s"},
		{"events", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n", "%[1]x\r\n%[2]s\r\n"},
	} {
		for kind, text := range bufferings {
			t.Run(tc.name+"/"+kind, func(t *testing.T) {
				goOn := make(chan struct{})
				b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
					c.ReadHead()
					c.Send(tc.head)
					for _, piece := range []string{"first", "other", "third"} {
						<-goOn
						c.Send(fmt.Sprintf(tc.frame, len(piece), piece))
					}
					if strings.Contains(tc.head, "chunked") {
						c.Send("0\r\n\r\n")
					}
				})
				lb := start(t, buffered(text, "", b.Addr))
				c := lb.dial()
				c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
					t.Fatalf("%q", head)
				}
				for _, piece := range []string{"first", "other", "third"} {
					goOn <- struct{}{}
					if tc.frame[:3] == "%[1" || tc.name == "close" { // the client gets chunks for both
						piece = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
					}
					if !c.Expect(t, piece) {
						return
					}
				}
				if tc.name != "length" {
					c.Expect(t, "0\r\n\r\n")
				}
				lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
				lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
			})
		}
	}
}

// TestReadAheadEnds: if the backend fails, the client can tell that the response is incomplete. If the client disconnects, this
// does not count as a failure of the backend.
func TestReadAheadEnds(t *testing.T) {
	for kind, text := range bufferings {
		t.Run(kind+"/backend", func(t *testing.T) {
			for _, framing := range []string{"length", "chunks"} {
				b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
					c.ReadHead()
					whole := framed(framing, pattern(500_000))
					c.Send(whole[:len(whole)/2])
				})
				lb := start(t, buffered(text, "", b.Addr))
				c := lb.dial()
				c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if r := c.ReadResponse("GET"); r.Err == nil {
					t.Errorf("%s: %q, %d bytes, as if whole", framing, r.Head, len(r.Body))
				}
				lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="reset"}`, "1")
				lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
				lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
				wantNoFiles(t)
				lb.stop()
			}
		})
		for _, rests := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/client/%v", kind, rests), func(t *testing.T) {
				ended := make(chan struct{})
				b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
					c.ReadHead()
					if rests {
						c.Send("HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + strings.Repeat("x", 30_000_000))
					} else {
						c.Send("HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + strings.Repeat("x", 100))
					}
					_, _ = c.Ended()
					close(ended)
				})
				lb := start(t, buffered(text, "", b.Addr))
				c := lb.dialSlow()
				c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if rests {
					lb.paused("s")
				} else {
					c.ReadHead()
				}
				c.Reset()
				lbtest.Wait(t, "the end of the backend's connection", ended)
				lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
				lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
				lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="aborted"}`, "1")
				wantNoFiles(t)
			})
		}
	}
}

// TestEventsAreNotReadAhead: events that a slow client has not read stay with the backend.
func TestEventsAreNotReadAhead(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		c.Send("HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream;charset=utf-8\r\n\r\n" + strings.Repeat("data: x\n\n", 3_000_000))
	})
	lb := start(t, buffered(strings.ReplaceAll(bufferings["memory"], "1MiB", "64MiB"), "", b.Addr))
	c := lb.dialSlow()
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	lb.paused("s")
	if n := lb.metric(`lb_backend_in_flight{pool="app",backend="` + b.Addr + `"}`); n != "1" {
		t.Errorf("%s requests are with the backend", n)
	}
}

// TestReadAheadOverTLS: a slow reader over TLS does not occupy a backend either.
func TestReadAheadOverTLS(t *testing.T) {
	const size = 24 << 20
	body := pattern(size)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for c.ReadHead() != "" {
			c.Send(framed("length", body))
		}
	})
	lb := start(t, tlsListen(t, t.TempDir())+
		buffered(strings.ReplaceAll(bufferings["directory"], "1MiB", "32MiB"), "", b.Addr))
	c := lbtest.DialTLS(t, lb.addr(), &tls.Config{InsecureSkipVerify: true})
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	lb.wantMetric(`lb_backend_requests_total{pool="app",backend="`+b.Addr+`",code="200"}`, "1")
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "1")
	if r := c.ReadResponse("GET"); r.Status() != 200 || r.Body != body {
		t.Errorf("%q, %d bytes, %v", r.Head, len(r.Body), r.Err)
	}
	wantNoFiles(t)
}

// TestReadAheadOfOtherResponses: responses without a body, and those of HTTP/1.0, are the same with and without a buffer.
func TestReadAheadOfOtherResponses(t *testing.T) {
	for _, text := range bufferings {
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			for {
				switch head := c.ReadHead(); {
				case head == "":
					return
				case strings.HasPrefix(head, "HEAD"):
					c.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
				case strings.Contains(head, "/204"):
					c.Send("HTTP/1.1 204 No Content\r\n\r\n")
				case strings.Contains(head, "/304"):
					c.Send("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n")
				default:
					c.Send(framed("chunks", pattern(300_000)))
				}
			}
		})
		lb := start(t, buffered(text, "", b.Addr))
		c := lb.dial()
		for _, tc := range []struct {
			method, path string
			status       int
		}{{"HEAD", "/", 200}, {"GET", "/204", 204}, {"GET", "/304", 304}} {
			c.Send(tc.method + " " + tc.path + " HTTP/1.1\r\nHost: a\r\n\r\n")
			if r := c.ReadResponse(tc.method); r.Status() != tc.status || r.Body != "" || r.Err != nil {
				t.Errorf("%s %s: %q %q %v", tc.method, tc.path, r.Head, r.Body, r.Err)
			}
		}
		old := lb.dial()
		old.Send("GET / HTTP/1.0\r\n\r\n")
		if r := old.ReadResponse("GET"); r.Body != pattern(300_000) || r.Field("Transfer-Encoding") != "" {
			t.Errorf("HTTP/1.0: %q, %d bytes, %v", r.Head, len(r.Body), r.Err)
		}
		lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
		wantNoFiles(t)
		lb.stop()
	}
}
