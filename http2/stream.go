package http2

import (
	"net/netip"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/pace"
	"lb/message"
	"lb/netloop"
)

// Stream is one request and its response. It is lent for the length of an exchange: nothing may keep it, or a slice of
// it, after End.
type Stream struct {
	Exchange Exchange
	Owner    any // the handler's own

	conn    *Conn
	id      uint32
	request message.Request
	room    []byte // what request refers to
	aborted bool   // it was reset, by either side, or the connection has ended
	ended   bool   // End was called

	body      body
	recv      window
	readSince time.Time // that the client is waited for; zero: it is not
	readPace  pace.Pace

	response
	out        pending
	writeSince time.Time // that the client has taken nothing of out; zero: out is empty
	writePace  pace.Pace
	send       int64 // that the client lets us send
	priority   priority
	turn       uint64 // when it was its turn last; see schedule.go

	timer  netloop.Timer // runs while one of readSince and writeSince is set
	tunnel *streamTunnel // nil: it is HTTP
}

// Request is the head of the request. Its slices are good until End.
func (s *Stream) Request() *message.Request { return &s.request }

// Local is the address that the client connected to; not valid on a Unix socket.
func (s *Stream) Local() netip.AddrPort { return s.conn.socket.Local() }

// Conn is the connection that the request came by.
func (s *Stream) Conn() *Conn { return s.conn }

// reset ends the stream at once (RFC 9113 section 5.4.2): nothing more is sent, and what still comes is dropped.
func (s *Stream) reset(code xhttp2.ErrCode) {
	if s.aborted {
		return
	}
	c := s.conn
	s.leave()
	if c.phase == phaseOpen {
		_ = c.frames().WriteRSTStream(s.id, code)
		c.resetIDs.add(s.id)
		c.wake()
	}
}

// leave ends the stream on this side: what came and what was to be sent is dropped.
func (s *Stream) leave() {
	c := s.conn
	s.aborted = true
	s.timer.Stop()
	s.readSince, s.writeSince = time.Time{}, time.Time{}
	s.body.drop(c.worker.Loop)
	s.out.drop(c.worker.Loop)
	c.unqueue(s)
	if n := int(s.recv.unread); n > 0 {
		s.recv.unread = 0
		c.consume(n)
	}
}

// fail ends a stream to which nothing can be sent any more. code is for the RST_STREAM frame; codeNone: none is sent, since the client knows.
func (s *Stream) fail(code xhttp2.ErrCode, err error) {
	if s.aborted {
		return
	}
	if code == codeNone {
		s.leave()
	} else {
		s.reset(code)
	}
	switch {
	case s.tunnel != nil:
		s.tunnel.failed()
	case s.Exchange != nil:
		s.Exchange.Disconnected(err)
	default:
		s.release()
	}
}

// End ends the exchange. A response that is not complete is cut.
func (s *Stream) End() {
	if s.ended {
		return
	}
	s.ended = true
	switch {
	case s.aborted:
	case !s.finished, s.out.queued:
		s.reset(codeInternal)
	case !s.body.ended: // RFC 9113 section 8.1: the rest of the request is of no use
		s.reset(codeNo)
	default:
		s.leave()
		s.conn.credit.complete()
	}
	s.release()
}

// Abort ends the stream so that the client cannot take the response for whole. The exchange still has to call End.
func (s *Stream) Abort() { s.reset(codeInternal) }

// Close does nothing: a stream ends with its response, and the connection goes on.
func (s *Stream) Close() {}

// keptHead is the most room for a head that a stream keeps for the next request.
const keptHead = 4 << 10

// release takes the stream off its connection.
func (s *Stream) release() {
	c := s.conn
	if !s.aborted {
		s.leave()
	}
	c.remove(s)
	room := s.room[:0]
	if cap(room) > keptHead {
		room = nil
	}
	clear(s.request.Fields)
	s.request.Reset()
	*s = Stream{request: s.request, room: room, body: body{chunks: s.body.chunks[:0]}}
	c.worker.giveStream(s)
	c.streamEnded()
}

// serve has the handler serve the request of the stream, and ends what a panic leaves.
func (s *Stream) serve() {
	c, id := s.conn, s.id
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		c.settings.Handler.Panicked(v)
		if s.conn != c || s.id != id || s.ended {
			return
		}
		s.Exchange = nil
		if s.begun {
			s.reset(codeInternal)
			s.release()
			return
		}
		s.refuse(handlerFailed)
	}()
	c.settings.Handler.Serve(s)
}
