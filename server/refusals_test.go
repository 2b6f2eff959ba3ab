package server_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestRefusals: every refusal counts under its reason, has the format and the ID that a trusted client wants, and ends the
// connection. The Accept fields of an invalid head are still respected.
func TestRefusals(t *testing.T) {
	t.Parallel()
	b := record(t, lbtest.OK("x"))
	lb := start(t, "trusted_proxies = [\"127.0.0.0/8\"]\nlimits {\n  header_timeout = \"300ms\"\n  body_idle_timeout = \"300ms\"\n  body_size = \"1KiB\"\n}\n"+proxyTo("", b.Addr))
	const preferences, host = "Accept: application/json\r\nX-Request-Id: my-id-1\r\n", "Host: a\r\n"
	const chunked = host + "Transfer-Encoding: chunked\r\n"
	for _, tc := range []struct {
		name, sent string
		status     int
		reason     string
		fresh      bool // the id is a new one
	}{
		{"TRACE", "TRACE / HTTP/1.1\r\n" + host + preferences + "\r\n", 405, "bad_request", false},
		{"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n" + preferences + "\r\n", 405, "bad_request", false},
		{"expectation", "POST / HTTP/1.1\r\n" + host + "Expect: x\r\nContent-Length: 1\r\n" + preferences + "\r\na", 417, "bad_request", false},
		{"version", "GET / HTTP/2.0\r\n" + host + preferences + "\r\n", 400, "bad_request", false},
		{"fragment", "GET /# HTTP/1.1\r\n" + host + preferences + "\r\n", 400, "bad_request", false},
		{"two Hosts", "GET / HTTP/1.1\r\n" + host + host + preferences + "\r\n", 400, "bad_request", false},
		{"LF alone, before", "GET / HTTP/1.1\r\n" + preferences + "Host: a\n\r\n", 400, "bad_request", false},
		{"two Accept fields", "GET / HTTP/1.1\r\n" + host + host + "Accept: */*;q=0.1\r\n" + preferences + "\r\n", 400, "bad_request", false},
		{"id that is not sane", "TRACE / HTTP/1.1\r\n" + host + "X-Request-Id: a b\r\n" + preferences + "\r\n", 405, "bad_request", true},
		{"large head", "GET / HTTP/1.1\r\n" + preferences + "X: " + strings.Repeat("x", 20_000) + "\r\n\r\n", 431, "header_size", false},
		{"stalled head", "GET / HTTP/1.1\r\n" + preferences, 408, "header_timeout", false},
		{"stalled body", "POST / HTTP/1.1\r\n" + host + preferences + "Content-Length: 10\r\n\r\nabc", 408, "body_timeout", false},
		{"stalled body in chunks", "POST / HTTP/1.1\r\n" + chunked + preferences + "\r\n5\r\nabc", 408, "body_timeout", false},
		{"large body", "POST / HTTP/1.1\r\n" + host + preferences + "Content-Length: 2000\r\n\r\nabc", 413, "body_size", false},
		{"large body in chunks", "POST / HTTP/1.1\r\n" + chunked + preferences + "\r\n7d0\r\n" + strings.Repeat("x", 2000) + "\r\n0\r\n\r\n", 413, "body_size", false},
		{"malformed chunk", "POST / HTTP/1.1\r\n" + chunked + preferences + "\r\n0x5\r\nhello", 400, "bad_request", false},
		{"path that cannot be decoded", "GET /%zz HTTP/1.1\r\n" + host + preferences + "\r\n", 400, "bad_request", false},
		{"path out of the root", "GET /../x HTTP/1.1\r\n" + host + preferences + "\r\n", 400, "bad_request", false},
	} {
		series := `lb_rejected_requests_total{reason="` + tc.reason + `"}`
		before, _ := strconv.Atoi(lb.metric(series))
		c := lb.dial()
		c.Send(tc.sent)
		r := c.ReadResponse("POST")
		if r.Status() != tc.status || r.Field("Content-Type") != "application/json" || r.Field("Connection") != "close" {
			t.Errorf("%s: %q %q, want %d in JSON, closing", tc.name, r.Head, r.Body, tc.status)
		}
		if id := r.Field("X-Request-Id"); tc.fresh && len(id) != 32 || !tc.fresh && id != "my-id-1" || !strings.Contains(r.Body, id) {
			t.Errorf("%s: id %q, body %q", tc.name, id, r.Body)
		}
		c.CloseWrite()
		if rest, _ := c.Ended(); rest != "" {
			t.Errorf("%s: then %q", tc.name, rest)
		}
		lb.wantMetric(series, strconv.Itoa(before+1))
	}

	lb = start(t, proxyTo("", b.Addr))
	c := lb.dial()
	c.Send("TRACE / HTTP/1.1\r\n" + host + preferences + "\r\n")
	if r := c.ReadResponse("TRACE"); len(r.Field("X-Request-Id")) != 32 {
		t.Errorf("a client that is not trusted gave the id: %q", r.Head)
	}
}

