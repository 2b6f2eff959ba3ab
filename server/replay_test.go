package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestSlowSmallBodyIsStreamed: a body that does not arrive promptly is streamed, however small, so the response may precede its
// end.
func TestSlowSmallBodyIsStreamed(t *testing.T) {
	for _, tc := range []struct{ framing, first, second, seen string }{
		{"Content-Length: 10", "hello", "world", "hello"},
		{"Transfer-Encoding: chunked", "5\r\nhello\r\n", "5\r\nworld\r\n0\r\n\r\n", "5\r\nhello\r\n"},
	} {
		for _, early := range []bool{false, true} {
			began := make(chan bool)
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				c.ReadHead()
				if !c.Expect(t, tc.seen) {
					return
				}
				if early {
					c.Send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
					c.ReadHead()
					return
				}
				began <- true
				if c.Expect(t, tc.second) {
					c.Send(lbtest.OK("all"))
					c.ReadHead()
				}
			})
			lb := start(t, proxyTo("", b.Addr))
			c := lb.dial()
			c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + tc.framing + "\r\n\r\n" + tc.first)
			want := 401
			if !early {
				want = 200
				lbtest.Wait(t, "the beginning of the body", began)
				c.Send(tc.second)
			}
			if r := c.ReadResponse("POST"); r.Status() != want || early != (r.Field("Connection") == "close") {
				t.Errorf("%s, early %v: %q %q", tc.framing, early, r.Head, r.Body)
			}
			lb.stop()
		}
	}
}

// TestReplay: a completely kept body is sent to another backend in the client's framing, whether it came with the head, was
// streamed, or was requested by a 100.
func TestReplay(t *testing.T) {
	const chunks = "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n"
	for _, tc := range []struct {
		name, lines, body string
		waits             bool // for the backend to have the head
		lastWords         string
		status            int
		framing, read     string
	}{
		{"length", "Content-Length: 5", "abcde", false, "", 200, "Content-Length: 5", "abcde"},
		{"length, slowly", "Content-Length: 5", "abcde", true, "", 200, "Content-Length: 5", "abcde"},
		{"chunks", "Transfer-Encoding: chunked", chunks + "\r\n", false, "", 200, "Transfer-Encoding: chunked", "5\r\nabcde\r\n0\r\n\r\n"},
		{"trailers", "Transfer-Encoding: chunked", chunks + "X-Sum: 1\r\n\r\n", false, "", 200, "Transfer-Encoding: chunked", "5\r\nabcde\r\n0\r\nX-Sum: 1\r\n\r\n"},
		{"chunks, slowly", "Transfer-Encoding: chunked", chunks + "X-Sum: 1\r\n\r\n", true, "", 200, "Transfer-Encoding: chunked", "5\r\nabcde\r\n0\r\nX-Sum: 1\r\n\r\n"},
		{"empty chunks", "Transfer-Encoding: chunked", "0\r\n\r\n", false, "", 200, "Transfer-Encoding: chunked", "0\r\n\r\n"},
		{"expected", "Content-Length: 5\r\nExpect: 100-continue", "abcde", true, "", 200, "Content-Length: 5", "abcde"},
		{"expected chunks", "Transfer-Encoding: chunked\r\nExpect: 100-continue", chunks + "\r\n", true, "", 200, "Transfer-Encoding: chunked", "5\r\nabcde\r\n0\r\n\r\n"},
		{"503 to chunks", "Transfer-Encoding: chunked", chunks + "\r\n", true, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 200, "Transfer-Encoding: chunked", "5\r\nabcde\r\n0\r\n\r\n"},
		{"too large", "Content-Length: 33", strings.Repeat("x", 33), false, "", 502, "", ""},
		{"chunks, too large", "Transfer-Encoding: chunked", "21\r\n" + strings.Repeat("x", 33) + "\r\n0\r\n\r\n", false, "", 502, "", ""},
		{"chunks, too large, slowly", "Transfer-Encoding: chunked", "21\r\n" + strings.Repeat("x", 33) + "\r\n0\r\n\r\n", true, "", 502, "", ""},
		{"as large as may be", "Transfer-Encoding: chunked", "20\r\n" + strings.Repeat("x", 32) + "\r\n0\r\n\r\n", false, "", 200, "Transfer-Encoding: chunked", "20\r\n" + strings.Repeat("x", 32) + "\r\n0\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := make(chan bool, 1)
			bad := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				head := c.ReadHead()
				asked <- true
				if lbtest.Fields(head, "Expect") != nil {
					c.Send("HTTP/1.1 100 Continue\r\n\r\n")
				}
				_, _ = c.ReadBody(head)
				c.Send(tc.lastWords)
			})
			heads := make(chan string, 1)
			good := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				head := c.ReadHead()
				if head != "" && c.Expect(t, tc.read) {
					heads <- head
					c.Send(lbtest.OK("x"))
					c.ReadHead()
				}
			})
			lb := start(t, proxyTo("  balance = \"first\"\n  retry {\n    body = \"32B\"\n  }\n", bad.Addr, good.Addr))
			c := lb.dial()
			c.Send("PUT / HTTP/1.1\r\nHost: a\r\n" + tc.lines + "\r\n\r\n")
			if tc.waits {
				lbtest.Wait(t, "the head", asked)
			}
			if strings.Contains(tc.lines, "Expect") {
				if head := c.ReadHead(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
					t.Fatalf("instead of 100: %q", head)
				}
			}
			c.Send(tc.body)
			if r := c.ReadResponse("PUT"); r.Status() != tc.status {
				t.Fatalf("%d %q, want %d", r.Status(), r.Body, tc.status)
			}
			if tc.status == 200 {
				head := <-heads
				framed := strings.Join(append(lbtest.Fields(head, "Content-Length"), lbtest.Fields(head, "Transfer-Encoding")...), "|")
				if _, want, _ := strings.Cut(tc.framing, ": "); framed != want || lbtest.Fields(head, "Expect") != nil {
					t.Errorf("the other backend read %q", head)
				}
			}
		})
	}
}
