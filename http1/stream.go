package http1

import (
	"net/netip"
	"time"

	"lb/message"
	"lb/netloop"
)

// Stream is one request and its response. It is reused after an exchange: nothing may keep it, or a slice of it, after End.
type Stream struct {
	Exchange Exchange
	Owner    any // for the handler's use

	conn     *Conn
	head     RequestHead
	span     []byte // the head's bytes, in the scratch buffer of the loop or in room
	room     []byte
	rest     []byte // received after the consumed part of the request, in the scratch buffer or in Conn.held
	kept     bool   // the head is not in the scratch buffer
	body     body
	response response
	upgraded Upgraded

	out        netloop.Output // pending output
	stalledAt  time.Time      // start of the current wait for the client to read
	writeTimer netloop.Timer  // runs while out is pending
}

// Request returns the head of the request. Its slices are valid until End, but move when Handler.Serve has returned and when Read is
// called: keep none.
func (s *Stream) Request() *message.Request { return &s.head.Request }

// Conn returns the connection on which the request was received.
func (s *Stream) Conn() *Conn { return s.conn }

// Local is the address that the client connected to; not valid on a Unix socket.
func (s *Stream) Local() netip.AddrPort { return s.conn.socket.Local() }

// begin prepares the stream for the request that was read into its head.
func (s *Stream) begin(head, rest []byte) {
	s.span, s.rest = head, rest
	s.writeTimer.Init(s.conn.worker.Loop, (*writeTimeout)(s))
	s.body.begin(&s.head, &s.conn.settings.Limits)
	s.response = response{http10: s.head.Minor == 0, toHead: s.head.IsHead(), close: s.head.Close || s.conn.owner.Retiring()}
}

// keep copies what the stream needs out of the loop's scratch buffer.
func (s *Stream) keep() {
	s.keepHead()
	if len(s.rest) > 0 {
		s.conn.hold(s.rest)
		s.rest = s.conn.held
	}
}

// keepHead copies the head out of the scratch buffer.
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

// End ends the exchange. Everything that was sent must have been flushed, unless Abort was called or the client has disconnected. The
// connection continues with the next request, unless it closes.
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

// keptHead is the largest buffer for a head that a stream keeps for the next request.
const keptHead = 4 << 10

// free releases the stream for reuse.
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

// fail ends a stream whose client has disconnected: nothing can be sent any more.
func (s *Stream) fail(err error) {
	c := s.conn
	if c.phase == phaseUpgraded {
		s.upgraded.ClientReady(netloop.Failed)
		return
	}
	c.reset()
	if s.Exchange != nil {
		s.Exchange.Disconnected(err)
	}
}

// Abort resets the connection so that the client cannot mistake the response for a complete one. The exchange still has to call End.
func (s *Stream) Abort() { s.conn.reset() }

// recover cleans up after a panic of the handler.
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

// Upgrade ends the use of HTTP, after a response with status 101 was sent and flushed. From now on u gets the events of the socket
// and reads and writes it. unread was received after the request, and is valid until End, which closes the connection.
func (s *Stream) Upgrade(u Upgraded) (socket netloop.Stream, unread []byte) {
	c := s.conn
	s.keep()
	c.phase, s.upgraded = phaseUpgraded, u
	c.stopRead()
	s.writeTimer.Stop()
	return c.socket, s.rest
}
