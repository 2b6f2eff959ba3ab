package server_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"lb/internal/lbtest"
)

// gathering is a backend that keeps all requests.
type gathering struct {
	*lbtest.Backend
	mu       sync.Mutex
	requests []gathered
}

type gathered struct{ head, body string }

func gather(t testing.TB, response string) *gathering {
	g := &gathering{}
	g.Backend = lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, body := c.ReadRequest()
			if head == "" {
				return
			}
			g.mu.Lock()
			g.requests = append(g.requests, gathered{head, body})
			g.mu.Unlock()
			c.Send(response)
		}
	})
	return g
}

func (g *gathering) all() []gathered {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests
}

// await returns the requests when there are n.
func (g *gathering) await(t testing.TB, n int) []gathered {
	t.Helper()
	lbtest.Eventually(t, fmt.Sprint(n, " requests"), func() bool { return len(g.all()) >= n })
	return g.all()
}

// mirroredSite is the configuration of a site with a mirror, and with more in its route.
func mirroredSite(mirror, more, app, next string) string {
	return fmt.Sprintf(`site "s" {
  route "/" {
    mirror {
      pool = "next"
      %s
    }
    %s
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend %q {}
}
pool "next" {
  backend %q {}
}
`, mirror, more, app, next)
}

func mirrored(result string) string {
	return `lb_mirrored_requests_total{pool="next",result="` + result + `"}`
}

// TestMirror: copies are the requests that the pool gets, with a field that says so, and count nowhere but in their own series.
func TestMirror(t *testing.T) {
	app, next := gather(t, lbtest.OK("app")), gather(t, lbtest.OK("next"))
	lb := start(t, mirroredSite("share = 1", "", app.Addr, next.Addr))
	c := lb.dial()
	long := strings.Repeat("0123456789abcdef", 10_000)
	for i, request := range []string{
		"GET /a?b=c HTTP/1.1\r\nHost: s\r\nX-Mirrored: forged\r\n\r\n",
		"HEAD /h HTTP/1.1\r\nHost: s\r\n\r\n",
		"POST /p HTTP/1.1\r\nHost: s\r\nContent-Length: 5\r\n\r\nhello",
		"POST /empty HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n",
		"PUT /long HTTP/1.1\r\nHost: s\r\nExpect: 100-continue\r\nContent-Length: 160000\r\n\r\n" + long,
		"POST /c HTTP/1.1\r\nHost: s\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
	} {
		c.Send(request)
		method, _, _ := strings.Cut(request, " ")
		response := c.ReadResponse(method)
		for response.Status() == 100 {
			response = c.ReadResponse(method)
		}
		if response.Status() != 200 || method != "HEAD" && response.Body != "app" {
			t.Fatalf("got %v for %.20q", response, request)
		}
		copied := next.await(t, i+1)[i]
		original := app.all()[i]
		if n := strings.Count(copied.head, "\r\nX-Mirrored: true\r\n"); n != 1 || strings.Contains(copied.head+original.head, "forged") || strings.Contains(original.head, "X-Mirrored") {
			t.Errorf("the copy has the field %d times:\n%s\n%s", n, original.head, copied.head)
		}
		got := strings.Replace(copied.head, "X-Mirrored: true\r\n", "", 1)
		if want := strings.Replace(original.head, "Expect: 100-continue\r\n", "", 1); got != want || copied.body != original.body {
			t.Errorf("the original is\n%s%.100s\nthe copy\n%s%.100s", want, original.body, got, copied.body)
		}
	}
	lb.wantMetric(mirrored("responded"), "6")
	lb.wantMetric(`lb_requests_total{site="s",code="200"}`, "6")
	lb.wantMetric(`lb_http_requests_total{protocol="http/1.1"}`, "6")
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
}

// TestMirrorProtocols: requests by HTTP/2 and HTTP/3 are copied too.
func TestMirrorProtocols(t *testing.T) {
	app, next := gather(t, lbtest.OK("app")), gather(t, lbtest.OK("next"))
	dir := t.TempDir()
	lb := start(t, http3Listen(t, dir)+mirroredSite("share = 1", "", app.Addr, next.Addr))
	c := lb.dialHTTP3()
	if response, body := c.do(c.request("POST", "/3", strings.NewReader("three"), "X-A", "b")); response.StatusCode != 200 || body != "app" {
		t.Errorf("got %v %q", response, body)
	}
	if got := next.await(t, 1)[0]; !strings.HasPrefix(got.head, "POST /3 ") || got.body != "three" {
		t.Errorf("the copy is %q", got)
	}
	lb = start(t, `listen "127.0.0.1:0" {
  http2 = true
}
`+mirroredSite("share = 1", "", app.Addr, next.Addr))
	h := lb.dialHTTP2()
	h.Post(1, "/2")
	_ = h.WriteData(1, false, []byte("tw"))
	_ = h.WriteData(1, true, []byte("o"))
	if s := h.Await(1); s.Field(":status") != "200" || string(s.Body) != "app" {
		t.Errorf("got %+v", s)
	}
	if got := next.await(t, 2)[1]; !strings.HasPrefix(got.head, "POST /2 ") || got.body != "two" {
		t.Errorf("the copy is %q", got)
	}
}

