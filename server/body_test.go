package server_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

func TestRequestBodies(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("  retry {\n    body = \"1KiB\"\n  }\n", b.Addr))
	large := strings.Repeat("0123456789abcdef", 20_000)
	for _, tc := range []struct{ name, framing, sent, framed, body string }{
		{"none", "", "", "", ""},
		{"empty", "Content-Length: 0\r\n", "", "Content-Length: 0", ""},
		{"kept", "Content-Length: 5\r\n", "hello", "Content-Length: 5", "hello"},
		{"streamed", fmt.Sprintf("Content-Length: %d\r\n", len(large)), large, fmt.Sprintf("Content-Length: %d", len(large)), large},
		{"chunked", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "Transfer-Encoding: chunked", "abcde"},
		{"large chunk", "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(large), large), "Transfer-Encoding: chunked", large},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := lb.dial()
			for range 2 { // the connection goes on
				c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + tc.framing + "\r\n" + tc.sent)
				if r := c.ReadResponse("POST"); r.Status() != 200 {
					t.Fatalf("status %d", r.Status())
				}
				head, body := b.last()
				if body != tc.body {
					t.Errorf("the backend read %d bytes, want %d", len(body), len(tc.body))
				}
				framed := strings.Join(append(lbtest.Fields(head, "Content-Length"), lbtest.Fields(head, "Transfer-Encoding")...), "|")
				if _, want, _ := strings.Cut(tc.framed, ": "); framed != want {
					t.Errorf("framed by %q, want %q", framed, want)
				}
			}
		})
	}
}

// TestEarlyResponse: a refusal that is sent before the request is complete reaches a client that is still sending.
func TestEarlyResponse(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		c.Send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
	})
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + strings.Repeat("x", 100_000))
	r := c.ReadResponse("POST")
	if r.Status() != 413 || r.Body != "big" || r.Field("Connection") != "close" {
		t.Errorf("%q %q %v", r.Head, r.Body, r.Err)
	}
	if rest, orderly := c.Ended(); rest != "" || !orderly {
		t.Errorf("the connection did not end orderly: %q %v", rest, orderly)
	}
}

// TestExpectContinue: the backend decides whether the client sends its body. A backend that ignores Expect gets the body
// nevertheless.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"HTTP/1.1 100 Continue\r\n\r\n", ""} {
		heads := make(chan string, 1)
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			heads <- c.ReadHead()
			c.Send(says)
			if c.Expect(t, "ab") {
				c.Send(lbtest.OK("x"))
				c.ReadHead()
			}
		})
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		if head := c.ReadHead(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("instead of 100: %q", head)
		}
		c.Send("ab")
		if r := c.ReadResponse("POST"); r.Status() != 200 || r.Field("Connection") != "" {
			t.Errorf("response %q", r.Head)
		}
		if head, _ := lbtest.Wait(t, "a request", heads); strings.Join(lbtest.Fields(head, "Expect"), "|") != "100-continue" {
			t.Errorf("the backend read %q", head)
		}
	}
}

// TestExpectRefused: a final response to a request whose body waits for a 100 is relayed. The body is neither requested nor read,
// and the request is retried on another backend where that is safe.
func TestExpectRefused(t *testing.T) {
	for _, status := range []string{"417 Expectation Failed", "401 Unauthorized", "413 Content Too Large"} {
		rest := make(chan string, 1)
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			c.ReadHead()
			c.Send("HTTP/1.1 " + status + "\r\nContent-Length: 2\r\n\r\nno")
			got, _ := c.Ended()
			rest <- got
		})
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		c.Send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 200000\r\n\r\n")
		if r := c.ReadResponse("PUT"); !strings.HasPrefix(r.Head, "HTTP/1.1 "+status) || r.Body != "no" || r.Field("Connection") != "close" {
			t.Errorf("%s: %q %q", status, r.Head, r.Body)
		}
		if more, orderly := c.Ended(); more != "" || !orderly {
			t.Errorf("%s: then %q, orderly %v", status, more, orderly)
		}
		if got, _ := lbtest.Wait(t, "the connection's end", rest); got != "" {
			t.Errorf("%s: the backend read %q after the head", status, got)
		}
	}
	dead := lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadHead() })
	good := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		c.Send("HTTP/1.1 100 Continue\r\n\r\n")
		if c.Expect(t, "ab") {
			c.Send(lbtest.OK("x"))
			c.ReadHead()
		}
	})
	lb := start(t, proxyTo("  balance = \"first\"\n", dead.Addr, good.Addr))
	c := lb.dial()
	c.Send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if head := c.ReadHead(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("instead of 100: %q", head)
	}
	c.Send("ab")
	if r := c.ReadResponse("PUT"); r.Status() != 200 {
		t.Errorf("response %q", r.Head)
	}
}

