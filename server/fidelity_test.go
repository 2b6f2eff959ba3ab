package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestTargetIsPassedOnAsWritten: the backend reads the client's request target byte for byte.
func TestTargetIsPassedOnAsWritten(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("", b.Addr))
	for _, target := range []string{"/", "//", "//evil/://x", "/a/../b", "/a%2Fb", "/?", "/a?", "/a?b=%20&c", "/a;b=c", "/%7euser", "/a//b/./c"} {
		r := lb.get(target)
		if r.Status() != 200 {
			t.Errorf("%s: status %d", target, r.Status())
			continue
		}
		head, _ := b.last()
		if want := "GET " + target + " HTTP/1.1\r\n"; !strings.HasPrefix(head, want) {
			t.Errorf("backend read %q, want %q", strings.SplitN(head, "\r\n", 2)[0], want)
		}
		if got := lbtest.Fields(head, "Host"); len(got) != 1 || got[0] != "test" {
			t.Errorf("%s: Host %q, want the client's", target, got)
		}
	}
}

func TestRequestHead(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	c.Send("GET /p HTTP/1.1\r\nB: 1\r\nHost: Example.COM:80\r\na: 2\r\nB: 3\r\nCookie: x=1\r\nCookie: y=2\r\n" +
		"Connection: keep-alive, X-Hop\r\nX-Hop: secret\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: p\r\nProxy-Connection: x\r\n" +
		"X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nx-real-ip: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\n" +
		"X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /e\r\nX-Forwarded-Server: e\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: https\r\n" +
		"Proxy: http://evil\r\nX-Forwarded-User: root\r\nX-FORWARDED-ANYTHING: e\r\nX_Forwarded_Port: 1\r\nX-Forwarded_User: root\r\n" +
		"X-Request-Id: mine\r\nX_Request_Id: mine\r\nX-Request_Id: mine\r\n\r\n")
	r := c.ReadResponse("GET")
	head, _ := b.last()
	id := r.Field("X-Request-Id")
	if len(id) != 32 || lbtest.Fields(head, "X-Request-Id")[0] != id {
		t.Errorf("request ids differ or are not ours: %q at the client, %q at the backend", id, lbtest.Fields(head, "X-Request-Id"))
	}
	want := "GET /p HTTP/1.1\r\nB: 1\r\nHost: Example.COM:80\r\na: 2\r\nB: 3\r\nCookie: x=1\r\nCookie: y=2\r\n" +
		"X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: Example.COM:80\r\n\r\n"
	if got := without(head, "X-Request-Id", "CDN-Loop"); got != want {
		t.Errorf("the backend read\n%q, want\n%q", got, want)
	}
}

func TestTrustedProxy(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, "trusted_proxies = [\"127.0.0.0/8\"]\n"+proxyTo("", b.Addr))
	r := lb.get("/", "X-Forwarded-For: 203.0.113.9, 198.51.100.7", "X-Forwarded-For: 127.0.0.9", "X-Forwarded-Proto: https",
		"X-Forwarded-Host: shop.example", "X-Request-Id: abc-1", "X-Forwarded-Port: 8443", "X-Forwarded-User: ann", "Forwarded: for=203.0.113.9",
		"X_Forwarded_User: twin", "X_Request_Id: twin")
	head, _ := b.last()
	for name, want := range map[string]string{
		"X-Forwarded-For": "203.0.113.9, 198.51.100.7, 127.0.0.9, 127.0.0.1", "X-Real-IP": "198.51.100.7",
		"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example", "X-Request-Id": "abc-1",
		"X-Forwarded-Port": "8443", "X-Forwarded-User": "ann", "Forwarded": "for=203.0.113.9",
		// A proxy writes no underscores, but may forward those of a client.
		"X_Forwarded_User": "", "X_Request_Id": "",
	} {
		if got := strings.Join(lbtest.Fields(head, name), "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if r.Field("X-Request-Id") != "abc-1" {
		t.Errorf("the ID of the response is %q", r.Field("X-Request-Id"))
	}
	// The log has the address that limits and access rules use.
	lbtest.Eventually(t, "the client's address in the log", func() bool {
		return strings.Contains(lb.read("access.log"), `"client":"198.51.100.7"`)
	})
}

