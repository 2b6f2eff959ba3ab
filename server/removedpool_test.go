package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestPoolRemovedBeforeTry: a request keeps the configuration that it started with: its pool serves it even if a reload removes
// the pool before a backend is chosen.
func TestPoolRemovedBeforeTry(t *testing.T) {
	old := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("old")))
	other := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("new")))
	text := func(pool, backend string) string {
		return strings.ReplaceAll(strings.Replace(proxyTo("", backend), "pool = \"app\"", "pool = \"app\"\n      buffer_request = \"1MiB\"", 1), "\"app\"", "\""+pool+"\"")
	}
	lb := start(t, text("one", old.Addr))
	c := lb.dial()
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "1")
	if err := lb.reload(text("two", other.Addr)); err != nil {
		t.Fatal(err)
	}
	c.Send("world")
	if r := c.ReadResponse("POST"); r.Status() != 200 || r.Body != "old" {
		t.Errorf("%q %q", r.Head, r.Body)
	}
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	if r := c.ReadResponse("POST"); r.Body != "new" {
		t.Errorf("then %q %q", r.Head, r.Body)
	}
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
	old.WaitIdle(t)
}