// TestMirrorShare: the share of the requests is exact.
func TestMirrorShare(t *testing.T) {
	app, next := gather(t, lbtest.OK("app")), gather(t, lbtest.OK("next"))
	lb := start(t, mirroredSite("share = 0.1", "", app.Addr, next.Addr))
	c := lb.dial()
	for i := range 2000 {
		c.Send(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: s\r\n\r\n", i%10))
		if r := c.ReadResponse("GET"); r.Body != "app" {
			t.Fatalf("got %v", r)
		}
	}
	paths := map[string]int{}
	for _, r := range next.await(t, 199) {
		paths[r.head[:6]]++
	}
	if n := len(next.all()); n > 200 {
		t.Errorf("%d of 2000 were copied", n)
	}
	if len(paths) != 10 {
		t.Errorf("of ten paths in turn, copies were made of %v", paths)
	}
}

// TestMirrorLeavesOut: what is not copied, and how it is counted.
func TestMirrorLeavesOut(t *testing.T) {
	app := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		head := c.ReadHead()
		if strings.Contains(head, "/early") {
			c.Send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
			return
		}
		if strings.Contains(head, "Upgrade: echo") {
			c.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			return
		}
		_, _ = c.ReadBody(head)
		c.Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	})
	next := gather(t, lbtest.OK("next"))
	lb := start(t, mirroredSite("share = 1\nmax_body = 10", `methods = ["GET", "POST"]`, app.Addr, next.Addr))
	ask := func(request string, want int) {
		t.Helper()
		c := lb.dial()
		defer c.Close()
		c.Send(request)
		if r := c.ReadResponse("POST"); r.Status() != want {
			t.Errorf("got %v for %.20q", r, request)
		}
	}
	ask("POST /long HTTP/1.1\r\nHost: s\r\nContent-Length: 11\r\n\r\nhello world", 200)
	ask("POST /long HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n", 200)
	lb.wantMetric(mirrored("too_large"), "2")
	ask("POST /early HTTP/1.1\r\nHost: s\r\nContent-Length: 10\r\n\r\nhello", 403)
	lb.wantMetric(mirrored("incomplete"), "1")
	ask("PUT /refused HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n", 405)
	ask("GET /upgrade HTTP/1.1\r\nHost: s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", 101)
	ask("GET /last HTTP/1.1\r\nHost: s\r\n\r\n", 200)
	lb.wantMetric(mirrored("responded"), "1")
	if all := next.all(); len(all) != 1 || !strings.HasPrefix(all[0].head, "GET /last ") {
		t.Errorf("the copies are %q", all)
	}
}

// TestMirrorHangs: a mirror that does not respond, or does not end its response, holds no more copies than the limit, and harms nobody.
func TestMirrorHangs(t *testing.T) {
	app := gather(t, lbtest.OK("app"))
	next := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if head := c.ReadHead(); strings.Contains(head, "/endless") {
			c.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
		}
		_, _ = io.Copy(io.Discard, c)
	})
	lb := start(t, mirroredSite("share = 1\nlimit = 2\ntimeout = \"100ms\"", "", app.Addr, next.Addr))
	c := lb.dial()
	ask := func(path string) {
		t.Helper()
		c.Send("GET " + path + " HTTP/1.1\r\nHost: s\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Body != "app" {
			t.Fatalf("got %v", r)
		}
	}
	for range 20 {
		ask("/silent")
	}
	lbtest.Eventually(t, "copies are dropped", func() bool { return lb.metric(mirrored("dropped")) != "0" })
	lb.wantMetric(`lb_backend_in_flight{pool="next",backend="`+next.Addr+`"}`, "0")
	failed := lb.metric(mirrored("failed"))
	ask("/endless")
	lbtest.Eventually(t, "an endless response is given up", func() bool { return lb.metric(mirrored("failed")) != failed })
	next.WaitIdle(t)
}

// TestMirrorUnreachable: a mirror that refuses connections.
func TestMirrorUnreachable(t *testing.T) {
	app, next := gather(t, lbtest.OK("app")), lbtest.NewBackend(t, func(*lbtest.Conn) {})
	next.Kill()
	lb := start(t, mirroredSite("share = 1", "", app.Addr, next.Addr))
	for range 3 {
		if r := lb.get("/"); r.Body != "app" {
			t.Fatalf("got %v", r)
		}
	}
	lb.wantMetric(mirrored("failed"), "3")
}
