package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
	"lb/transport"
)

func withHTTP2(o *transport.Options) { o.HTTP2 = true }

// http2Backend starts a server of net/http that speaks HTTP/2 by prior knowledge alone. conns counts its connections.
func http2Backend(t testing.TB, serve http.HandlerFunc) (address string, conns *atomic.Int64) {
	t.Helper()
	conns = &atomic.Int64{}
	s := httptest.NewUnstartedServer(serve)
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), conns
}

// TestHTTP2Backend: requests of HTTP/1 reach a backend that speaks HTTP/2, on one connection, with bodies of all kinds either way.
func TestHTTP2Backend(t *testing.T) {
	address, conns := http2Backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ProtoMajor != 2 || r.Host != "a" || r.Header.Get("X-Forwarded-For") != "127.0.0.1" || r.Header.Get("Connection") != "" {
			t.Errorf("%s %q %q", r.Proto, r.Host, r.Header)
		}
		switch r.URL.Path {
		case "/empty":
			w.WriteHeader(204)
			return
		case "/trailer":
			w.Header().Set("Trailer", "X-Sum")
			defer w.Header().Set("X-Sum", fmt.Sprint(len(r.Trailer.Get("X-In"))))
		case "/hints":
			w.Header().Set("Link", "</a>")
			w.WriteHeader(103)
		case "/length":
			w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
		}
		_, _ = io.WriteString(w, string(body)+"!")
	})
	b := start(t, options{transport: withHTTP2}, address)
	c := lbtest.Dial(t, b.address)
	for range 3 {
		c.Send(get("/a?b"))
		if r := want(t, c, "GET", 200, "!"); r.Field("X-Request-Id") == "" || r.Field("Date") == "" {
			t.Errorf("%q", r.Head)
		}
	}
	large := strings.Repeat("0123456789abcdef", 100_000)
	for _, body := range []string{"", "hello", large} {
		for _, target := range []string{"/", "/length"} {
			c.Send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body))
			want(t, c, "POST", 200, body+"!")
			c.Send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", target))
			if body != "" {
				c.Send(fmt.Sprintf("%x\r\n%s\r\n", len(body), body))
			}
			c.Send("0\r\n\r\n")
			want(t, c, "POST", 200, body+"!")
		}
	}
	c.Send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
	want(t, c, "HEAD", 200, "")
	c.Send(get("/empty"))
	want(t, c, "GET", 204, "")
	c.Send("POST /trailer HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-In\r\n\r\n1\r\na\r\n0\r\nX-In: abc\r\n\r\n")
	if r := want(t, c, "POST", 200, "a!"); r.Field("Trailer") != "X-Sum" {
		t.Errorf("%q", r.Head)
	}
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
	if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 100 ") {
		t.Errorf("%q", head)
	}
	c.Send("a")
	want(t, c, "POST", 200, "a!")
	c.Send(get("/hints"))
	if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 103 ") {
		t.Errorf("%q", head)
	}
	want(t, c, "GET", 200, "!")
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestHTTP2BackendShared: clients at the same time share the connections of the loops.
func TestHTTP2BackendShared(t *testing.T) {
	address, conns := http2Backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	b := start(t, options{transport: withHTTP2}, address)
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			c := lbtest.Dial(t, b.address)
			body := strings.Repeat(fmt.Sprint(i), 2000*(i+1))
			for range 5 {
				c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
				want(t, c, "POST", 200, body)
			}
		})
	}
	clients.Wait()
	if n := conns.Load(); n > 2 {
		t.Errorf("%d connections", n)
	}
}
