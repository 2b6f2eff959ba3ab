package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestHTTP3CancelledUpload: a request whose stream is reset behind the head is not one without a body: a backend might store that.
func TestHTTP3CancelledUpload(t *testing.T) {
	whole := make(chan string, 100)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		head, body := c.ReadRequest()
		if strings.HasPrefix(head, "PUT ") && strings.Contains(strings.ToLower(head), "content-length: 0") {
			whole <- head + body
		}
		c.Send(lbtest.OK("x"))
	})
	lb := start(t, http3Listen(t, t.TempDir())+proxyTo("", b.Addr))
	c := lb.dialRawHTTP3()
	if got := status3(c.request(get3())); got != "200" {
		t.Fatal(got)
	}
	put := headers3(":method", "PUT", ":scheme", "https", ":path", "/file", ":authority", "a.test")
	for range 50 {
		before := c.ConnectionStats().PacketsSent
		s := c.begin(put)
		lbtest.Eventually(t, "the head was sent", func() bool { return c.ConnectionStats().PacketsSent > before })
		s.CancelWrite(0x10c)
		s.CancelRead(0x10c)
	}
	if got := status3(c.request(get3())); got != "200" {
		t.Fatal(got)
	}
	select {
	case request := <-whole:
		t.Errorf("the backend got a whole request: %q", request)
	default:
	}
}
