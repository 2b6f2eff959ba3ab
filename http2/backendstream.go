package http2

import (
	"io"

	xhttp2 "golang.org/x/net/http2"

	"lb/message"
	"lb/netloop"
)

// BackendStream is one request to a backend and its response: BackendConn.Begin and SendBody, ReadHead until the final response, ReadBody
// until io.EOF, then Done. The zero value is ready for Begin. None of the methods blocks: reads return netloop.ErrWouldBlock.
type BackendStream struct {
	conn *BackendConn // nil: not begun, or done
	user BackendUser
	id   uint32
	from int64 // value of link.written when it began

	over    bool     // it has ended on the connection; what it has received can still be read
	failure *Failure // why it ended early; nil: it did not

	// The request.
	send     int64 // that the backend lets us send
	out      pending
	finished bool   // the end of the request has been sent, or waits with the rest of it
	connects bool   // it is an extended CONNECT
	accept   string // then: what confirms it to the client

	// The response.
	toHead     bool
	responded  bool // something other than 100 (Continue) was received
	proceed    bool // 100 (Continue) was received and not read
	hasInterim bool // likewise another interim response
	hasHead    bool // the final head was received
	interim    message.Response
	final      message.Response
	room       []byte // of final
	body       body   // waiting is of ReadHead too
	recv       window
}

// BackendUser is notified of the events of a stream, on the loop, never from within a method of the stream.
type BackendUser interface {
	// ResponseReady is called when a read that returned netloop.ErrWouldBlock should be tried again.
	ResponseReady()
	// RequestFlushed is called when all that was sent has been passed on, after Begin or SendBody has returned false.
	RequestFlushed()
}

func (s *BackendStream) begin(c *BackendConn, user BackendUser, id uint32, toHead bool) {
	*s = BackendStream{
		conn: c, user: user, id: id, from: c.written(), toHead: toHead,
		send: c.streamSend, recv: window{size: firstWindow, left: firstWindow},
		interim: s.interim, final: s.final, room: s.room, body: body{length: -1, chunks: s.body.chunks[:0]},
	}
}

// Responded reports whether something other than 100 (Continue) was received.
func (s *BackendStream) Responded() bool { return s.responded }

// Pending reports whether some of what was sent has not been passed on yet.
func (s *BackendStream) Pending() bool { return s.out.queued }

// SendBody sends the next piece of the request's body, which is copied where it cannot be sent at once. With last it is the whole rest, and
// the trailer fields follow it. It reports whether all has been passed on; if not, BackendUser.RequestFlushed follows, and nothing may
// be sent before that. If the backend has ended the stream it returns true, and a read returns the response or the error.
func (s *BackendStream) SendBody(piece []byte, last bool, trailers []message.Field) (flushed bool) {
	switch {
	case s.over:
		return true
	case s.finished, len(piece) == 0 && !last:
		return !s.out.queued
	}
	c := s.conn
	if last {
		s.finished, s.out.end = true, true
		if len(trailers) > 0 {
			s.out.trailers = appendTrailers(nil, trailers)
		}
	}
	if len(c.queue) == 0 || !c.canSendAny() {
		piece = piece[c.sendPiece(s, piece):]
	}
	if len(piece) == 0 && len(c.out) <= mostOutput {
		c.sendEnd(s)
		s.checkOver()
		return true
	}
	s.out.keep(c.worker.Loop, piece, false)
	s.out.queued = true
	c.queue = append(c.queue, s)
	c.wake()
	return false
}

// ReadHead returns the head of the next response: interim ones, then the final one. It is valid until the next call of a method of the
// stream if it is an interim one, else until Done. An interim response is lost if another one precedes it and has not been read.
func (s *BackendStream) ReadHead() (*message.Response, error) {
	s.body.waiting = false
	switch {
	case s.proceed:
		s.proceed = false
		return &message.Response{Status: 100}, nil
	case s.hasInterim:
		s.hasInterim = false
		return &s.interim, nil
	case s.hasHead:
		return &s.final, nil
	case s.failure != nil:
		return nil, s.failure
	}
	s.body.waiting = true
	return nil, netloop.ErrWouldBlock
}

