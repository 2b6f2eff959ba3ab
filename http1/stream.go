package http1

import (
	"time"

	"lb/message"
	"lb/netloop"
)

// Stream is one request and its response. It is lent for the length of an exchange: nothing may keep it, or a slice of
// it, after End.
type Stream struct {
	Exchange Exchange
	Owner    any // the handler's own

	conn     *Conn
	head     RequestHead
	span     []byte // the head's bytes, in the scratch buffer of the loop or in room
	room     []byte
	rest     []byte // came behind what was used of the request, likewise in the scratch buffer or in Conn.held
	kept     bool   // nothing is in the scratch buffer
	body     body
	response response
	upgraded Upgraded

	out        netloop.Output // what the socket has not taken
	stalledAt  time.Time      // when it took something last
	writeTimer netloop.Timer  // runs while out is pending
}

// Request is the head of the request. Its slices are good until End, but lie elsewhere once Handler.Serve has returned or
// Read was called: keep none.
func (s *Stream) Request() *message.Request { return &s.head.Request }

// Conn is the connection that the request came by.
func (s *Stream) Conn() *Conn { return s.conn }

// begin makes the stream ready for the request that was read into its head.
func (s *Stream) begin(head, rest []byte) {
	s.span, s.rest = head, rest
	s.writeTimer.Init(s.conn.worker.Loop, (*writeTimeout)(s))
	s.body.begin(&s.head, &s.conn.settings.Limits)
	s.response = response{http10: s.head.Minor == 0, toHead: s.head.IsHead(), close: s.head.Close || s.conn.owner.Retiring()}
}

// keep makes the stream independent of the loop's scratch buffer.
func (s *Stream) keep() {
	s.keepHead()
	if len(s.rest) > 0 {
		s.conn.hold(s.rest)
		s.rest = s.conn.held
	}
}

// keepHead moves the head, and all spans of it, to where it can stay.
func (s *Stream) keepHead() {
	if s.kept {
		return
	}
	s.kept = true
	s.room = append(s.room[:0], s.span...)
	s.head.Rebase(s.span, s.room)
	s.span = s.room
	if s.Exchange != nil {
		s.Exchange.Moved()
	}
}

// End ends the exchange. All that was sent must have been flushed, unless Abort was called or the client has gone. The
// connection goes on with the next request, if there is to be one.
func (s *Stream) End() {
	c := s.conn
	if c.stream != s {
		return
	}
	c.stream = nil
	c.ended = c.ended || s.response.close
	b := &s.body
	switch {
	case c.phase == phaseClosed:
	case c.phase == phaseUpgraded:
		c.close()
	case b.done:
		c.phase = phaseIdle
		c.hold(s.rest)
	case c.ended || b.err != nil || b.owes100 || b.left > dropLimit:
		c.phase, c.ended, c.linger = phaseIdle, true, true
	default:
		c.hold(s.rest)
		b.payload = 0
		c.beginDrain(b)
		b.chunks = ChunkDecoder{}
	}
	s.free()
	c.Run()
}

// keptHead is the most room for a head that a stream keeps for the next request.
const keptHead = 4 << 10

// free gives the stream back.
func (s *Stream) free() {
	w := s.conn.worker
	s.dropOutput()
	s.head.Reset()
	if cap(s.room) > keptHead {
		s.room = nil
	}
	s.body.chunks.Reset(0)
	*s = Stream{head: s.head, room: s.room[:0], body: body{chunks: s.body.chunks}}
	w.giveStream(s)
}

// fail ends a stream whose client has gone: nothing can be sent any more.
func (s *Stream) fail(err error) {
	c := s.conn
	if c.phase == phaseUpgraded {
		s.upgraded.ClientReady(netloop.Failed)
		return
	}
	c.reset()
	if s.Exchange != nil {
		s.Exchange.Gone(err)
	}
}

// Abort ends the connection so that the client cannot take the response for whole. The exchange still has to call End.
func (s *Stream) Abort() { s.conn.reset() }

// recover ends what a handler that has panicked leaves.
func (s *Stream) recover() {
	v := recover()
	if v == nil {
		return
	}
	c := s.conn
	c.settings.Handler.Panicked(v)
	if c.stream != s {
		return
	}
	if s.response.begun {
		s.Abort()
		s.End()
		return
	}
	c.stream, c.phase = nil, phaseIdle
	c.refuse(handlerFailed, s.span)
	s.free()
}

// Upgrade leaves HTTP, after a response with status 101 was sent and flushed: u gets the events of the socket from now
// on, which it reads and writes itself. unread came behind the request, and is good until End, which closes the connection.
func (s *Stream) Upgrade(u Upgraded) (socket *netloop.Socket, unread []byte) {
	c := s.conn
	s.keep()
	c.phase, s.upgraded = phaseUpgraded, u
	c.stopRead()
	s.writeTimer.Stop()
	return c.socket, s.rest
}
