package http2

import (
	"net/http"
	"os"

	xhttp2 "golang.org/x/net/http2"

	"lb/message"
)

// response is what has been sent of a stream's.
type response struct {
	begun    bool  // the final one
	finished bool  // its last frame is on its way, or waits for room only
	toHead   bool  // the request's method is HEAD
	noBody   bool  // it ended with its head
	upgraded bool  // it has opened a tunnel
	length   int64 // of the body that has not been sent; negative: unknown before its end
	sent     int64
}

// Begun reports whether the final response has begun.
func (s *Stream) Begun() bool { return s.begun }

// Sent returns how many bytes of responses are on their way.
func (s *Stream) Sent() int64 { return s.sent }

// Respond sends the head of the final response and a first piece of its body, with last all of it. The piece is copied where
// it is not sent at once, unless it is stable: then it must not change before Exchange.Flushed or End. The result is whether
// everything is on its way; if not, nothing may be sent before Exchange.Flushed.
func (s *Stream) Respond(r *message.Response, piece []byte, stable, last bool) (flushed bool) {
	if s.aborted {
		return false
	}
	c := s.conn
	s.begun = true
	s.upgraded = r.Status == http.StatusSwitchingProtocols
	s.noBody = s.toHead || r.Status == http.StatusNoContent || r.Status == http.StatusNotModified || r.Length == 0 && !s.upgraded
	for i := range r.Fields {
		if f := &r.Fields[i]; message.EqualFold(f.Name, "priority") { // RFC 9218 section 8: the origin may know better
			s.priority.read(f.Value)
		}
	}
	s.length = r.Length
	if s.upgraded {
		s.length = -1
	}
	end := s.noBody || last && len(piece) == 0
	b := appendResponse(c.beginBlock(), r, s.upgraded)
	s.headers(b, end)
	if end {
		return s.taken()
	}
	return s.write(piece, stable, last, nil)
}

// Send sends the next piece of the body, as Respond does with the first. The piece is copied where it is not sent at once.
// The trailer fields are sent behind the last piece.
func (s *Stream) Send(piece []byte, last bool, trailers []message.Field) (flushed bool) {
	switch {
	case s.aborted:
		return false
	case s.finished:
		return !s.out.pending()
	case len(piece) == 0 && !last:
		return !s.out.pending()
	}
	return s.write(piece, false, last, trailers)
}

// SendFile sends n bytes of f from an offset on as more of a body with a length. Neither may change before Exchange.Flushed.
func (s *Stream) SendFile(f *os.File, offset, n int64) (flushed bool) {
	switch {
	case s.aborted:
		return false
	case s.finished || n == 0:
		return !s.out.pending()
	}
	s.out.file, s.out.offset, s.out.left, s.out.cached = f, offset, n, offset
	s.count(n)
	s.out.end = s.finished
	s.queue()
	return false
}

// write sends a piece, or keeps what of it there is no room for.
func (s *Stream) write(piece []byte, stable, last bool, trailers []message.Field) (flushed bool) {
	c := s.conn
	s.count(int64(len(piece)))
	if last {
		s.finished = true
		if len(trailers) > 0 {
			s.out.trailers = appendTrailers(nil, trailers)
		}
	}
	s.out.end = s.finished
	if !c.hasPrecedence(s) {
		piece = piece[c.sendPiece(s, piece):]
	}
	if len(piece) == 0 && c.sendEnd(s) {
		return s.taken()
	}
	s.out.keep(c.worker.Loop, piece, stable)
	s.queue()
	return false
}

// count takes note of n bytes of a body that are to be sent. One whose length is known ends with it.
func (s *Stream) count(n int64) {
	if s.length < 0 {
		return
	}
	if s.length = max(s.length-n, 0); s.length == 0 {
		s.finished = true
	}
}

// SendInterim sends a response with status 1xx, if the client has not got the final one. The result is whether it has been sent; if not,
// Exchange.Flushed follows when the socket has taken enough.
func (s *Stream) SendInterim(r *message.Response) (flushed bool) {
	if s.aborted || s.begun || r.Status == http.StatusSwitchingProtocols {
		return true
	}
	s.interim(r)
	s.awaitTaken()
	return false
}

// SendContinue asks the client for the body that it announced.
func (s *Stream) SendContinue() {
	s.body.owes100 = false
	if !s.aborted && !s.begun {
		s.interim(&message.Response{Status: http.StatusContinue})
	}
}

func (s *Stream) interim(r *message.Response) {
	s.headers(appendResponse(s.conn.beginBlock(), r, false), false)
}

// beginBlock returns empty room for a header block.
func (c *link) beginBlock() []byte {
	b := c.worker.block[:0]
	if !c.tableOff {
		c.tableOff = true
		b = append(b, tableSizeZero)
	}
	return b
}

// headers sends a header block.
func (s *Stream) headers(block []byte, end bool) {
	c := s.conn
	if end {
		s.finished = true
	}
	s.sent += int64(len(block))
	c.sendBlock(s.id, block, end)
}

// sendBlock sends a header block on a stream, whose room is kept for the next; end says that the stream ends with it.
func (c *link) sendBlock(id uint32, block []byte, end bool) {
	if cap(block) <= keptBlock {
		c.worker.block = block
	}
	first := block[:min(len(block), frameSize)]
	rest := block[len(first):]
	f := c.frames()
	_ = f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(rest) == 0})
	for len(rest) > 0 {
		part := rest[:min(len(rest), frameSize)]
		rest = rest[len(part):]
		_ = f.WriteContinuation(id, len(rest) == 0, part)
	}
	c.wake()
}

// keptBlock is the most room for header blocks that a loop keeps.
const keptBlock = 64 << 10

// frameSize is the most bytes of a frame's payload, ours and the client's: what each side has to take (RFC 9113 section 4.2).
const frameSize = 16384
