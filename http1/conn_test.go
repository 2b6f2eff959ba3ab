package http1

import (
	"fmt"
	"io"

	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

func TestKeptConnection(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial("")
	for range 3 {
		c.Send(request("/a"))
		want(t, c, "GET", 200, "GET /a")
	}
	c.Send(request("/b", "Connection: close\r\n"))
	if r := want(t, c, "GET", 200, "GET /b"); r.Field("Connection") != "close" {
		t.Errorf("%q", r.Head)
	}
	if rest, orderly := c.Ended(); rest != "" || !orderly {
		t.Errorf("%q, orderly: %v", rest, orderly)
	}
}

func TestPipelinedRequests(t *testing.T) {
	s := startServer(t, Limits{})
	var all strings.Builder
	for i := range 100 {
		all.WriteString(request(fmt.Sprintf("/%d", i)))
		fmt.Fprintf(&all, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n%03d", i)
		fmt.Fprintf(&all, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n%03d\r\n0\r\n\r\n", i)
	}
	for _, piece := range []int{all.Len(), 1000, 7} {
		c := s.dial("")
		go c.SendPieces(all.String(), piece)
		for i := range 100 {
			want(t, c, "GET", 200, fmt.Sprintf("GET /%d", i))
			want(t, c, "POST", 200, fmt.Sprintf("%03d", i))
			want(t, c, "POST", 200, fmt.Sprintf("%03d", i))
		}
	}
}

func TestBodies(t *testing.T) {
	s := startServer(t, Limits{BodySize: 1 << 20})
	large := strings.Repeat("0123456789abcdef", 50_000)
	for name, tc := range map[string]struct {
		request string
		status  int
		body    string
	}{
		"length":        {"Content-Length: 5\r\n\r\nhello", 200, "hello"},
		"large":         {fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(large), large), 200, large},
		"chunks":        {"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", 200, "hello world"},
		"trailer":       {"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n", 200, "aX-T: 1\r\n"},
		"too large":     {"Content-Length: 2000000\r\n\r\n", 413, ErrBodyTooLarge.Error()},
		"no chunk":      {"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, ErrBodyMalformed.Error()},
		"many trailers": {"Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("a: b\r\n", MaxResponseFields+1) + "\r\n", 431, ErrTrailerFields.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial("POST /echo HTTP/1.1\r\nHost: a\r\n" + tc.request)
			want(t, c, "POST", tc.status, tc.body)
		})
	}
}

func TestHTTP10(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial("GET /a HTTP/1.0\r\n\r\n")
	if want(t, c, "GET", 200, "GET /a"); true {
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("%q, orderly: %v", rest, orderly)
		}
	}
	c = s.dial("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if r := want(t, c, "GET", 200, "GET /a"); r.Field("Connection") != "keep-alive" {
		t.Errorf("%q", r.Head)
	}
	c.Send("GET /stream/3/4 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	head := c.ReadHead()
	rest, orderly := c.Ended()
	if rest != "ccccbbbbaaaa" || !orderly || strings.Contains(head, "chunked") || !strings.Contains(head, "Connection: close") {
		t.Errorf("%q %q, orderly: %v", head, rest, orderly)
	}
}

func TestResponsesWithoutBody(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n" + request("/status/204") + request("/status/304") + request("/interim") + request("/b"))
	if r := want(t, c, "HEAD", 200, ""); r.Field("Content-Length") != "7" {
		t.Errorf("%q", r.Head)
	}
	want(t, c, "GET", 204, "")
	want(t, c, "GET", 304, "")
	if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 103 ") {
		t.Errorf("%q", head)
	}
	want(t, c, "GET", 200, "done")
	want(t, c, "GET", 200, "GET /b")
}

// TestSlowReader: a client that reads slowly gets the whole response.
func TestSlowReader(t *testing.T) {
	s := startServer(t, Limits{})
	for _, target := range []string{"/stream/300/60000", "/stream/300/60000/1"} {
		c := s.dial(request(target))
		lbtest.Eventually(t, "the exchange has begun", func() bool { return s.streams.Load() > 0 })
		var body strings.Builder
		for i := 299; i >= 0; i-- {
			body.WriteString(strings.Repeat(string(rune('a'+i%26)), 60_000))
		}
		want(t, c, "GET", 200, body.String())
		c.Send(request("/next"))
		want(t, c, "GET", 200, "GET /next")
	}
}

func TestTimeouts(t *testing.T) {
	s := startServer(t, Limits{HeaderTimeout: 100 * time.Millisecond, IdleTimeout: 100 * time.Millisecond, BodyIdleTimeout: 100 * time.Millisecond})
	t.Run("new", func(t *testing.T) {
		if rest, orderly := s.dial("").Ended(); rest != "" || !orderly {
			t.Errorf("%q, orderly: %v", rest, orderly)
		}
	})
	t.Run("head", func(t *testing.T) {
		c := s.dial("GET / HT")
		if r := c.ReadResponse("GET"); r.Status() != 408 {
			t.Errorf("%q", r.Head)
		}
	})
	t.Run("idle", func(t *testing.T) {
		c := s.dial(request("/a"))
		want(t, c, "GET", 200, "GET /a")
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("%q, orderly: %v", rest, orderly)
		}
	})
	t.Run("empty line", func(t *testing.T) { // as some clients send after a body
		c := s.dial(request("/a") + "\r\n")
		want(t, c, "GET", 200, "GET /a")
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("%q, orderly: %v", rest, orderly)
		}
	})
	t.Run("body", func(t *testing.T) {
		c := s.dial("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
		want(t, c, "POST", 408, ErrBodyTimeout.Error())
	})
	t.Run("reader", func(t *testing.T) {
		before := s.disconnects.Load()
		c := s.dial(request("/stream/1000/60000"))
		lbtest.Eventually(t, "the exchange ends", func() bool { return s.disconnects.Load() > before })
		if err := s.lastError.Load(); err != ErrSlowClient {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, c)
	})
}

