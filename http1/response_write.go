package http1

import (
	"net/http"
	"os"
	"strconv"

	"lb/message"
)

// framing is how the end of a response is told.
type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// response is what has been sent of a stream's.
type response struct {
	begun         bool // a byte of the final one was sent, or is on its way
	http10        bool // the client speaks HTTP/1.0
	toHead        bool // the request's method is HEAD
	close         bool // the connection ends with it
	framing       framing
	betweenChunks bool  // the next byte begins a chunk's size
	sized         bool  // the next chunk's size has begun with a zero
	probes        uint8 // see disconnect.go
	sent          int64 // bytes that the socket has taken, interim responses included
}

// Close has the connection end with the response, which announces that if it has not begun.
func (s *Stream) Close() { s.response.close = true }

// Begun reports whether the final response has begun.
func (s *Stream) Begun() bool { return s.response.begun }

// Sent returns how many bytes of responses the socket has taken.
func (s *Stream) Sent() int64 { return s.response.sent }

// Respond sends the head of the final response and a first piece of its body, with last all of it. The piece is copied where
// it is not sent at once, unless it is stable: then it must not change before Exchange.Flushed or End. The result is whether the
// socket has taken everything; if not, nothing may be sent before Exchange.Flushed.
//
// A body whose length is not known is sent in chunks, or to an HTTP/1.0 client as it is, ended by the end of the connection.
func (s *Stream) Respond(r *message.Response, piece []byte, stable, last bool) (flushed bool) {
	c := s.conn
	w := c.worker
	rs := &s.response
	if s.BodyPending() && (s.body.err != nil || last) || c.owner.Retiring() {
		rs.close = true
	}
	to := Recipient{Minor: 1, Head: rs.toHead, Close: rs.close}
	if rs.http10 {
		to.Minor = 0
	}
	b, chunked := appendResponse(w.Out(), r, &to)
	rs.close = to.Close
	switch {
	case rs.toHead || r.Status == http.StatusNoContent || r.Status == http.StatusNotModified || r.Status == http.StatusSwitchingProtocols:
		rs.framing = noBody
	case chunked:
		rs.framing = byChunks
	case r.Length < 0:
		rs.framing = byClose
	default:
		rs.framing = byLength
	}
	rs.begun = true
	early := int(c.early)
	switch {
	case rs.framing == noBody || len(piece) == 0 && rs.framing != byChunks:
		piece = nil
	case rs.framing == byChunks:
		b = appendChunk(b, piece)
		if last {
			b = appendLastChunk(b, nil)
		}
		piece = nil
		rs.betweenChunks = !last
	case len(piece) <= joinLimit:
		b, piece = append(b, piece...), nil
	}
	flushed = c.write(b[early:], piece, stable)
	c.early = 0
	w.Reuse(b)
	return flushed
}

// Send sends the next piece of the body, as Respond does with the first. The piece is copied where it is not sent at once.
// The trailer fields are sent behind the last piece of a body in chunks.
func (s *Stream) Send(piece []byte, last bool, trailer []message.Field) (flushed bool) {
	rs, c := &s.response, s.conn
	switch rs.framing {
	case noBody:
		return !s.out.Pending()
	case byChunks:
		b := appendChunk(c.worker.Out(), piece)
		if last {
			b = appendLastChunk(b, trailer)
		}
		if rs.sized && len(b) > 0 {
			b = rs.afterZero(b, len(piece) == 0)
		}
		rs.betweenChunks = !last
		flushed = c.write(b, nil, false)
		c.worker.Reuse(b)
		return flushed
	}
	if len(piece) == 0 {
		return !s.out.Pending()
	}
	return c.write(nil, piece, false)
}

// afterZero returns what is left to be sent of b, which begins with a chunk's size, where a zero was sent before it. The
// size of a chunk may begin with zeros; that of the last one is the zero.
func (rs *response) afterZero(b []byte, isLast bool) []byte {
	rs.sized = false
	if isLast {
		return b[1:]
	}
	return b
}

// SendFile sends n bytes of f from an offset on as more of a body with a length. Neither may change before Exchange.Flushed.
func (s *Stream) SendFile(f *os.File, offset, n int64) (flushed bool) {
	c := s.conn
	if s.response.framing == noBody || n == 0 || c.phase == phaseClosed {
		return !s.out.Pending()
	}
	sent, err := s.out.SendFile(c.socket, f, offset, n)
	s.response.sent += int64(sent)
	switch {
	case err != nil:
		c.worker.Loop.Later((*breakNow)(c))
		return false
	case s.out.Pending():
		s.stalled()
		return false
	}
	return true
}

// SendInterim sends a response with status 1xx, if the client understands that and has not got the final one.
func (s *Stream) SendInterim(r *message.Response) {
	rs, c := &s.response, s.conn
	if rs.begun || rs.http10 {
		return
	}
	b := AppendInterim(c.worker.Out(), r)
	early := int(c.early)
	c.early = 0
	c.write(b[early:], nil, false)
	c.worker.Reuse(b)
}

// SendContinue asks the client for the body that it announced.
func (s *Stream) SendContinue() {
	s.body.owes100 = false
	s.SendInterim(&message.Response{Status: http.StatusContinue})
}

// appendChunk appends a chunk (RFC 9112 section 7.1), nothing if p is empty.
func appendChunk(b, p []byte) []byte {
	if len(p) == 0 {
		return b
	}
	b = append(strconv.AppendInt(b, int64(len(p)), 16), '\r', '\n')
	return append(append(b, p...), '\r', '\n')
}

// AppendChunk appends a piece of a body as a chunk (RFC 9112 section 7.1), nothing if it is empty, and with last the end of the body with
// the trailer fields.
func AppendChunk(b, piece []byte, last bool, trailers []message.Field) []byte {
	b = appendChunk(b, piece)
	if last {
		b = appendLastChunk(b, trailers)
	}
	return b
}
