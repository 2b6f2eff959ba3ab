package http2

import (
	"errors"

	xhttp2 "golang.org/x/net/http2"
)

// frame implements side.
func (c *BackendConn) frame(kind xhttp2.FrameType, id uint32, flags xhttp2.Flags, b []byte) {
	if kind != xhttp2.FramePing || !flags.Has(xhttp2.FlagPingAck) {
		c.silence = 0
	}
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
		if whole, ok := c.gather(f, c.limits.HeaderSize); ok {
			c.decode(whole.id, whole.bytes, whole.end)
		}
	case *xhttp2.SettingsFrame:
		c.settingsCame(f)
	case *xhttp2.WindowUpdateFrame:
		c.windowUpdate(f)
	case *xhttp2.RSTStreamFrame:
		c.wasReset(f)
	case *xhttp2.PingFrame:
		c.ping(f)
	case *xhttp2.GoAwayFrame:
		c.goAway(f)
	case *xhttp2.PushPromiseFrame:
		c.error(codeProtocol, "a server has sent PUSH_PROMISE, which it was told not to")
	default: // PRIORITY, and what is unknown
		c.spendFrame()
	}
}

// parseFailed ends what a malformed frame is for.
func (c *BackendConn) parseFailed(kind xhttp2.FrameType, id uint32, err error) {
	var ofStream xhttp2.StreamError
	var ofConn xhttp2.ConnectionError
	switch {
	case errors.As(err, &ofStream) && kind != xhttp2.FrameHeaders: // whose fields would be missing in the decoder
		if c.known(id) {
			c.violated(id, ofStream.Code, "a frame is malformed")
		}
	case errors.As(err, &ofConn):
		c.error(xhttp2.ErrCode(ofConn), "a frame is malformed")
	case errors.As(err, &ofStream):
		c.error(ofStream.Code, "a HEADERS frame is malformed")
	default:
		c.error(codeFrameSize, "a frame is too short")
	}
}

// known reports whether a stream of that id was opened. If not, the connection ends.
func (c *BackendConn) known(id uint32) bool {
	if id%2 == 1 && id < c.nextID {
		return true
	}
	c.error(codeProtocol, "a frame is for a stream that was not opened")
	return false
}

// violated resets a stream for what the backend has done wrong. A backend cannot make lb reset streams without end.
func (c *BackendConn) violated(id uint32, code xhttp2.ErrCode, reason string) {
	if !c.spendReset() {
		return
	}
	s := c.findStream(id)
	if s == nil {
		return
	}
	s.reset(code)
	s.fail(&Failure{Err: errors.New(reason), Protocol: true, Sent: true})
}

// data handles a DATA frame. The window of the connection is opened at once, so that a client that does not read holds up no other; what
// is buffered is bounded by the windows of the streams.
func (c *BackendConn) data(id uint32, payload []byte, flags xhttp2.Flags) {
	n := len(payload)
	payload, ok := c.unpad(payload, flags)
	if !ok || !c.known(id) {
		return
	}
	if !c.recv.receive(n) {
		c.error(codeFlowControl, "more was sent than the window of the connection allows")
		return
	}
	c.consume(n)
	s := c.findStream(id)
	last := flags.Has(xhttp2.FlagDataEndStream)
	switch {
	case s != nil && !s.body.ended && len(payload) > 0:
		c.credit.data()
	case s != nil && !s.body.ended && last:
	case s == nil && len(payload) > 0 && int64(n) <= c.late: // it was on its way
		c.late -= int64(n)
	case !c.spendFrame():
		return
	}
	switch {
	case s == nil: // frames of a stream that was reset may still come
	case s.body.ended:
		c.violated(id, codeClosed, "a DATA frame follows the end of the response")
	case !s.recv.receive(n):
		c.violated(id, codeFlowControl, "more was sent than the window of the stream allows")
	default:
		c.worker.held += int64(n)
		if extra := n - len(payload); extra > 0 {
			s.consume(extra)
		}
		s.arrived(payload, last)
	}
}

// wasReset handles RST_STREAM.
func (c *BackendConn) wasReset(f *xhttp2.RSTStreamFrame) {
	if !c.known(f.StreamID) {
		return
	}
	s := c.findStream(f.StreamID)
	switch {
	case s == nil:
		c.spendFrame()
	case s.body.ended: // the backend needs no more of the request (RFC 9113 section 8.1)
		c.remove(s)
	case !c.spendReset():
	case f.ErrCode == codeRefused && !s.responded: // an interim response says that it was processed
		s.fail(&Failure{Err: errRefused, Unprocessed: true})
	default:
		s.fail(&Failure{Err: resetError(f.ErrCode), Protocol: f.ErrCode == codeProtocol, Sent: true})
	}
}

// settingsCame handles SETTINGS.
func (c *BackendConn) settingsCame(f *xhttp2.SettingsFrame) {
	if f.IsAck() {
		c.spendFrame()
		return
	}
	if c.settled && !c.spendFrames(settingsCost+f.NumSettings()) {
		return
	}
	ok := c.applySettings(f, func(yield func(*int64) bool) {
		for _, s := range c.streams {
			if !yield(&s.send) {
				return
			}
		}
	}, func(s xhttp2.Setting) {
		switch s.ID {
		case xhttp2.SettingMaxConcurrentStreams:
			c.most = int(min(s.Val, mostBackendStreams))
		case xhttp2.SettingEnableConnectProtocol:
			c.connect = s.Val == 1
		}
	})
	if !ok {
		return
	}
	if !c.settled {
		c.settled = true
		c.owner.Settled()
		return
	}
	c.owner.StreamEnded() // it may allow more than before
}

// windowUpdate handles WINDOW_UPDATE.
func (c *BackendConn) windowUpdate(f *xhttp2.WindowUpdateFrame) {
	if !c.spendFrame() {
		return
	}
	if f.StreamID == 0 {
		c.widen(f.Increment)
		return
	}
	if !c.known(f.StreamID) {
		return
	}
	if s := c.findStream(f.StreamID); s != nil {
		if s.send += int64(f.Increment); s.send > mostSendWindow {
			c.violated(s.id, codeFlowControl, "the window of a stream is too large")
			return
		}
		c.wake()
	}
}

// ping handles PING.
func (c *BackendConn) ping(f *xhttp2.PingFrame) {
	switch {
	case !f.IsAck():
		if c.spendFrame() {
			_ = c.frames().WritePing(true, f.Data)
			c.wake()
		}
	case f.Data == silencePing:
		c.silence = min(c.silence+1, len(silences)-1)
		c.spendFrame()
	case f.Data == measurePing && c.measurement.under:
		if c.measured() {
			for _, s := range c.streams {
				if s.body.read > 0 {
					s.open()
				}
			}
		}
	default:
		c.spendFrame()
	}
}

// goAway handles GOAWAY: no more streams are opened, and those that the backend will not process fail, so that they can be sent again.
func (c *BackendConn) goAway(f *xhttp2.GoAwayFrame) {
	if !c.spendFrame() {
		return
	}
	c.away = true
	lastID := f.LastStreamID
	for i := len(c.streams) - 1; i >= 0; i-- {
		if i < len(c.streams) && c.streams[i].id > lastID { // each may end others
			s := c.streams[i]
			if s.responded { // it was processed, whatever the GOAWAY says
				continue
			}
			s.fail(&Failure{Err: errGoAway, Unprocessed: true})
		}
	}
	if c.phase == phaseOpen {
		c.owner.StreamEnded()
	}
}