// TestPanic: the client gets a 500 if that is still possible, otherwise a response that is visibly incomplete. Other requests are
// served.
func TestPanic(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial(request("/panic") + request("/a"))
	if r := c.ReadResponse("GET"); r.Status() != 500 || r.Field("Connection") != "close" || s.panicked.Load() != 1 {
		t.Errorf("%q", r.Head)
	}
	if rest, orderly := c.Ended(); rest != "" || !orderly {
		t.Errorf("%q, orderly: %v", rest, orderly)
	}
	c = s.dial(request("/within"))
	if r := c.ReadResponse("GET"); r.Status() == 200 && r.Err == nil || s.panicked.Load() != 2 {
		t.Errorf("%q looks complete", r.Body)
	}
	want(t, s.dial(request("/a")), "GET", 200, "GET /a")
}

// TestDisconnect: a reset is detected at once, a close within the time of a probe, and a client that only half-closes gets its
// response.
func TestDisconnect(t *testing.T) {
	s := startServer(t, Limits{})
	for name, leave := range map[string]func(*lbtest.Conn){
		"reset": func(c *lbtest.Conn) { c.Reset() },
		"close": func(c *lbtest.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			before := s.disconnects.Load()
			c := s.dial(request("/later/60000"))
			lbtest.Eventually(t, "the exchange has begun", func() bool { return s.streams.Load() == 1 })
			leave(c)
			lbtest.Eventually(t, "the exchange ends", func() bool { return s.disconnects.Load() > before && s.streams.Load() == 0 })
		})
	}
	t.Run("close at once", func(t *testing.T) {
		for range 20 { // mostly the end arrives together with the request, and sometimes after it
			before := s.disconnects.Load()
			s.dial(request("/later/60000")).Close()
			lbtest.Eventually(t, "the exchange ends", func() bool { return s.disconnects.Load() > before && s.streams.Load() == 0 })
		}
	})
	t.Run("half-closed", func(t *testing.T) {
		c := s.dial(request("/later/200"))
		c.CloseWrite()
		r := c.ReadResponse("GET")
		if r.Status() != 200 || r.Body != "later" || strings.Count(r.Head, "HTTP/1.1") != 1 {
			t.Errorf("%q %q", r.Head, r.Body)
		}
	})
	t.Run("half-closed within a body", func(t *testing.T) {
		c := s.dial("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
		c.CloseWrite()
		want(t, c, "POST", 400, ErrBodyShort.Error())
	})
	for name, leave := range map[string]func(*lbtest.Conn){
		"closed within a body": func(c *lbtest.Conn) { c.Close() },
		"reset within a body":  func(c *lbtest.Conn) { c.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			before := s.disconnects.Load()
			c := s.dial("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
			lbtest.Eventually(t, "the exchange has begun", func() bool { return s.streams.Load() == 1 })
			leave(c)
			lbtest.Eventually(t, "the exchange ends", func() bool { return s.disconnects.Load() > before && s.streams.Load() == 0 })
		})
	}
}

func TestUpgrade(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial(request("/upgrade") + "first")
	if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("%q", head)
	}
	for _, text := range []string{"", "second", "third"} {
		c.Send(text)
		if text == "" {
			text = "first"
		}
		if !c.Expect(t, text) {
			return
		}
	}
	c.CloseWrite()
	if rest, orderly := c.Ended(); rest != "" || !orderly {
		t.Errorf("%q, orderly: %v", rest, orderly)
	}
}
