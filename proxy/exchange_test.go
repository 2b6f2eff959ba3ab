package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
	"lb/transport"
)

func want(t testing.TB, c *lbtest.Conn, method string, status int, body string) lbtest.Response {
	t.Helper()
	r := c.ReadResponse(method)
	if r.Status() != status || r.Body != body || r.Err != nil {
		t.Fatalf("%d %.200q (%v), want %d %.200q", r.Status(), r.Body, r.Err, status, body)
	}
	return r
}

func TestForwards(t *testing.T) {
	heads := make(chan string, 10)
	back := backend(t, func(head, body string) string {
		heads <- head
		return lbtest.OK(body + "!")
	})
	b := start(t, options{}, back.Addr)
	c := lbtest.Dial(t, b.address)
	for range 3 {
		c.Send(get("/a?b"))
		r := want(t, c, "GET", 200, "!")
		if r.Field("X-Request-Id") == "" || r.Field("Date") == "" {
			t.Errorf("%q", r.Head)
		}
	}
	if head := <-heads; !strings.HasPrefix(head, "GET /a?b HTTP/1.1\r\nHost: a\r\n") || !strings.Contains(head, "X-Forwarded-For: 127.0.0.1\r\n") {
		t.Errorf("%q", head)
	}
	if n := back.Conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	c.Send(get("/fixed"))
	want(t, c, "GET", 200, "fixed")
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	want(t, c, "POST", 200, "hello!")
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	want(t, c, "POST", 200, "hello!")
	large := strings.Repeat("0123456789abcdef", 100_000)
	c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(large), large))
	want(t, c, "POST", 200, large+"!")
	c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large))
	want(t, c, "POST", 200, large+"!")
	c.Send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
	want(t, c, "HEAD", 200, "")
}

func TestStreams(t *testing.T) {
	step := make(chan struct{})
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for i := range 3 {
				<-step
				c.Send(fmt.Sprintf("6\r\npiece%d\r\n", i))
			}
			c.Send("0\r\nX-T: 1\r\n\r\n")
		}
	})
	b := start(t, options{}, back.Addr)
	c := lbtest.Dial(t, b.address)
	c.Send(get("/"))
	if head := c.ReadHead(); !strings.Contains(head, "Transfer-Encoding: chunked") {
		t.Fatalf("%q", head)
	}
	for i := range 3 {
		step <- struct{}{}
		if !c.Expect(t, fmt.Sprintf("6\r\npiece%d\r\n", i)) {
			return
		}
	}
	c.Expect(t, "0\r\nX-T: 1\r\n\r\n")
}

func TestRetries(t *testing.T) {
	good := backend(t, func(head, body string) string { return lbtest.OK("good" + body) })
	bad := lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadRequest() }) // it ends each connection without a response
	refusing := lbtest.NewBackend(t, func(c *lbtest.Conn) {})
	refusing.Kill()
	b := start(t, options{}, refusing.Addr, bad.Addr, good.Addr)
	for range 6 {
		c := lbtest.Dial(t, b.address)
		c.Send(get("/"))
		want(t, c, "GET", 200, "good")
	}
	only := start(t, options{}, bad.Addr)
	c := lbtest.Dial(t, only.address)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
	if r := c.ReadResponse("POST"); r.Status() != 502 {
		t.Errorf("%q", r.Head)
	}
}

// TestStaleConnection: no request fails because the backend closes an idle connection when the next request arrives.
func TestStaleConnection(t *testing.T) {
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if head, _ := c.ReadRequest(); head != "" {
			c.Send(lbtest.OK("a"))
			c.ReadHead()
		}
	})
	b := start(t, options{}, back.Addr)
	c := lbtest.Dial(t, b.address)
	for range 10 {
		c.Send(get("/"))
		want(t, c, "GET", 200, "a")
	}
}

