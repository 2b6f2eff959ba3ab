package http2

import (
	"bytes"
	"errors"
	"slices"

	xhttp2 "golang.org/x/net/http2"
)

// The error codes of RFC 9113 section 7 that this package uses. codeNone is none of them.
const (
	codeNo          = xhttp2.ErrCodeNo
	codeProtocol    = xhttp2.ErrCodeProtocol
	codeInternal    = xhttp2.ErrCodeInternal
	codeFlowControl = xhttp2.ErrCodeFlowControl
	codeClosed      = xhttp2.ErrCodeStreamClosed
	codeFrameSize   = xhttp2.ErrCodeFrameSize
	codeRefused     = xhttp2.ErrCodeRefusedStream
	codeCompression = xhttp2.ErrCodeCompression
	codeCancel      = xhttp2.ErrCodeCancel
	codeCalm        = xhttp2.ErrCodeEnhanceYourCalm
	codeNone        = xhttp2.ErrCode(1<<32 - 1)
)

// Preface is what a client begins with (RFC 9113 section 3.4).
const Preface = xhttp2.ClientPreface

// receive handles the frames that are whole in b and returns the rest, which is the beginning of a frame.
func (c *Conn) receive(b []byte) (rest []byte) {
	if c.phase == phasePreface {
		if n := min(len(b), len(Preface)); string(b[:n]) != Preface[:n] {
			c.error(codeProtocol, "the connection does not begin with the preface of HTTP/2")
			return nil
		}
		if len(b) < len(Preface) {
			return b
		}
		b = b[len(Preface):]
		c.phase = phaseOpen
	}
	b = c.cut(b)
	if c.phase > phaseOpen {
		c.dropped += len(b)
		return nil
	}
	return b
}

// frame handles a frame.
func (c *Conn) frame(kind xhttp2.FrameType, id uint32, flags xhttp2.Flags, b []byte) {
	if kind == xhttp2.FrameData {
		c.data(id, b[frameHeader:], flags)
		return
	}
	parsed, err := c.worker.parse(&c.link, b)
	if err != nil {
		c.parseFailed(kind, id, err)
		return
	}
	switch f := parsed.(type) {
	case *xhttp2.HeadersFrame:
		c.headers(f)
	case *xhttp2.ContinuationFrame:
		c.continuation(f)
	case *xhttp2.SettingsFrame:
		c.settingsCame(f)
	case *xhttp2.WindowUpdateFrame:
		c.windowUpdate(f)
	case *xhttp2.RSTStreamFrame:
		c.cancelled(f)
	case *xhttp2.PingFrame:
		c.ping(f)
	case *xhttp2.PriorityUpdateFrame:
		c.priorityUpdate(f)
	case *xhttp2.PriorityFrame:
		if c.spendFrame(); f.StreamDep == f.StreamID {
			c.streamError(f.StreamID, codeProtocol)
		}
	case *xhttp2.PushPromiseFrame:
		c.error(codeProtocol, "a client has sent PUSH_PROMISE")
	default: // GOAWAY, and what is unknown
		c.spendFrame()
	}
}

// parseFailed ends what a malformed frame is for.
func (c *Conn) parseFailed(kind xhttp2.FrameType, id uint32, err error) {
	var ofStream xhttp2.StreamError
	var ofConn xhttp2.ConnectionError
	switch {
	case errors.As(err, &ofStream) && kind != xhttp2.FrameHeaders: // whose fields would be missing in the decoder
		if id > c.lastID {
			c.error(codeProtocol, "a frame is for a stream that has not begun")
			return
		}
		c.streamError(id, ofStream.Code)
	case errors.As(err, &ofConn):
		c.error(xhttp2.ErrCode(ofConn), "a frame is malformed")
	case errors.As(err, &ofStream):
		c.error(ofStream.Code, "a HEADERS frame is malformed")
	default:
		c.error(codeFrameSize, "a frame is too short")
	}
}

// streamError resets a stream for what its client has done wrong. A client cannot make us reset streams without end.
func (c *Conn) streamError(id uint32, code xhttp2.ErrCode) {
	s := c.find(id)
	switch {
	case !c.spendReset():
	case s != nil:
		s.fail(code, ErrMalformed)
	default:
		_ = c.frames().WriteRSTStream(id, code)
		c.wake()
	}
}

// violated is streamError for a stream that is open.
func (s *Stream) violated() {
	if s.conn.spendReset() {
		s.fail(codeProtocol, ErrMalformed)
	}
}

