package http2

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// connect begins a WebSocket (RFC 8441 section 5).
func connect(c *lbtest.HTTP2, id uint32, fields ...string) {
	c.Headers(id, false, append([]string{
		":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/upgrade", ":authority", "a.test", "sec-websocket-version", "13",
	}, fields...)...)
}

// TestTunnel: after an extended CONNECT a stream carries bytes both ways, however many and through whatever windows, until both
// sides have ended.
func TestTunnel(t *testing.T) {
	s := startServer(t, Limits{BodySize: 10})
	c := s.dial()
	connect(c, 1)
	c.Until(func() bool { return c.Stream(1).Status != 0 })
	r := c.Stream(1)
	if r.Status != 200 || r.Field("upgrade") != "" || r.Field("sec-websocket-accept") != "" || r.Field("sec-websocket-protocol") != "p" {
		t.Fatalf("%+v", r)
	}
	sent := ""
	for range 100 {
		piece := strings.Repeat("x", 9999)
		if !c.Until(func() bool { return firstWindow+c.Updates[1] >= int64(len(sent)+len(piece)) }) {
			t.Fatal(c.Err)
		}
		c.WriteData(1, false, []byte(piece))
		sent += piece
	}
	c.Until(func() bool { return len(r.Body) == len(sent) })
	if r.Body != sent || r.Ended {
		t.Errorf("%d bytes, ended: %v", len(r.Body), r.Ended)
	}
	c.Get(3, "/")
	want(t, c, 3, 200, "GET /")
	c.WriteData(1, true, nil)
	if c.Await(1); !r.Ended || r.Reset != nil {
		t.Errorf("%+v", r)
	}
}

// TestTunnelCancelled: a stream that is reset ends its tunnel.
func TestTunnelCancelled(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	connect(c, 1)
	c.Until(func() bool { return c.Stream(1).Status != 0 })
	c.WriteRSTStream(1, codeNo)
	lbtest.Eventually(t, "the exchange has ended", func() bool { return s.disconnects.Load() == 1 })
}

// TestTunnelHead: the request that an HTTP/1 backend gets for an extended CONNECT.
func TestTunnelHead(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	c.Headers(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/head", ":authority", "a.test",
		"sec-websocket-version", "13", "sec-websocket-key", "mine", "origin", "https://a.test")
	r := c.Await(1)
	head, key, _ := strings.Cut(r.Body, "sec-websocket-key: ")
	if want := "GET /head a.test 0\nsec-websocket-version: 13\r\norigin: https://a.test\r\nhost: a.test\r\n"; head != want || len(key) != 24+2 || key == "mine\r\n" {
		t.Errorf("%q, key %q", head, key)
	}
}
