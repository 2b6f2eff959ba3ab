package http1

import (
	"io"
	"net/http"
	"os"
	"strconv"

	"lb/message"
	"lb/netloop"
)

// framing is how the end of a response body is marked.
type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// response is the state of sending a response.
type response struct {
	begun         bool // the final response has begun
	http10        bool // the request is HTTP/1.0
	toHead        bool // the request method is HEAD
	close         bool // the connection closes after the response
	framing       framing
	betweenChunks bool  // the next byte begins a chunk's size
	sized         bool  // a probe has sent a zero as the first digit of the next chunk's size
	probes        uint8 // see disconnect.go
	sent          int64 // bytes written to the socket, interim responses included
}

// Close makes the connection close after the response. If the response has not begun, it will announce that.
func (s *Stream) Close() { s.response.close = true }

// Begun reports whether the final response has begun.
func (s *Stream) Begun() bool { return s.response.begun }

// Sent returns how many bytes of responses have been written to the socket.
func (s *Stream) Sent() int64 { return s.response.sent }

// Respond sends the head of the final response and the first piece of its body; last says that it is the whole body. What cannot be sent
// at once is copied, unless the piece is stable: then it must not change before Exchange.Flushed or End. Respond reports whether
// everything was written to the socket; if not, nothing may be sent before Exchange.Flushed.
//
// A body of unknown length is sent in chunks. To an HTTP/1.0 client it is sent without framing, and the connection closes at its end.
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

// joinLimit is the largest piece of a body that is copied behind its head, which costs less than a write of two buffers.
const joinLimit = 4 << 10

// Send sends the next piece of the body, as Respond does with the first. What cannot be sent at once is copied. The trailer fields
// are sent after the last piece of a chunked body.
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

// afterZero returns what remains to be sent of b, which begins with a chunk's size, after a probe has sent a zero. The size of a
// chunk may have leading zeros; the last chunk's size is just the zero.
func (rs *response) afterZero(b []byte, isLast bool) []byte {
	rs.sized = false
	if isLast {
		return b[1:]
	}
	return b
}

// SendFile sends n bytes of f from offset as the next piece of a body with a known length. f must not be closed, nor the bytes changed,
// before Exchange.Flushed.
func (s *Stream) SendFile(f *os.File, offset, n int64) (flushed bool) {
	c := s.conn
	if s.response.framing == noBody || n == 0 || c.phase == phaseClosed {
		return !s.out.Pending()
	}
	sent, err := s.out.SendFile(c.socket, f, offset, n)
	s.response.sent += int64(sent)
	switch {
	case err == io.ErrUnexpectedEOF: // the file has become shorter
		c.worker.Loop.Later(netloop.TaskFunc(func() { c.fail(err) }))
		return false
	case err != nil:
		c.worker.Loop.Later((*breakNow)(c))
		return false
	case s.out.Pending():
		s.stalled()
		return false
	}
	return true
}

// SendInterim sends a 1xx response, unless the client uses HTTP/1.0 or the final response has begun. It reports whether everything has been
// written to the socket; if not, Flushed or Disconnected follows.
func (s *Stream) SendInterim(r *message.Response) (flushed bool) {
	rs, c := &s.response, s.conn
	if rs.begun || rs.http10 {
		return true
	}
	b := AppendInterim(c.worker.Out(), r)
	early := int(c.early)
	c.early = 0
	flushed = c.write(b[early:], nil, false)
	c.worker.Reuse(b)
	return flushed
}

// SendContinue sends 100 (Continue).
func (s *Stream) SendContinue() {
	s.body.owes100 = false
	s.SendInterim(&message.Response{Status: http.StatusContinue})
}

// appendChunk appends p as a chunk (RFC 9112 section 7.1), or nothing if p is empty.
func appendChunk(b, p []byte) []byte {
	if len(p) == 0 {
		return b
	}
	b = append(strconv.AppendInt(b, int64(len(p)), 16), '\r', '\n')
	return append(append(b, p...), '\r', '\n')
}

// AppendChunk appends a piece of a body as a chunk (RFC 9112 section 7.1), or nothing if it is empty. If last is set, it also appends the
// last chunk and the trailer fields.
func AppendChunk(b, piece []byte, last bool, trailers []message.Field) []byte {
	b = appendChunk(b, piece)
	if last {
		b = appendLastChunk(b, trailers)
	}
	return b
}

// appendLastChunk appends the end of a chunked body: the last chunk, the trailer section, and the blank line.
func appendLastChunk(b []byte, trailers []message.Field) []byte {
	b = append(b, "0\r\n"...)
	for i := range trailers {
		b = append(b, trailers[i].Line...)
	}
	return append(b, '\r', '\n')
}