// data handles a DATA frame.
func (c *Conn) data(id uint32, payload []byte, flags xhttp2.Flags) {
	n := len(payload)
	payload, ok := c.unpad(payload, flags)
	if !ok {
		return
	}
	last := flags.Has(xhttp2.FlagDataEndStream)
	switch {
	case id == 0 || id > c.lastID || id%2 == 0:
		c.error(codeProtocol, "a DATA frame is for no stream")
		return
	case !c.recv.receive(n):
		c.error(codeFlowControl, "more was sent than the window of the connection allows")
		return
	}
	s := c.find(id)
	aborted := s == nil || s.aborted || s.body.ended
	switch {
	case len(payload) > 0 && !aborted:
		c.credit.data()
	case len(payload) > 0, last && !aborted:
	case !c.spendFrame():
		return
	}
	if aborted {
		c.consume(n)
		if s != nil && !s.aborted || s == nil && !c.resetIDs.has(id) {
			c.streamError(id, codeClosed)
		}
		return
	}
	if !s.recv.receive(n) {
		c.consume(n)
		c.streamError(id, codeFlowControl)
		return
	}
	if extra := n - len(payload); extra > 0 {
		s.consume(extra)
	}
	s.arrived(payload, last)
}

// cancelled handles RST_STREAM.
func (c *Conn) cancelled(f *xhttp2.RSTStreamFrame) {
	if f.StreamID > c.lastID || f.StreamID%2 == 0 {
		c.error(codeProtocol, "a RST_STREAM frame is for no stream")
		return
	}
	s := c.find(f.StreamID)
	if s == nil || s.aborted {
		c.spendFrame()
		return
	}
	if c.spendReset() {
		s.fail(codeNone, ErrCancelled)
	}
}

// settingsCame handles SETTINGS.
func (c *Conn) settingsCame(f *xhttp2.SettingsFrame) {
	if f.IsAck() {
		c.spendFrame()
		return
	}
	if c.settled && !c.spendFrames(settingsCost+f.NumSettings()) {
		return
	}
	if !c.settled {
		c.settled = true
		c.frameBy = noTime
		c.idle()
	}
	c.applySettings(f, func(yield func(*int64) bool) {
		for _, s := range c.streams {
			if !yield(&s.send) {
				return
			}
		}
	}, func(xhttp2.Setting) {})
}

// windowUpdate handles WINDOW_UPDATE.
func (c *Conn) windowUpdate(f *xhttp2.WindowUpdateFrame) {
	if !c.spendFrame() {
		return
	}
	if f.StreamID == 0 {
		c.widen(f.Increment)
		return
	}
	if f.StreamID > c.lastID || f.StreamID%2 == 0 {
		c.error(codeProtocol, "a WINDOW_UPDATE frame is for no stream")
		return
	}
	s := c.find(f.StreamID)
	if s == nil || s.aborted {
		return
	}
	if s.send += int64(f.Increment); s.send > mostSendWindow {
		c.streamError(s.id, codeFlowControl)
		return
	}
	c.wake()
}

// ping handles PING.
func (c *Conn) ping(f *xhttp2.PingFrame) {
	switch {
	case !f.IsAck():
		if c.spendFrame() {
			_ = c.frames().WritePing(true, f.Data)
			c.wake()
		}
	case f.Data == measurePing && c.measurement.under:
		if c.measured() {
			for _, s := range c.streams {
				if s.body.read > 0 {
					s.open()
				}
			}
		}
	case f.Data == awayPing && c.away == awayAnnounced:
		c.sayLast()
	default:
		c.spendFrame()
	}
}

// priorityUpdate handles PRIORITY_UPDATE (RFC 9218 section 7.1). One for a stream that has not begun is ignored.
func (c *Conn) priorityUpdate(f *xhttp2.PriorityUpdateFrame) {
	if !c.spendFrame() {
		return
	}
	if s := c.find(f.PrioritizedStreamID); s != nil {
		s.priority = defaultPriority
		s.priority.read([]byte(f.Priority))
	}
}

// idRing is the streams that were reset last, of which frames may still be on their way.
type idRing struct {
	ids  []uint32
	next int
}

// ringSize is how many there are.
const ringSize = mostStreams

func (r *idRing) add(id uint32) {
	if len(r.ids) < ringSize {
		r.ids = append(r.ids, id)
		return
	}
	r.ids[r.next] = id
	r.next = (r.next + 1) % ringSize
}

func (r *idRing) has(id uint32) bool { return slices.Contains(r.ids, id) }

// IsPreface reports whether a connection that begins with b may be one of HTTP/2, and whether that is certain.
func IsPreface(b []byte) (may, certain bool) {
	n := min(len(b), len(Preface))
	return bytes.Equal(b[:n], []byte(Preface[:n])), n == len(Preface)
}
