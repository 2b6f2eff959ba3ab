package http2

import (
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/lbtest"
)

// requestHeads sends requests for responses with a head of 60 kB, and reads none of them, until a condition holds.
func requestHeads(t *testing.T, c *lbtest.HTTP2, until func() bool) {
	t.Helper()
	for n := range uint32(1000) {
		if until() {
			return
		}
		c.Get(2*n+1, "/large-head/60000")
	}
	lbtest.Eventually(t, "the server stops", until)
}

// TestUnreadHeads: flow control does not apply to response heads, and those that a client does not read do not accumulate.
func TestUnreadHeads(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	accepted := false
	requestHeads(t, c, func() bool {
		accepted = accepted || s.open.Load() > 0
		return accepted && s.open.Load() == 0
	})
	if r := <-s.refused; r.Label != LabelFlood {
		t.Errorf("%+v", r)
	}
}

// fillSocket requests heads until several streams wait for the socket, or have waited for too long, and returns how many it requested. It
// requests one at a time: of several that come together, each is in progress for a moment although the socket has room.
func fillSocket(t *testing.T, s *testServer, c *lbtest.HTTP2) (n uint32) {
	t.Helper()
	for s.streams.Load() < 3 && s.disconnects.Load() == 0 {
		c.Get(2*n+1, "/large-head/60000")
		n++
		lbtest.Eventually(t, "the request is served", func() bool { return s.served.Load() == int64(n) || s.disconnects.Load() > 0 })
	}
	return n
}

// TestUnreadHeadsTimeout: body_idle_timeout limits how long streams wait for the client to read heads.
func TestUnreadHeadsTimeout(t *testing.T) {
	s := startServer(t, Limits{BodyIdleTimeout: 50 * time.Millisecond})
	c := s.dial()
	fillSocket(t, s, c)
	lbtest.Eventually(t, "the connection has ended", func() bool { return s.open.Load() == 0 })
}

// TestHeadBesideDownload: a stream that waits for the socket continues while another one uses all of the socket's capacity.
func TestHeadBesideDownload(t *testing.T) {
	s := startServer(t, Limits{})
	const large = 1<<31 - 1
	c := s.dial(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: large})
	c.WriteWindowUpdate(0, large-firstWindow)
	c.Get(1, "/stream/2000/60000")
	lbtest.Eventually(t, "the download has begun", func() bool { return s.served.Load() == 1 })
	c.Get(3, "/interim")
	c.Hold = true
	want(t, c, 3, 200, "done")
	if c.Stream(1).Ended {
		t.Error("the other stream had to end first")
	}
}

// TestInterimBeforePending: output that follows an interim response and waits for a window is complete after the interim response
// was sent.
func TestInterimBeforePending(t *testing.T) {
	c := startServer(t, Limits{}).dial(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	c.Get(1, "/interim-and-more/10")
	c.Until(func() bool { return c.Stream(1).Status != 0 })
	c.WritePing(false, [8]byte{1})
	c.WriteWindowUpdate(1, 100)
	if s := want(t, c, 1, 200, strings.Repeat("x", 10)); !s.Ended {
		t.Errorf("%+v", s)
	}
}

// TestUnreadEnd: a connection that must end, and has no streams, waits no longer than body_idle_timeout for its client to read.
func TestUnreadEnd(t *testing.T) {
	s := startServer(t, Limits{BodyIdleTimeout: 500 * time.Millisecond})
	c := s.dial()
	n := fillSocket(t, s, c)
	for id := uint32(1); id < 2*n; id += 2 {
		c.WriteRSTStream(id, xhttp2.ErrCodeCancel)
	}
	lbtest.Eventually(t, "all streams have ended", func() bool { return s.streams.Load() == 0 })
	s.end()
	c.WritePing(true, awayPing)
	lbtest.Eventually(t, "the connection has ended", func() bool { return s.open.Load() == 0 })
}
