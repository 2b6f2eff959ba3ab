package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestHTTP10Clients: what an HTTP/1.0 client gets, and what the backend gets from it.
func TestHTTP10Clients(t *testing.T) {
	for _, tc := range []struct {
		name, request, response string
		head, body              string // of the response, without X-Request-Id
		host                    string // at the backend; "": the listener's address
		stays                   bool
	}{
		{"keep-alive", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", lbtest.OK("abc"),
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n", "abc", "a", true},
		{"keep-alive, chunked", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "abc", "a", false},
		{"HEAD of a chunked response", "HEAD / HTTP/1.0\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "", "a", false},
		{"no Host", "GET / HTTP/1.0\r\n\r\n", lbtest.OK("abc"),
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", "abc", "", false},
		{"absolute-form", "GET http://b.example:81/ HTTP/1.0\r\n\r\n", lbtest.OK("abc"),
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", "abc", "b.example:81", false},
		{"no interim responses", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + lbtest.OK("abc"),
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", "abc", "a", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := record(t, tc.response)
			lb := start(t, proxyTo("", b.Addr))
			c := lb.dial()
			for range 2 {
				c.Send(tc.request)
				method, _, _ := strings.Cut(tc.request, " ")
				r := c.ReadResponse(method)
				if got := without(r.Head, "X-Request-Id", "Date"); got != tc.head || r.Body != tc.body || r.Err != nil {
					t.Fatalf("%q %q %v, want\n%q %q", got, r.Body, r.Err, tc.head, tc.body)
				}
				want := tc.host
				if want == "" {
					want = lb.addr()
				}
				head, _ := b.last()
				if got := lbtest.Fields(head, "Host"); len(got) != 1 || got[0] != want {
					t.Errorf("Host at the backend %q, want %q", got, want)
				}
				if !strings.Contains(head, " HTTP/1.1\r\n") {
					t.Errorf("the backend read %q", head)
				}
				if !tc.stays {
					if rest, orderly := c.Ended(); rest != "" || !orderly {
						t.Errorf("the connection continues with %q, orderly %v", rest, orderly)
					}
					return
				}
			}
		})
	}
}

// TestOtherTargets: targets that are not a path are matched by their path and forwarded unchanged.
func TestOtherTargets(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("", b.Addr))
	for _, tc := range []struct {
		line   string
		status int
	}{
		{"GET http://a/x?y HTTP/1.1", 200}, {"GET http://a HTTP/1.1", 200}, {"GET http://a?q HTTP/1.1", 200}, {"GET HTTP://A/ HTTP/1.1", 200},
		{"GET http://other/ HTTP/1.1", 400}, {"CONNECT a:443 HTTP/1.1", 405}, {"GET * HTTP/1.1", 400}, {"GET x HTTP/1.1", 400},
	} {
		c := lb.dial()
		c.Send(tc.line + "\r\nHost: a\r\nConnection: close\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Status() != tc.status {
			t.Errorf("%s: %d, want %d", tc.line, r.Status(), tc.status)
		}
		if head, _ := b.last(); tc.status == 200 && !strings.HasPrefix(head, tc.line+"\r\nHost: a\r\n") {
			t.Errorf("%s: the backend read %q", tc.line, head)
		}
	}
}

// TestHTTP10Backends: what an HTTP/1.0 backend says about its connection is respected.
func TestHTTP10Backends(t *testing.T) {
	for _, tc := range []struct {
		response string
		conns    int64 // for three requests
	}{
		{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 3},
		{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na", 1},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive, Close\r\n\r\na", 3},
	} {
		b := record(t, tc.response)
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		for range 3 {
			c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if r := c.ReadResponse("GET"); r.Body != "a" || r.Field("Connection") != "" {
				t.Fatalf("%q %q", r.Head, r.Body)
			}
		}
		if n := b.Conns.Load(); n != tc.conns {
			t.Errorf("%q: %d connections, want %d", tc.response, n, tc.conns)
		}
		lb.stop()
	}
}

// TestUnixSockets: both the client and the backend may use Unix sockets.
func TestUnixSockets(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, "listen \"unix:$DIR/in.sock\" {}\n"+proxyTo("", b.Addr))
	c := lb.dialUnix("in.sock")
	c.Send("GET / HTTP/1.0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
	if r := c.ReadResponse("GET"); r.Status() != 200 {
		t.Fatalf("%q", r.Head)
	}
	head, _ := b.last()
	if got := strings.Join(lbtest.Fields(head, "X-Forwarded-For"), "|"); got != "" {
		t.Errorf("X-Forwarded-For %q, but the address is unknown", got)
	}
	if got := lbtest.Fields(head, "Host"); len(got) != 1 || got[0] != "localhost" {
		t.Errorf("Host %q", got)
	}
}

// TestRedirectStaysHere: a path that begins with two slashes after the removed prefix must not become another host's name (RFC
// 3986 section 4.2).
func TestRedirectStaysHere(t *testing.T) {
	lb := start(t, `
site "s" {
  route "/old/" {
    redirect { to = "/{rest}" }
  }
  route "/slash/" {
    redirect { to = "/{rest}/" }
  }
  route "/cdn/" {
    redirect { to = "//cdn.example/{rest}" }
  }
}`)
	for path, want := range map[string]string{
		"/old//evil.example": "/evil.example", "/old///evil.example/a?b=//c": "/evil.example/a?b=//c", "/old/a//b": "/a//b", "/old/": "/",
		"/slash//evil.example": "/evil.example/", `/old/\evil.example`: "/evil.example", "/cdn//a": "//cdn.example//a",
	} {
		if r := lb.get(path); r.Field("Location") != want {
			t.Errorf("%s: %d, to %q, want %q", path, r.Status(), r.Field("Location"), want)
		}
	}
}