// TestClientDisconnectsDuringUpload: the backend never sees an incomplete request as complete.
func TestClientDisconnectsDuringUpload(t *testing.T) {
	for _, framing := range []string{"Content-Length: 1000000", "Transfer-Encoding: chunked"} {
		whole, began := make(chan bool, 1), make(chan struct{})
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			head := c.ReadHead()
			close(began)
			var err error
			if strings.Contains(head, "chunked") {
				var rest []byte
				rest, err = io.ReadAll(c)
				if err == nil && !strings.HasSuffix(string(rest), "0\r\n\r\n") {
					err = io.ErrUnexpectedEOF
				}
			} else {
				_, err = io.CopyN(io.Discard, c, 1_000_000)
			}
			whole <- err == nil
		})
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n\r\n3\r\nabc\r\n")
		<-began
		c.Close()
		if <-whole {
			t.Errorf("%s: the backend read a whole request", framing)
		}
		lb.wantMetric(`lb_requests_total{site="s",code="499"}`, "1")
		lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
		lb.stop()
	}
}

func TestBodyLimit(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, "limits {\n  body_size = \"10B\"\n}\n"+proxyTo("", b.Addr))
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
	} {
		c := lb.dial()
		c.Send(request)
		if r := c.ReadResponse("POST"); r.Status() != 413 {
			t.Errorf("%.60q: %d, want 413", request, r.Status())
		}
	}
}

// TestLargeTransfers: megabytes pass unchanged both ways on one connection.
func TestLargeTransfers(t *testing.T) {
	const size = 8 << 20
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head := c.ReadHead()
			if head == "" {
				return
			}
			body := make([]byte, size)
			if _, err := io.ReadFull(c, body); err != nil {
				return
			}
			c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
			_, _ = c.Write(body)
		}
	})
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	body := strings.Repeat("abcdefghijklmnop", size/16)
	for range 2 {
		go c.Send(fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size) + body)
		r := c.ReadResponse("PUT")
		if r.Err != nil || sha256.Sum256([]byte(r.Body)) != sha256.Sum256([]byte(body)) {
			t.Fatalf("%d bytes came back: %v", len(r.Body), r.Err)
		}
	}
	lb.wantMetric(`lb_request_bytes_total{site="s"}`, fmt.Sprint(2*size))
}

// TestResponseIsStreamed: each piece of a response reaches the client before the backend writes the next one.
func TestResponseIsStreamed(t *testing.T) {
	for _, framing := range []string{"Content-Length: 6", "Transfer-Encoding: chunked"} {
		next := make(chan struct{})
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			c.ReadRequest()
			c.Send("HTTP/1.1 200 OK\r\n" + framing + "\r\n\r\n")
			for _, piece := range []string{"ab", "cd", "ef"} {
				<-next
				if strings.HasPrefix(framing, "T") {
					piece = "2\r\n" + piece + "\r\n"
				}
				c.Send(piece)
			}
			if strings.HasPrefix(framing, "T") {
				c.Send("0\r\n\r\n")
			}
		})
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 200") { // before any of the body
			t.Fatalf("head %q", head)
		}
		for _, piece := range []string{"ab", "cd", "ef"} {
			next <- struct{}{}
			if strings.HasPrefix(framing, "T") {
				piece = "2\r\n" + piece + "\r\n"
			}
			got := make([]byte, len(piece))
			if _, err := io.ReadFull(c, got); string(got) != piece || err != nil {
				t.Fatalf("%q %v, want %q", got, err, piece)
			}
		}
		lb.stop()
	}
}

func TestUpgrade(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		head := c.ReadHead()
		if strings.Join(lbtest.Fields(head, "Connection"), "|") != "Upgrade" || strings.Join(lbtest.Fields(head, "Upgrade"), "|") != "echo/1" {
			c.Send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		c.Send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo/1\r\nConnection: Upgrade\r\n\r\nhello ")
		_, _ = io.Copy(c.Conn, c)
		c.Send(" bye")
	})
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo/1\r\n\r\nearly ")
	r := c.ReadResponse("GET")
	if r.Status() != 101 || r.Field("Upgrade") != "echo/1" || r.Field("Connection") != "Upgrade" {
		t.Fatalf("handshake %q", r.Head)
	}
	c.Send("late")
	c.CloseWrite()
	if got, orderly := c.Ended(); got != "hello early late bye" || !orderly {
		t.Errorf("read %q, orderly %v", got, orderly)
	}
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")

	c = lb.dial()
	c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
	if r := c.ReadResponse("GET"); r.Status() != 400 {
		t.Errorf("a refused upgrade: %q", r.Head)
	}
}
