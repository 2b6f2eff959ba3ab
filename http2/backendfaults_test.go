package http2

import (
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/lbtest"
)

// interim is the header block of a 103.
func interim() []byte {
	return append([]byte{0x08, 3}, "103"...)
}

// acknowledged waits until the connection has handled what was sent.
func (c *backendConn) acknowledged() {
	c.t.Helper()
	_ = c.peer.WritePing(false, [8]byte{1})
	for {
		if f := c.await(xhttp2.FramePing).(*xhttp2.PingFrame); f.IsAck() {
			return
		}
	}
}

// TestBackendLateData: DATA that was on its way to streams that lb has reset does not cost the connection, however small the pieces; what exceeds
// the windows of these streams does.
func TestBackendLateData(t *testing.T) {
	c := dialBackend(t)
	open := &BackendStream{}
	c.begin(open)
	for range 3 {
		s := &BackendStream{}
		c.begin(s)
		c.do(s.Done)
	}
	for range 3 * 1000 {
		_ = c.peer.WriteData(3, false, make([]byte, 60))
	}
	c.acknowledged()
	c.do(func() {
		if c.phase != phaseOpen || c.late != 3*firstWindow-3*1000*60 {
			t.Errorf("phase %d, %d bytes may come", c.phase, c.late)
		}
		c.late = 0
	})
	for range mostFrames + 100 {
		_ = c.peer.WriteData(3, false, []byte{0})
	}
	if f, _ := lbtest.Wait(t, "the end", c.closed); f == nil || !f.Protocol {
		t.Errorf("%+v", f)
	}
	c.do(open.Done)
}

// TestBackendManySettings: a SETTINGS frame costs as much as it has settings, each of which may change the windows of all streams.
func TestBackendManySettings(t *testing.T) {
	c := dialBackend(t)
	s := &BackendStream{}
	c.begin(s)
	many := make([]xhttp2.Setting, 2000)
	for i := range many {
		many[i] = xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: uint32(i)}
	}
	_ = c.peer.WriteSettings(many...)
	if f, _ := lbtest.Wait(t, "the end", c.closed); f == nil || !f.Protocol {
		t.Errorf("%+v", f)
	}
	c.do(s.Done)
}

// TestBackendProcessed: a backend that has sent an interim response has processed the request, and cannot take that back.
func TestBackendProcessed(t *testing.T) {
	for name, take := range map[string]func(c *backendConn){
		"REFUSED_STREAM": func(c *backendConn) { _ = c.peer.WriteRSTStream(1, codeRefused) },
		"GOAWAY": func(c *backendConn) {
			_ = c.peer.WriteGoAway(0, codeNo, nil)
			c.acknowledged()
			_ = c.conn.Close()
		},
	} {
		c := dialBackend(t)
		s := &BackendStream{}
		c.begin(s)
		_ = c.peer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: interim(), EndHeaders: true})
		lbtest.Wait(t, "the interim response", c.ready)
		c.do(func() {
			if r, err := s.ReadHead(); err != nil || r.Status != 103 {
				t.Errorf("%v %v", r, err)
			}
			_, _ = s.ReadHead()
		})
		take(c)
		lbtest.Wait(t, "the failure", c.ready)
		c.do(func() {
			if _, err := s.ReadHead(); err == nil || err.(*Failure).Unprocessed || !err.(*Failure).Sent {
				t.Errorf("%s: %#v", name, err)
			}
			s.Done()
		})
	}
}

// TestBackendRetired: no stream is opened on a retired connection, and one that waits for the rest of a header block is stuck.
func TestBackendRetired(t *testing.T) {
	c := dialBackend(t)
	s := &BackendStream{}
	c.begin(s)
	_ = c.peer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}})
	lbtest.Eventually(t, "the block has begun", func() (stuck bool) {
		c.do(func() { stuck = c.Stuck() })
		return stuck
	})
	c.do(func() {
		if !c.Free() {
			t.Error("it is not free")
		}
		c.Retire()
		if c.Free() || !c.Away() {
			t.Error("it is free")
		}
		s.Done()
	})
}
