package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestRefusedExpectation: a backend that answered without asking for the announced body may take what comes
// next for that body, so its connection serves no other request (RFC 9112 section 9.3).
func TestRefusedExpectation(t *testing.T) {
	heads := make(chan string, 10)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for refused := false; ; {
			head := c.ReadHead()
			switch {
			case head == "":
				return
			case refused:
				t.Errorf("a request in the place of a body: %q", head)
			}
			refused = strings.HasPrefix(head, "PUT")
			heads <- head
			c.Send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		}
	})
	lb := start(t, proxyTo("", b.Addr))
	for range 3 {
		c := lb.dial()
		c.Send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 30\r\n\r\n")
		if r := c.ReadResponse("PUT"); r.Status() != 401 || r.Body != "no" {
			t.Fatalf("%q %q", r.Head, r.Body)
		}
		<-heads
		lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
		if r := lb.get("/next"); r.Status() != 401 {
			t.Fatalf("%q", r.Head)
		}
		<-heads
	}
}