func TestResponseHead(t *testing.T) {
	b := record(t, "HTTP/1.1 200 Fine, thanks\r\nServer: one\r\nContent-Type: text/a\r\nset-cookie: a=1\r\nX-B: 1\r\nSet-Cookie: b=2\r\n"+
		"Content-Type: text/b\r\nServer: two\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nDate: today\r\nContent-Length: 2\r\n\r\nhi")
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := c.ReadResponse("GET")
	want := "HTTP/1.1 200 Fine, thanks\r\nServer: one\r\nContent-Type: text/a\r\nset-cookie: a=1\r\nX-B: 1\r\nSet-Cookie: b=2\r\n" +
		"Content-Type: text/b\r\nServer: two\r\nDate: today\r\nContent-Length: 2\r\n\r\n"
	if got := without(r.Head, "X-Request-Id"); got != want || r.Body != "hi" {
		t.Errorf("the client read\n%q, want\n%q; body %q", got, want, r.Body)
	}
}

// TestResponses sends one request and compares what the client gets for each kind of response from a backend.
func TestResponses(t *testing.T) {
	for _, tc := range []struct {
		name, method, version, response string
		head                            string // without X-Request-Id and Date
		body                            string
		ends                            bool
	}{
		{"HEAD keeps the length", "HEAD", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", false},
		{"HEAD of a chunked response", "HEAD", "1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", false},
		{"HEAD without any length", "HEAD", "1.1", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "", false},
		{"204", "GET", "1.1", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", "", false},
		{"304 keeps the length", "GET", "1.1", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"a\"\r\n\r\n",
			"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"a\"\r\n\r\n", "", false},
		{"205", "GET", "1.1", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", "", false},
		{"chunked", "GET", "1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "abcde", false},
		{"close-delimited becomes chunked", "GET", "1.1", "HTTP/1.1 200 OK\r\n\r\nabc[close]",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "abc", false},
		{"HTTP/1.0 backend", "GET", "1.1", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "abc", false},
		{"chunked for an HTTP/1.0 client", "GET", "1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "abc", true},
		{"length for an HTTP/1.0 client", "GET", "1.0", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", "abc", true},
		{"the backend's close is its own", "GET", "1.1", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "abc", false},
		{"a 100 that was not requested", "GET", "1.1", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", "a", false},
		{"unusual method and status", "BREW", "1.1", "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n", "", false},
		{"no reason phrase", "GET", "1.1", "HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			response, closes := strings.CutSuffix(tc.response, "[close]")
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				for {
					if head, _ := c.ReadRequest(); head == "" {
						return
					}
					c.Send(response)
					if closes {
						return
					}
				}
			})
			lb := start(t, proxyTo("", b.Addr))
			c := lb.dial()
			for i := range 2 {
				c.Send(tc.method + " / HTTP/" + tc.version + "\r\nHost: a\r\n\r\n")
				r := c.ReadResponse(tc.method)
				if got := without(r.Head, "X-Request-Id", "Date"); got != tc.head || r.Body != tc.body || r.Err != nil {
					t.Fatalf("response %d:\n%q %q %v, want\n%q %q", i+1, got, r.Body, r.Err, tc.head, tc.body)
				}
				if tc.ends {
					if rest, orderly := c.Ended(); rest != "" || !orderly {
						t.Fatalf("the connection continues with %q, orderly %v", rest, orderly)
					}
					return
				}
			}
		})
	}
}

// TestDate: a response without Date gets one (RFC 9110 section 6.6.1), unless the route removes it. Interim responses get none.
func TestDate(t *testing.T) {
	const rules = "response_headers {\n      remove = [\"date\"]\n    }\n    proxy {"
	for _, tc := range []struct {
		name, response, rules string
		theirs                bool
	}{
		{name: "none", response: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 500 No\r\nX: 1\r\nContent-Length: 0\r\n\r\n"},
		{name: "named by Connection", response: "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nConnection: date\r\nDate: today\r\nX: 1\r\nContent-Length: 0\r\n\r\n"},
		{name: "the backend's", response: "HTTP/1.1 103 Early Hints\r\nDate: now\r\n\r\nHTTP/1.1 200 OK\r\nDate: today\r\nX: 1\r\nContent-Length: 0\r\n\r\n", theirs: true},
		{name: "taken out", response: "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 0\r\n\r\n", rules: rules},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := record(t, tc.response)
			text := proxyTo("", b.Addr)
			if tc.rules != "" {
				text = strings.Replace(text, "proxy {", tc.rules, 1)
			}
			lb := start(t, text)
			c := lb.dial()
			before := time.Now().Add(-time.Second) // the field has a resolution of a second
			c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if r, want := c.ReadResponse("GET"), map[bool]string{true: "now"}[tc.theirs]; r.Status() != 103 || r.Field("Date") != want {
				t.Errorf("interim response %q", r.Head)
			}
			r := c.ReadResponse("GET")
			switch date, err := http.ParseTime(r.Field("Date")); {
			case tc.theirs && r.Field("Date") == "today":
			case tc.rules != "" && !strings.Contains(strings.ToLower(r.Head), "\r\ndate:"):
			case tc.theirs || tc.rules != "" || err != nil || date.Before(before) || date.After(time.Now()):
				t.Errorf("%q", r.Head)
			}
		})
	}
}

func TestInterimResponsesAreRelayed(t *testing.T) {
	b := record(t, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if r := c.ReadResponse("GET"); r.Head != "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" {
		t.Errorf("interim response %q", r.Head)
	}
	if r := c.ReadResponse("GET"); r.Status() != 200 || r.Body != "a" {
		t.Errorf("final response %q %q", r.Head, r.Body)
	}
}

// TestManyInterimResponses: all of them reach the client in order, also if several arrive at once.
func TestManyInterimResponses(t *testing.T) {
	const n = 2000
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "HTTP/1.1 103 Early Hints\r\nLink: </%d.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", i)
	}
	for _, body := range []string{"\r\n", "Content-Length: 1\r\n\r\nx", "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx"} {
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			head := c.ReadHead()
			c.Send(text.String())
			if _, err := c.ReadBody(head); err == nil {
				c.Send(lbtest.OK("a"))
			}
		})
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + body)
		for i := range n {
			r := c.ReadResponse("POST")
			for r.Head == "HTTP/1.1 100 Continue\r\n\r\n" && strings.HasPrefix(body, "Expect") {
				r = c.ReadResponse("POST") // lb's own 100
			}
			if want := fmt.Sprintf("HTTP/1.1 103 Early Hints\r\nLink: </%d.css>\r\n\r\n", i); r.Head != want {
				t.Fatalf("%q: interim response %q, want %q", body, r.Head, want)
			}
		}
		if r := c.ReadResponse("POST"); r.Status() != 200 || r.Body != "a" {
			t.Errorf("%q: final response %q %q", body, r.Head, r.Body)
		}
	}
}

