package http2

import (
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/lbtest"
)

// TestDrain: a client gets two GOAWAY frames. Requests in progress and those that it sends before it can know are served, and then
// the connection ends.
func TestDrain(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	c.Silent = true
	c.Get(1, "/stream/4/20000")
	c.Until(func() bool { return len(c.Stream(1).Body) == firstWindow })
	s.end()
	c.Until(func() bool { return len(c.Away) == 1 })
	if away := c.Away[0]; away.Last != 1<<31-1 || away.Code != codeNo {
		t.Errorf("%+v", away)
	}
	c.Get(3, "/status/200") // in transit
	want(t, c, 3, 200, "")
	c.Silent = false
	c.WritePing(true, awayPing)
	c.Until(func() bool { return len(c.Away) == 2 })
	if away := c.Away[1]; away.Last != 3 || away.Code != codeNo {
		t.Errorf("%+v", away)
	}
	c.Get(5, "/") // after the GOAWAY
	wantReset(t, c, 5, codeRefused)
	c.WriteWindowUpdate(0, 1<<20)
	c.WriteWindowUpdate(1, 1<<20)
	if r := c.Await(1); !r.Ended || len(r.Body) != 80000 {
		t.Errorf("%d bytes", len(r.Body))
	}
	wantAway(t, c, codeNo)
	if len(c.Away) != 2 {
		t.Errorf("%d GOAWAYs", len(c.Away))
	}
}

// TestErrorAfterLast: a GOAWAY after the last one does not name a later stream (RFC 9113 section 6.8).
func TestErrorAfterLast(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	c.Get(1, "/never")
	lbtest.Eventually(t, "the request is served", func() bool { return s.served.Load() == 1 })
	s.end()
	c.Until(func() bool { return len(c.Away) == 2 })
	c.Get(3, "/")
	wantReset(t, c, 3, codeRefused)
	c.WritePushPromise(xhttp2.PushPromiseParam{StreamID: 3, PromiseID: 2, EndHeaders: true})
	wantAway(t, c, codeProtocol)
	if away := c.Away[len(c.Away)-1]; away.Last != 1 {
		t.Errorf("%+v", away)
	}
}

// TestDrainOfSilentClient: draining does not wait for a client that does not reply.
func TestDrainOfSilentClient(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	c.Silent = true
	c.Get(1, "/")
	want(t, c, 1, 200, "GET /")
	s.end()
	wantAway(t, c, codeNo)
	if len(c.Away) != 2 || c.Away[1].Last != 1 {
		t.Errorf("%+v", c.Away)
	}
	lbtest.Eventually(t, "the connection has ended", func() bool { return s.open.Load() == 0 })
}

// TestDrainBeforePreface: nor for one that has not begun.
func TestDrainBeforePreface(t *testing.T) {
	s := startServer(t, Limits{})
	c := lbtest.Dial(t, s.address)
	lbtest.Eventually(t, "it is there", func() bool { return s.open.Load() == 1 })
	s.end()
	c.Ended()
}

// TestRetiring: a connection with outdated settings ends after its current requests.
func TestRetiring(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	c.Get(1, "/")
	want(t, c, 1, 200, "GET /")
	s.ending.Store(true)
	c.Get(3, "/")
	want(t, c, 3, 200, "GET /")
	wantAway(t, c, codeNo)
}

