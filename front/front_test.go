package front

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second // for what must happen, however slow the machine

// echo answers with the method, target and body of the request.
func echo(c *Conn) {
	body := ""
	if r := c.Body(); r != nil {
		b, err := io.ReadAll(r)
		if err != nil {
			body = "error: " + err.Error() + "; "
			c.EndAfter()
		}
		body += string(b)
	}
	text := fmt.Sprintf("%s %s %s", c.Request().Method, c.Request().Target, body)
	closing := ""
	if c.Draining() {
		closing = "Connection: close\r\n"
		c.EndAfter()
	}
	reply(c, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n", len(text), closing), []byte(text))
}

// start serves until the test ends, prepared as is said. Options without listeners get one on a free port.
func start(t testing.TB, o Options, prepare ...func(*Front)) *Front {
	t.Helper()
	if o.Listeners == nil {
		o.Listeners = []ListenerOptions{{Address: "127.0.0.1:0"}}
	}
	if o.Handler == nil {
		o.Handler = echo
	}
	f := New(o)
	for _, p := range prepare {
		p(f)
	}
	if err := f.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- f.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if !f.Draining() {
			if err := f.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return f
}

// client speaks raw bytes.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, f *Front) *client {
	t.Helper()
	addr := f.Listeners()[0].Addr()
	nc, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, nc)
}

func newClient(t testing.TB, nc net.Conn) *client {
	nc.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { nc.Close() })
	return &client{nc, t, bufio.NewReader(nc)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one response, whole.
func (c *client) answer(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(body)
}

// expect reads one answer of 200 with that body.
func (c *client) expect(body string) {
	c.t.Helper()
	if resp, got := c.answer("GET"); resp.StatusCode != 200 || got != body {
		c.t.Fatalf("%d %q, want 200 %q", resp.StatusCode, got, body)
	}
}

// closed waits until the server has closed, and returns what came before.
func (c *client) closed() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Fatal(err)
	}
	return string(b)
}

func TestKeepAliveAndPipelining(t *testing.T) {
	f := start(t, Options{})
	c := dial(t, f)
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	c.expect("GET /1 ")
	c.send("\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: a\r\n\r\n" +
		"POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\nT: u\r\n\r\n" +
		"DELETE /5 HTTP/1.1\r\nHost: a\r\n\r\n")
	c.expect("POST /2 abc")
	c.expect("GET /3 ")
	c.expect("POST /4 def")
	c.expect("DELETE /5 ")
	// The same, byte by byte.
	for _, b := range []byte("POST /6 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\nGET /7 HTTP/1.1\r\nHost: a\r\n\r\n") {
		c.send(string(b))
	}
	c.expect("POST /6 de")
	c.expect("GET /7 ")
	c.send("GET /8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	c.expect("GET /8 ")
	if rest := c.closed(); rest != "" {
		t.Errorf("after the end: %q", rest)
	}
}

// A body with GET is framed by us as any other, whatever fasthttp thinks of it.
func TestBodyWithGet(t *testing.T) {
	c := dial(t, start(t, Options{}))
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 29\r\n\r\nGET /x HTTP/1.1\r\nHost: evil\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"[0:0] +
		"GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	c.expect("GET /1 hello")
	c.expect("GET /2 ")
}

func TestHandlersSeeTheHeadUnchanged(t *testing.T) {
	raw := make(chan string, 1)
	f := start(t, Options{Handler: func(c *Conn) {
		raw <- linesOf(c.Request())
		echo(c)
	}})
	c := dial(t, f)
	fields := "hOsT: a\r\nx-MiXed_name:  v \r\nContent-Length: 1\r\nExpect: 100-continue\r\nCookie: a=b; c\r\n"
	c.send("POST //%7e/../x?a=%zz HTTP/1.1\r\n" + fields + "\r\nb")
	c.expect("POST //%7e/../x?a=%zz b")
	if got := <-raw; got != fields {
		t.Errorf("raw fields %q", got)
	}
}