func TestTrailers(t *testing.T) {
	b := record(t, "HTTP/1.1 200 OK\r\nTrailer: Set-Cookie, X-Sum,Content-Length ,X-Other, X-Hop\r\ntrailer:,X-Last \r\nTrailer: Host, no token\r\n"+
		"Connection: X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nSet-Cookie: no\r\nContent-Length: 9\r\nX-Hop: 1\r\n\r\n")
	lb := start(t, proxyTo("", b.Addr))
	for _, fields := range []string{"Connection: close\r\n", "TE: trailers\r\nConnection: TE, close\r\n"} {
		c := lb.dial()
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n")
		if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\nTrailer: X-Sum, X-Other\r\ntrailer: X-Last\r\nDate: ") {
			t.Errorf("the trailer is not announced: %q", head)
		}
		raw, err := io.ReadAll(c)
		if string(raw) != "1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n" || err != nil {
			t.Errorf("body and trailer %q, %v", raw, err)
		}
	}
	c := lb.dial()
	c.Send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	if head := c.ReadHead(); len(lbtest.Fields(head, "Trailer")) > 0 {
		t.Errorf("a trailer is announced that HTTP/1.0 does not have: %q", head)
	}
	if raw, err := io.ReadAll(c); string(raw) != "a" || err != nil {
		t.Errorf("HTTP/1.0 reads %q, %v", raw, err)
	}
}

