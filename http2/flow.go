package http2

import (
	"errors"
	"iter"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/netloop"
)

// The sizes of windows (RFC 9113 section 6.9).
const (
	firstWindow    = 65535     // of a stream, and of a connection, before anything is said
	connWindow     = 256 << 10 // of a connection from its first SETTINGS on
	mostWindow     = 12 << 20  // that a stream's grows to, of which three quarters are 1 Gbit/s at 75 ms. A connection's grows to half as much again
	mostGranted    = 64 << 20  // that the windows of all connections of a loop have grown by
	mostSendWindow = 1<<31 - 1
)

// window is how much a client may send, of a stream or a connection.
type window struct {
	size   int64 // of what has not been used, received and unread, how much there is to be
	left   int64 // that the client may send
	unread int64 // received and not consumed
}

// receive takes note of n bytes that came. It reports false if the client may not send so many.
func (w *window) receive(n int) bool {
	if int64(n) > w.left {
		return false
	}
	w.left -= int64(n)
	w.unread += int64(n)
	return true
}

// take takes note of n bytes that were read, and returns by how much the window is to be opened: nothing while that is little.
func (w *window) take(n int) (open int64) {
	w.unread -= int64(n)
	gap := w.size - w.left - w.unread
	if gap < w.size/4 { // so that at least three quarters are there when updates arrive late
		return 0
	}
	w.left += gap
	return gap
}

// consume gives the client room for n bytes of DATA that the connection need not keep any more.
func (c *link) consume(n int) {
	if open := c.recv.take(n); open > 0 && c.phase == phaseOpen {
		_ = c.frames().WriteWindowUpdate(0, uint32(open))
		c.wake()
	}
}

// consume does the same after the exchange of a stream has read n bytes.
func (s *Stream) consume(n int) {
	if n == 0 {
		return
	}
	s.conn.measure(n)
	s.recv.unread -= int64(n)
	s.open()
	s.conn.consume(n)
}

// open opens the window of a stream whose body is being read.
func (s *Stream) open() {
	c := s.conn
	s.recv.size = max(s.recv.size, c.streamWindow)
	if open := s.recv.take(0); open > 0 && !s.body.ended && !s.aborted && c.phase == phaseOpen {
		_ = c.frames().WriteWindowUpdate(s.id, uint32(open))
		c.wake()
	}
}

// measurement measures how much a client sends within a round trip. While that is nearly all that it may send, the windows are too small
// and are doubled. Only bytes that were read count, so that a client cannot make windows grow by sending bytes that are not read.
type measurement struct {
	under  bool      // a PING is on its way
	since  time.Time // then: since when
	amount int64     // of what was read since
}

// measurePing is the payload of the PINGs of a measurement.
var measurePing = [8]byte{'w', 'i', 'n', 'd', 'o', 'w'}

// measure takes note of n bytes that were read.
func (c *link) measure(n int) {
	m := &c.measurement
	if m.under {
		m.amount += int64(n)
		return
	}
	if c.streamWindow >= c.mostWindow || c.phase != phaseOpen || c.worker.granted >= mostGranted {
		return
	}
	if c.quiet += int64(n); c.quiet < c.streamWindow/4 {
		return // a small upload
	}
	c.quiet = 0
	// What has just been read counts: a client that sends all it may in one go sends the next after it has acknowledged the PING.
	*m = measurement{under: true, since: c.worker.Loop.Now(), amount: int64(n)}
	_ = c.frames().WritePing(false, measurePing)
	c.wake()
}

// measured is called when the PING of a measurement has come back. It reports whether the windows of streams have become larger.
func (c *link) measured() (grown bool) {
	m := &c.measurement
	m.under = false
	if m.amount < c.streamWindow*2/3 {
		return false
	}
	streamWindow := min(2*c.streamWindow, c.mostWindow)
	size := max(c.recv.size, streamWindow+streamWindow/2) // so that one stream does not hold up all others
	c.worker.granted += size - c.recv.size
	c.granted += size - c.recv.size
	c.streamWindow, c.recv.size = streamWindow, size
	c.consume(0)
	return true
}

// startTimer has the stream's timer expire when the earlier one of its two waits is over.
func (s *Stream) startTimer(d time.Duration) {
	if d > 0 && !s.timer.Running() {
		s.timer.Reset(d)
	}
}

// Expired is called when a stream may have waited for its client for too long.
func (s *Stream) Expired(*netloop.Timer) {
	limit := s.conn.settings.Limits.BodyIdleTimeout
	now := s.conn.worker.Loop.Now()
	read, write := s.left(s.readSince, now, limit), s.left(s.writeSince, now, limit)
	switch {
	case !s.readSince.IsZero() && read <= 0:
		s.readSince = time.Time{}
		if !s.writeSince.IsZero() {
			s.timer.Reset(write)
		}
		s.bodyTimeout() // which may end the stream
	case !s.writeSince.IsZero() && write <= 0:
		s.writeSince = time.Time{}
		s.writeTimeout()
	case !s.readSince.IsZero() && !s.writeSince.IsZero():
		s.timer.Reset(min(read, write))
	case !s.readSince.IsZero():
		s.timer.Reset(read)
	case !s.writeSince.IsZero():
		s.timer.Reset(write)
	}
}

func (s *Stream) left(since, now time.Time, limit time.Duration) time.Duration {
	return limit - now.Sub(since)
}

// widen adds to the window in which the peer lets us send on all streams.
func (c *link) widen(increment uint32) {
	if c.send += int64(increment); c.send > mostSendWindow {
		c.side.error(codeFlowControl, "the window of the connection is too large")
		return
	}
	c.wake()
}

// applySettings applies and acknowledges the peer's settings. windows are the send windows of all streams, which may become negative (RFC
// 9113 section 6.9.2); other gets the other settings. applySettings returns false if the connection ends because of a setting.
func (c *link) applySettings(f *xhttp2.SettingsFrame, windows iter.Seq[*int64], other func(xhttp2.Setting)) (ok bool) {
	err := f.ForeachSetting(func(s xhttp2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		if s.ID != xhttp2.SettingInitialWindowSize {
			other(s)
			return nil
		}
		change := int64(s.Val) - c.streamSend
		c.streamSend = int64(s.Val)
		for send := range windows {
			if *send += change; *send > mostSendWindow {
				return xhttp2.ConnectionError(codeFlowControl)
			}
		}
		return nil
	})
	var wrong xhttp2.ConnectionError
	if errors.As(err, &wrong) {
		c.side.error(xhttp2.ErrCode(wrong), "a setting has a value that it must not have")
		return false
	}
	_ = c.frames().WriteSettingsAck()
	c.wake()
	return true
}