// ReadBody returns the next piece of the response's body, valid until the next call. The last piece may come together with io.EOF. Other
// errors than io.EOF and netloop.ErrWouldBlock are a *Failure.
func (s *BackendStream) ReadBody() ([]byte, error) {
	b := &s.body
	b.waiting = false
	b.giveLent(s.conn.worker.Loop)
	piece := b.next()
	if len(piece) == 0 && !b.ended {
		if s.failure != nil {
			return nil, s.failure
		}
		b.waiting = true
		return nil, netloop.ErrWouldBlock
	}
	s.consume(len(piece))
	if b.whole() {
		return piece, io.EOF
	}
	return piece, nil
}

// BodyLength returns how many bytes of the response's body have not been read yet, -1 if that is not known.
func (s *BackendStream) BodyLength() int64 {
	if b := &s.body; b.length >= 0 {
		return b.length - b.read
	}
	return -1
}

// Trailers returns the trailer fields of a response that has been read to its end, without those that must not be forwarded.
func (s *BackendStream) Trailers() []message.Field { return s.body.trailers }

// keptResponse is the most room for a head that a stream keeps for its next request.
const keptResponse = 4 << 10

// Done ends the use of the stream. It is reset if the request or the response is not complete.
func (s *BackendStream) Done() {
	c := s.conn
	if c == nil {
		return
	}
	s.reset(codeCancel)
	c.worker.held -= s.recv.unread
	s.body.drop(c.worker.Loop)
	clear(s.final.Fields)
	s.final.Reset(0)
	s.interim = message.Response{}
	if cap(s.room) > keptResponse {
		s.room = nil
	}
	*s = BackendStream{final: s.final, room: s.room[:0], body: body{chunks: s.body.chunks[:0]}}
}

// Abort resets the stream, so that the backend cannot take what it received for all.
func (s *BackendStream) Abort() { s.reset(codeCancel) }

// reset ends the stream on the connection, unless it has ended.
func (s *BackendStream) reset(code xhttp2.ErrCode) {
	c := s.conn
	if s.over {
		return
	}
	if c.phase == phaseOpen {
		_ = c.frames().WriteRSTStream(s.id, code)
		c.wake()
		c.late += s.recv.left
	}
	c.remove(s)
}

// fail ends the stream early, and has its user read the failure.
func (s *BackendStream) fail(f *Failure) {
	if !s.over {
		s.conn.remove(s)
	}
	if s.body.ended && s.hasHead { // the response is complete
		return
	}
	s.failure = f
	s.notify()
}

// checkOver takes the stream off the connection when both sides have ended it.
func (s *BackendStream) checkOver() {
	if s.body.ended && s.finished && !s.out.queued && !s.out.end && !s.over {
		s.conn.credit.complete()
		s.conn.remove(s)
	}
}

// notify has the user read on, if it waits.
func (s *BackendStream) notify() {
	if s.body.waiting {
		s.body.waiting = false
		s.user.ResponseReady()
	}
}

// arrived handles a piece of the body that came with a frame, the last one if last is set.
func (s *BackendStream) arrived(p []byte, last bool) {
	b, c, id := &s.body, s.conn, s.id
	b.got += int64(len(p))
	switch {
	case !s.hasHead:
		c.violated(id, codeProtocol, "a DATA frame precedes the response head")
		return
	case b.length >= 0 && (b.got > b.length || last && b.got < b.length):
		c.violated(id, codeProtocol, "the body of the response does not have the length that its head gives")
		return
	}
	b.ended = last
	b.direct = p
	s.checkOver()
	s.notify()
	if s.conn == c && s.id == id && len(s.body.direct) > 0 {
		s.body.store(c.worker.Loop)
	}
}

// consume opens the stream's window after n bytes were read.
func (s *BackendStream) consume(n int) {
	if n == 0 {
		return
	}
	c := s.conn
	c.worker.held -= int64(n)
	s.recv.unread -= int64(n)
	if !s.over {
		c.measure(n)
		s.open()
	}
}

// open opens the window of a stream whose body is being read.
func (s *BackendStream) open() {
	c := s.conn
	if c.worker.held < mostHeld {
		s.recv.size = max(s.recv.size, c.streamWindow)
	}
	if open := s.recv.take(0); open > 0 && !s.body.ended && !s.over && c.phase == phaseOpen {
		_ = c.frames().WriteWindowUpdate(s.id, uint32(open))
		c.wake()
	}
}