func TestTimeouts(t *testing.T) {
	silent := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadRequest()
		c.ReadHead()
	})
	half := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadRequest()
		c.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		c.ReadHead()
	})
	short := options{transport: func(o *transport.Options) {
		o.Timeouts = transport.Timeouts{Response: 100 * time.Millisecond, Idle: 100 * time.Millisecond}
	}}
	c := lbtest.Dial(t, start(t, short, silent.Addr).address)
	c.Send(get("/"))
	if r := c.ReadResponse("GET"); r.Status() != 504 {
		t.Errorf("%q", r.Head)
	}
	c = lbtest.Dial(t, start(t, short, half.Addr).address)
	c.Send(get("/"))
	if r := c.ReadResponse("GET"); r.Status() != 200 || r.Err == nil {
		t.Errorf("%q %q %v", r.Head, r.Body, r.Err)
	}
}

// TestClientDisconnects: the connection to the backend is closed at once when the client disconnects.
func TestClientDisconnects(t *testing.T) {
	for name, request := range map[string]string{
		"waits":   get("/"),
		"uploads": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
	} {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprint(name, reset), func(t *testing.T) {
				asked, left := make(chan struct{}), make(chan struct{})
				back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
					c.ReadHead()
					close(asked)
					c.ReadHead()
					close(left)
				})
				b := start(t, options{}, back.Addr)
				c := lbtest.Dial(t, b.address)
				c.Send(request)
				lbtest.Wait(t, "the request", asked)
				if reset {
					c.Reset()
				} else {
					c.Close()
				}
				lbtest.Wait(t, "the end", left)
			})
		}
	}
}

// TestSlowReader: a client that reads a large response slowly gets all of it, with and without buffering.
func TestSlowReader(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1_000_000)
	for _, framing := range []string{"length", "chunks", "close"} {
		for _, buffer := range []int64{0, 100_000, 64 << 20} {
			back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				if head, _ := c.ReadRequest(); head == "" {
					return
				}
				switch framing {
				case "length":
					c.Send(lbtest.OK(large))
				case "chunks":
					c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large))
				default:
					c.Send("HTTP/1.1 200 OK\r\n\r\n" + large)
				}
			})
			b := start(t, options{forward: func(f *Forward) { f.Buffer = Buffering{Response: buffer, Dir: t.TempDir()} }}, back.Addr)
			c := lbtest.Dial(t, b.address)
			c.Send(get("/"))
			lbtest.Eventually(t, "the request is in flight", func() bool { return b.site.Metrics.InFlight.Get() == 1 })
			want(t, c, "GET", 200, large)
		}
	}
}

func TestUpgrade(t *testing.T) {
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if head := c.ReadHead(); !strings.Contains(head, "Upgrade: echo") {
			return
		}
		c.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
		buf := make([]byte, 100)
		for {
			n, err := c.Read(buf)
			if err != nil {
				c.Send("bye")
				return
			}
			c.Send(string(buf[:n]))
		}
	})
	b := start(t, options{}, back.Addr)
	c := lbtest.Dial(t, b.address)
	c.Send(get("/", "Connection: Upgrade", "Upgrade: echo") + "first")
	if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("%q", head)
	}
	c.Expect(t, "hello")
	c.Expect(t, "first")
	c.Send("second")
	c.Expect(t, "second")
	c.CloseWrite()
	if rest, orderly := c.Ended(); rest != "bye" || !orderly {
		t.Errorf("%q, orderly: %v", rest, orderly)
	}
}

func TestHeldBody(t *testing.T) {
	back := backend(t, func(head, body string) string {
		return lbtest.OK(fmt.Sprint(len(body), strings.Contains(head, "Content-Length: "+fmt.Sprint(len(body)))))
	})
	b := start(t, options{forward: func(f *Forward) { f.Buffer = Buffering{Request: 300_000, Dir: t.TempDir()} }}, back.Addr)
	for _, n := range []int{1, 1000, 100_000, 300_000} {
		c := lbtest.Dial(t, b.address)
		c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", n))
		c.Send(strings.Repeat("x", n))
		c.Send("\r\n0\r\n\r\n")
		want(t, c, "POST", 200, fmt.Sprint(n, true))
	}
	c := lbtest.Dial(t, b.address)
	c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", 1_000_000, strings.Repeat("x", 1_000_000)))
	want(t, c, "POST", 200, fmt.Sprint(1_000_000, false))
}
