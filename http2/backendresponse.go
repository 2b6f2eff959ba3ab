package http2

import (
	"net/http"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/fieldsection"
)

// headers handles HEADERS.
func (c *BackendConn) headers(f *xhttp2.HeadersFrame) {
	if f.HeadersEnded() {
		c.decode(f.StreamID, f.HeaderBlockFragment(), f.StreamEnded())
		return
	}
	c.block = block{id: f.StreamID, end: f.StreamEnded(), bytes: append([]byte(nil), f.HeaderBlockFragment()...)}
}

// decode decodes a header block and handles what it says.
func (c *BackendConn) decode(id uint32, b []byte, end bool) {
	s := c.findStream(id)
	var room []byte
	if s != nil && !s.hasHead {
		room = s.room
	}
	h := &c.worker.head
	h.BeginResponse(*c.limits, room, s != nil && s.hasHead)
	switch {
	case !c.unpack(b), !c.known(id):
	case s == nil: // it was reset
		c.spendFrame()
	case s.body.ended:
		c.violated(id, codeClosed, "a HEADERS frame follows the end of the response")
	case s.hasHead:
		s.trailersCame(h, end)
	default:
		s.room = h.Room
		s.headCame(h, end)
	}
}

// headCame handles the head of a response.
func (s *BackendStream) headCame(h *fieldsection.Section, end bool) {
	c := s.conn
	switch {
	case h.TooLarge():
		s.reset(codeCancel)
		s.fail(&Failure{Err: ErrResponseHead, Protocol: true, Sent: true})
		return
	case h.TooMany():
		s.reset(codeCancel)
		s.fail(&Failure{Err: ErrResponseFields, Protocol: true, Sent: true})
		return
	}
	r, b := &s.final, &s.body
	fault := h.Response(r)
	status, length := r.Status, r.Length
	switch {
	case fault != "":
	case status < 200 && end:
		fault = "The response ends with an interim response."
	case status < 200:
		if c.spendFrame() {
			s.interimCame(h, status)
		}
		return
	case s.connects && status < 300: // there is no body (RFC 9110 section 9.3.6)
	case (status == http.StatusNoContent || end && status != http.StatusNotModified && !s.toHead) && length > 0:
		fault = "The response has no body, but a Content-Length."
	}
	if fault != "" {
		c.violated(s.id, codeProtocol, fault)
		return
	}
	b.length = length
	switch {
	case s.connects && status < 300:
		s.switched(r)
	case status == http.StatusNoContent:
		r.Length, b.length = 0, 0
	case status == http.StatusNotModified, s.toHead:
		r.Length, b.length = max(length, 0), 0
	case end: // a response without Content-Length keeps its Length of -1, so that whatever the client's protocol needs is added
		b.length = 0
	}
	s.hasHead, s.responded, b.ended = true, true, end
	s.checkOver()
	s.notify()
}

// interimCame handles an interim response. Since flow control does not apply to it, it is dropped if an earlier one was not read yet.
func (s *BackendStream) interimCame(h *fieldsection.Section, status int) {
	switch {
	case status == http.StatusContinue:
		s.proceed = true
	case s.hasInterim:
		return
	default:
		h.Room = append([]byte(nil), h.Room...) // the stream's room is for the final head
		s.interim.Reset(status)
		s.interim.Fields = h.AppendFields(s.interim.Fields)
		s.hasInterim, s.responded = true, true
	}
	s.notify()
}

// trailersCame handles the trailer section of a response.
func (s *BackendStream) trailersCame(h *fieldsection.Section, end bool) {
	b, c := &s.body, s.conn
	switch {
	case !end:
		c.violated(s.id, codeProtocol, "a second response head was received")
		return
	case h.Fault != "":
		c.violated(s.id, codeProtocol, h.Fault)
		return
	case h.TooLarge(), h.TooMany():
		c.violated(s.id, codeProtocol, "the trailer section is larger than allowed")
		return
	case b.length >= 0 && b.got != b.length:
		c.violated(s.id, codeProtocol, "the body of the response does not have the length that its head gives")
		return
	}
	b.trailers, b.ended = h.Trailers(), true
	s.checkOver()
	s.notify()
}
