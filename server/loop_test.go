package server_test

import (
	"fmt"
	"strings"
	"testing"

	"lb/admin"
	"lb/internal/lbtest"
)

// TestLoops: a request that returns to lb repeatedly gets 508 after a few rounds, whatever the trusted proxies and whatever the
// client sends.
func TestLoops(t *testing.T) {
	for name, trusted := range map[string]string{"nobody is trusted": "", "trusted": "trusted_proxies = [\"127.0.0.0/8\"]\n"} {
		for _, request := range []struct{ method, text string }{
			{"GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
			{"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"},
			{"GET", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"},
			{"POST", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"},
			{"POST", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"},
			{"GET", "GET / HTTP/1.1\r\nHost: a\r\nConnection: CDN-Loop\r\nCDN-Loop: other; a=1, lb-0123456789abcdef,,\r\nCDN-Loop: \r\n\r\n"},
			{"GET", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		} {
			for _, count := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s/%d/%.20q", name, count, request.text), func(t *testing.T) {
					ring := loop(t, trusted, count)
					c := ring[0].dial()
					c.Send(request.text)
					r := c.ReadResponse(request.method)
					if r.Status() != 508 || request.method != "HEAD" && !strings.Contains(r.Body, "come back") {
						t.Errorf("%q %q, want 508", r.Head, r.Body)
					}
					ring[0].wantMetric(`lb_rejected_requests_total{reason="loop"}`, "1")
					for i, lb := range ring {
						want := "6"
						if i > 0 {
							want = "5"
						}
						lb.wantMetric(`lb_requests_total{site="s",code="508"}`, want)
					}
					lbtest.Eventually(t, "the reason in the log", func() bool {
						return strings.Contains(ring[0].read("access.log"), "the request has come back to this balancer")
					})
				})
			}
		}
	}
}

// loop starts balancers in a ring: each forwards to the next, and the last to the first.
func loop(t *testing.T, more string, count int) []*running {
	var ring []*running
	for range count {
		ring = append(ring, start(t, more+proxyTo("", "127.0.0.1:1")))
	}
	for i, lb := range ring {
		if err := lb.reload(more + proxyTo("", ring[(i+1)%count].addr())); err != nil {
			t.Fatal(err)
		}
	}
	return ring
}

// TestLoopMark: the backend gets the client's CDN-Loop followed by lb's own mark. A client that knows the mark can only have its
// own requests refused.
func TestLoopMark(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("", b.Addr))
	lb.get("/", "CDN-Loop: other; a=1", "Connection: close, CDN-Loop")
	head, _ := b.last()
	marks := lbtest.Fields(head, "CDN-Loop")
	if len(marks) != 2 || marks[0] != "other; a=1" || len(marks[1]) != len("lb-0123456789abcdef") {
		t.Fatalf("the backend read %q", marks)
	}
	for n, want := range []int{200, 200, 200, 200, 200, 508, 508} {
		if r := lb.get("/", "CDN-Loop: "+strings.Repeat(marks[1]+", ", n)); r.Status() != want {
			t.Errorf("with the mark %d times: %d, want %d", n, r.Status(), want)
		}
		e := lb.explain(admin.Question{URL: "http://a:PORT/", Header: []string{"CDN-Loop: " + strings.Repeat(marks[1]+", ", n)}})
		if refused := e.Response != nil && e.Response.Status == 508; refused != (want == 508) || refused != (len(e.Pools) == 0) {
			t.Errorf("with the mark %d times: %+v is explained, want %d", n, e.Response, want)
		}
	}
	if r := lb.get("/"); r.Status() != 200 || r.Field("CDN-Loop") != "" {
		t.Errorf("another request: %q", r.Head)
	}
	if again := start(t, proxyTo("", b.Addr)).get("/", "CDN-Loop: "+strings.Repeat(marks[1]+", ", 9)); again.Status() != 200 {
		t.Errorf("another process takes the mark for its own: %d", again.Status())
	}
	lb.reload(strings.Replace(proxyTo("", b.Addr), "proxy {", "request_headers {\n      remove = [\"cdn-loop\"]\n    }\n    proxy {", 1))
	lb.get("/", "CDN-Loop: other")
	if head, _ := b.last(); strings.Contains(head, "CDN-Loop") {
		t.Errorf("the route takes the field out, but the backend read %q", head)
	}
}