// TestLargeBodyIsRoutedFirst: a body over the limit is refused by the route of the request, of every kind, and no backend gets the
// request.
func TestLargeBodyIsRoutedFirst(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	dir := t.TempDir()
	page := filepath.Join(dir, "413.html")
	if err := os.WriteFile(page, []byte("my page"), 0o600); err != nil {
		t.Fatal(err)
	}
	lb := start(t, strings.NewReplacer("ADDR", b.Addr, "FILES", dir, "PAGE", page).Replace(`
limits {
  body_size = "10B"
}
site "s" {
  error_page {
    status = [413]
    file   = "PAGE"
  }
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/files/" {
    static {
      root = "FILES"
    }
  }
  route "/old/" {
    redirect {
      to = "/new"
    }
  }
  route "= /ping" {
    respond {
      status = 200
      body   = "pong"
    }
  }
}
pool "app" {
  backend "ADDR" {}
}`))
	for i, path := range []string{"/", "/files/x", "/old/x", "/ping"} {
		for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
			c := lb.dial()
			c.Send("POST " + path + " HTTP/1.1\r\nHost: a.example\r\n" + expect + "Content-Length: 11\r\n\r\n")
			if r := c.ReadResponse("POST"); r.Status() != 413 || r.Body != "my page" || r.Field("Connection") != "close" {
				t.Errorf("%s: %q %q", path, r.Head, r.Body)
			}
			c.CloseWrite()
			if rest, orderly := c.Ended(); rest != "" || !orderly {
				t.Errorf("%s: then %q, orderly %v", path, rest, orderly)
			}
		}
		lb.wantMetric(`lb_requests_total{site="s",code="413"}`, strconv.Itoa(2*i+2))
	}
	lb.wantMetric(`lb_rejected_requests_total{reason="body_size"}`, "8")
	lbtest.Eventually(t, "the request stands in the access log", func() bool {
		log := lb.read("access.log")
		return strings.Count(log, `"a.example"`) == 8 && strings.Contains(log, `"/files/x"`)
	})
	if head, _ := b.last(); head != "" {
		t.Errorf("the backend was asked: %q", head)
	}
}

// TestHigherMinorVersion: HTTP/1.2 and higher are read as HTTP/1.1, the highest version that lb supports (RFC 9110 section 2.5).
func TestHigherMinorVersion(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	for range 2 { // the connection is kept, as in HTTP/1.1
		c.Send("POST / HTTP/1.9\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
		if r := c.ReadResponse("POST"); !strings.HasPrefix(r.Head, "HTTP/1.1 200 ") || r.Field("Connection") != "" {
			t.Fatalf("%q", r.Head)
		}
		if head, body := b.last(); !strings.HasPrefix(head, "POST / HTTP/1.1\r\n") || body != "a" {
			t.Errorf("the backend read %q %q", head, body)
		}
	}
}

// TestShortBodyOfHalfClosedClient: a client that half-closes its connection before its body is complete, and still reads, gets a
// 400.
func TestShortBodyOfHalfClosedClient(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	for _, retry := range []string{"", "  retry {\n    body = 0\n  }\n"} {
		lb := start(t, proxyTo(retry, b.Addr))
		for _, sent := range []string{"Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"} {
			c := lb.dial()
			c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + sent)
			c.CloseWrite()
			if r := c.ReadResponse("POST"); r.Status() != 400 || r.Err != nil || r.Field("Connection") != "close" {
				t.Errorf("%q: %q %q %v", sent, r.Head, r.Body, r.Err)
			}
			if rest, orderly := c.Ended(); rest != "" || !orderly {
				t.Errorf("%q: then %q, orderly %v", sent, rest, orderly)
			}
		}
		lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
	}
}