// TestPriorities: of responses that wait for the same window, urgent ones are sent first, incremental ones in turns, and others
// one after the other.
func TestPriorities(t *testing.T) {
	const size = 40000 // of each, several frames
	for name, r := range map[string]struct {
		priorities []string
		update     string // of the last one
		want       []uint32
	}{
		"one after the other": {[]string{"", "", ""}, "", []uint32{1, 3, 5}},
		"urgency":             {[]string{"u=5", "u=3", "u=0"}, "", []uint32{5, 3, 1}},
		"incremental":         {[]string{"i", "i"}, "", []uint32{1, 3, 1, 3, 1, 3}},
		"malformed":           {[]string{"u=9, x", "u=-1", "u="}, "", []uint32{1, 3, 5}},
		"mixed":               {[]string{"u=1, i", "u=1, i=?0", "u=0"}, "", []uint32{5, 3, 1, 3, 1, 3, 1}},
		"PRIORITY_UPDATE":     {[]string{"", "", ""}, "u=1", []uint32{5, 1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, Limits{})
			c := s.dial(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
			last := uint32(0)
			for i, p := range r.priorities {
				last = uint32(2*i + 1)
				c.Get(last, "/stream/1/40000/1", "priority", p)
				c.Until(func() bool { return c.Stream(last).Status == 200 })
			}
			if r.update != "" {
				c.WritePriorityUpdate(last, r.update)
			}
			c.WriteWindowUpdate(0, 1<<20)
			c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20})
			for i := range r.priorities {
				if got := c.Await(uint32(2*i + 1)); len(got.Body) != size {
					t.Fatalf("%d bytes (%v)", len(got.Body), c.Err)
				}
			}
			got := c.Order()
			if len(got) != len(r.want) {
				t.Fatalf("order %v, want %v", got, r.want)
			}
			for i := range got {
				if got[i] != r.want[i] {
					t.Fatalf("order %v, want %v", got, r.want)
				}
			}
		})
	}
}

// TestWindowsGrow: the windows of a client that fills them within a round trip grow, up to a limit.
func TestWindowsGrow(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	c.Silent = true
	c.Post(1, "/drop")
	sent := int64(0)
	left := func(id uint32) int64 {
		first := int64(firstWindow)
		return first + c.Updates[id] - sent
	}
	for window := int64(firstWindow); window < mostWindow/2; window *= 2 {
		for end := sent + 2*window; sent < end; { // more than the window, before the PING comes back
			n := int64(frameSize)
			if !c.Until(func() bool { return left(1) >= n && left(0) >= n }) {
				t.Fatal(c.Err)
			}
			c.WriteData(1, false, make([]byte, n))
			sent += n
		}
		c.WritePing(true, measurePing)
		if !c.Until(func() bool { return left(1) > window }) {
			t.Fatalf("the window has grown to %d bytes and no further (%v)", window, c.Err)
		}
	}
	if left(1) > mostWindow {
		t.Errorf("the window is %d bytes", left(1))
	}
	c.WriteData(1, true, nil)
	want(t, c, 1, 200, "dropped")
}

// TestWindowFilledAtOnceGrows: the window of a client grows that sends all it may, and then nothing before it has acknowledged the PING.
func TestWindowFilledAtOnceGrows(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	c.Silent = true
	c.Post(1, "/drop")
	const piece = firstWindow/4 - 8 // so that the PING comes with the second one
	for range 4 {
		c.WriteData(1, false, make([]byte, piece))
	}
	left := func() int64 { return firstWindow - 4*piece + c.Updates[1] }
	if !c.Until(func() bool { return left() > firstWindow-2*piece }) { // what was sent has been read, but for the last piece at most
		t.Fatal(c.Err)
	}
	c.WritePing(true, measurePing)
	if !c.Until(func() bool { return left() > firstWindow }) {
		t.Fatalf("the window is %d bytes (%v)", left(), c.Err)
	}
	c.WriteData(1, true, nil)
	want(t, c, 1, 200, "dropped")
}

// TestWindowsOfUnreadBodies: the windows of a client whose body is not read do not grow.
func TestWindowsOfUnreadBodies(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	c.Post(1, "/unread")
	for range 3 {
		c.WriteData(1, false, make([]byte, frameSize))
	}
	c.Get(3, "/")
	want(t, c, 3, 200, "GET /")
	if n := c.Updates[1]; n != 0 {
		t.Errorf("the window was opened by %d bytes", n)
	}
}

// TestWindowOverrun: DATA beyond the window of a stream resets the stream, and does not permanently reduce the window of the
// connection.
func TestWindowOverrun(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	sent := int64(0)
	for n := range uint32(20) {
		id := 2*n + 1
		c.Post(id, "/unread")
		if !c.Until(func() bool { return firstWindow+c.Updates[0]-sent >= 4*frameSize }) {
			t.Fatalf("stream %d: the window of the connection stays shut (%v)", id, c.Err)
		}
		for range 4 {
			c.WriteData(id, false, make([]byte, frameSize))
			sent += frameSize
		}
		wantReset(t, c, id, codeFlowControl)
	}
}