// TestRequestTrailers: the trailer section of a chunked request reaches the backend, without fields that would change how the
// request is read.
func TestRequestTrailers(t *testing.T) {
	got := make(chan string, 2)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		got <- c.ReadHead()
		got <- c.ReadHead() // the body ends with a blank line, as a head does
		c.Send(lbtest.OK("x"))
	})
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop\r\nTransfer-Encoding: chunked\r\nTrailer: X-Hop, X-Sum\r\ntrailer: X-Two, Expires\r\n\r\n1\r\na\r\n0\r\n" +
		"X-Sum: 1\r\nX-Hop: 1\r\nHost: b\r\nContent-Length: 3\r\nX-Forwarded-For: 1.2.3.4\r\nAuthorization: x\r\nX-Two: 2\r\n\r\n")
	if r := c.ReadResponse("POST"); r.Status() != 200 {
		t.Errorf("response %q", r.Head)
	}
	if head, _ := lbtest.Wait(t, "the head", got); !strings.Contains(head, "\r\nTrailer: X-Sum\r\ntrailer: X-Two\r\n") {
		t.Errorf("the trailer is not announced: %q", head)
	}
	if body, _ := lbtest.Wait(t, "the body", got); body != "1\r\na\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n" {
		t.Errorf("the backend read %q", body)
	}
}

func TestRewrites(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, strings.ReplaceAll(`
site "s" {
  route "/strip/" {
    proxy {
      pool         = "app"
      strip_prefix = true
    }
  }
  route "/v1/" {
    proxy {
      pool    = "app"
      rewrite = "/v2/{rest}"
      host    = "inner.example"
    }
    request_headers {
      set    = { "X-Set" = "s" }
      add    = { "X-Add" = "a" }
      remove = ["X-Removed"]
    }
    response_headers {
      set    = { "X-Out" = "o" }
      remove = ["Server"]
    }
  }
  route "/old/" {
    redirect {
      to     = "/new/{rest}"
      status = 301
    }
  }
  route "= /ping" {
    respond {
      status       = 200
      body         = "pong"
      content_type = "text/plain"
    }
  }
}
pool "app" {
  backend "ADDR" {}
}`, "ADDR", b.Addr))
	for target, want := range map[string]string{
		"/strip/a%2Fb?q=1": "/a%2Fb?q=1", "/strip/": "/", "/v1/x/y?z": "/v2/x/y?z", "/%76%31/x": "/v2/x",
	} {
		lb.get(target)
		if head, _ := b.last(); !strings.HasPrefix(head, "GET "+want+" HTTP/1.1\r\n") {
			t.Errorf("%s became %q, want %q", target, strings.SplitN(head, "\r\n", 2)[0], want)
		}
	}
	r := lb.get("/v1/", "X-Set: old", "X-Add: old", "X-Removed: 1")
	head, _ := b.last()
	for name, want := range map[string]string{"X-Set": "s", "X-Add": "old|a", "X-Removed": "", "Host": "inner.example", "X-Forwarded-Host": "test"} {
		if got := strings.Join(lbtest.Fields(head, name), "|"); got != want {
			t.Errorf("%s at the backend: %q, want %q", name, got, want)
		}
	}
	if r.Field("X-Out") != "o" {
		t.Errorf("response rules did not apply: %q", r.Head)
	}
	if r := lb.get("/old/a/b?c=d"); r.Status() != 301 || r.Field("Location") != "/new/a/b?c=d" {
		t.Errorf("redirect %q", r.Head)
	}
	if r := lb.get("/ping"); r.Status() != 200 || r.Body != "pong" || r.Field("Content-Type") != "text/plain" {
		t.Errorf("respond %q %q", r.Head, r.Body)
	}
	if r := lb.get("/nowhere"); r.Status() != 404 {
		t.Errorf("no route: %d", r.Status())
	}
}
