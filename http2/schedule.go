package http2

import (
	"io"
	"os"
	"slices"

	"lb/netloop"
)

// pending is what a stream has to send and there was no room for, either in the client's windows or in the connection's output.
type pending struct {
	copied []byte // goes first; a rest of room
	room   []byte // borrowed from the loop, or larger than it lends
	stable []byte
	file   *os.File
	offset int64
	left   int64      // of file
	cached int64      // offset before which the file is in memory
	ahead  *readAhead // nil: nothing is being read into memory

	end      bool // the stream ends behind it
	trailers []byte
	queued   bool // the stream is in Conn.queue
}

// pending reports whether there is anything.
func (p *pending) pending() bool { return p.queued }

// size is how many bytes there are.
func (p *pending) size() int64 { return int64(len(p.copied)+len(p.stable)) + p.left }

// keep adds a piece: as it is if it is stable, else a copy.
func (p *pending) keep(l *netloop.Loop, piece []byte, stable bool) {
	if len(piece) == 0 {
		return
	}
	if stable {
		p.stable = piece
		return
	}
	var room []byte
	if len(piece) <= netloop.LargeBuffer {
		room = l.Borrow(len(piece))
	} else {
		room = make([]byte, len(piece))
	}
	p.room, p.copied = room, room[:copy(room, piece)]
}

// drop forgets everything.
func (p *pending) drop(l *netloop.Loop) {
	if p.room != nil && cap(p.room) <= netloop.LargeBuffer {
		l.Return(p.room)
	}
	queued := p.queued
	*p = pending{queued: queued}
}

// queue has the stream wait for its turn to send.
func (s *Stream) queue() {
	c := s.conn
	if !s.out.queued {
		s.out.queued = true
		c.queue = append(c.queue, s)
		s.awaitWrite()
	}
	c.wake()
}

// awaitWrite bounds the wait for the client to take what the stream has sent.
func (s *Stream) awaitWrite() {
	if s.tunnel == nil {
		s.writeSince = s.conn.worker.Loop.Now()
		s.startTimer(s.conn.settings.Limits.BodyIdleTimeout)
	}
}

// unqueue takes it out of the queue.
func (c *Conn) unqueue(s *Stream) {
	if i := slices.Index(c.queue, s); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
	}
	if i := slices.Index(c.flushed, s); i >= 0 {
		c.flushed[i] = nil
	}
	if i := slices.Index(c.heads, s); i >= 0 {
		c.heads = slices.Delete(c.heads, i, i+1)
	}
	s.out.queued = false
}

// hasPrecedence reports whether another stream is to send before s.
func (c *Conn) hasPrecedence(s *Stream) bool {
	for _, other := range c.queue {
		if other.canSend() && other.priority.urgency <= s.priority.urgency {
			return true
		}
	}
	return false
}

// canSend reports whether the client's windows let the stream send, or it needs none.
func (s *Stream) canSend() bool {
	if s.out.ahead != nil {
		return false
	}
	return s.out.size() == 0 || s.send > 0 && s.conn.send > 0
}

// next returns the stream whose turn it is (RFC 9218 section 10): of those with the least urgency value, the incremental ones one after the
// other, and of the others the oldest; nil if none can send.
func (c *Conn) next() *Stream {
	urgency := uint8(leastUrgent + 1)
	for _, s := range c.queue {
		if s.priority.urgency < urgency && s.canSend() {
			urgency = s.priority.urgency
		}
	}
	var oldest, best *Stream
	for _, s := range c.queue {
		switch {
		case s.priority.urgency != urgency || !s.canSend():
		case s.priority.incremental && (best == nil || s.turn < best.turn):
			best = s
		case !s.priority.incremental && (oldest == nil || s.id < oldest.id):
			oldest = s
		}
	}
	if oldest != nil && (best == nil || oldest.turn <= best.turn) {
		return oldest
	}
	return best
}

// mostOutput is how much of frames waits for the socket at most before streams wait instead; frames that are not DATA are not counted.
const mostOutput = netloop.LargeBuffer - 2<<10

// leastFrame is the room below which no DATA frame is begun in the output.
const leastFrame = 1 << 10

// room is how many bytes of DATA may be sent now on a stream with that window, one frame at most.
func (c *link) room(send int64) int {
	most := min(int64(frameSize), int64(mostOutput-len(c.out)-frameHeader), send, c.send)
	return int(max(most, 0))
}

const frameHeader = 9

// sendPiece sends what there is room for of a piece and returns how much that is.
func (c *Conn) sendPiece(s *Stream, piece []byte) (n int) {
	for n < len(piece) {
		k := min(c.room(s.send), len(piece)-n)
		if k == 0 {
			return n
		}
		end := s.out.end && s.out.trailers == nil && n+k == len(piece) && s.out.size() == 0
		c.dataHeader(s, k, end)
		c.out = append(c.out, piece[n:n+k]...)
		n += k
	}
	return n
}

// dataHeader begins a DATA frame of n bytes.
func (c *Conn) dataHeader(s *Stream, n int, end bool) {
	if end {
		s.out.end = false
	}
	c.appendDataHeader(s.id, n, end)
	s.send -= int64(n)
	s.sent += int64(n)
	c.turns++
	s.turn = c.turns
	c.progress = c.worker.Loop.Now()
}

// appendDataHeader appends the header of a DATA frame of n bytes, which follow; end says that the stream ends with it.
func (c *link) appendDataHeader(id uint32, n int, end bool) {
	flags := byte(0)
	if end {
		flags = 1 // END_STREAM
	}
	c.grow(frameHeader + n)
	c.out = append(c.out, byte(n>>16), byte(n>>8), byte(n), 0, flags, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
	c.send -= int64(n)
	c.credit.data()
	c.wake()
}

// sendEnd sends what ends a stream whose body is all sent, if it is to end now and its last DATA frame has not said so.
func (c *Conn) sendEnd(s *Stream) bool {
	switch {
	case !s.out.end:
	case s.out.trailers != nil:
		block := s.out.trailers
		s.out.end, s.out.trailers = false, nil
		s.headers(append(c.beginBlock(), block...), true)
	default:
		c.dataHeader(s, 0, true)
	}
	return true
}

// schedule moves what waits into the output as far as there is room. It reports whether it has moved anything.
func (c *Conn) schedule() (moved bool) {
	for len(c.queue) > 0 && len(c.out) < mostOutput-leastFrame {
		s := c.next()
		if s == nil {
			return moved
		}
		before := s.sent
		if err := s.sendPending(); err != nil {
			s.fail(codeInternal, err) // the file has become shorter
			moved = true
			continue
		}
		now := c.worker.Loop.Now()
		if !s.writeSince.IsZero() {
			if l := &c.settings.Limits; !s.writePace.Moved(l.BodyMinRate, l.RateWindow, int(s.sent-before), now.Sub(s.writeSince)) {
				s.writeTimeout()
				return moved
			}
			s.writeSince = now
		}
		moved = true
		if s.out.size() == 0 {
			c.sendEnd(s)
			s.out.drop(c.worker.Loop)
			c.queue = slices.DeleteFunc(c.queue, func(q *Stream) bool { return q == s })
			s.out.queued = false
			s.writeSince = noTime
			c.flushed = append(c.flushed, s)
		}
	}
	return moved
}

// sendPending sends one frame of what waits.
func (s *Stream) sendPending() error {
	c, p := s.conn, &s.out
	switch {
	case len(p.copied) > 0:
		rest := p.copied
		p.copied = nil // so that what is left decides whether the frame is the last
		n := min(c.room(s.send), len(rest))
		if n < len(rest) {
			p.copied = rest[n:]
		}
		c.sendPiece(s, rest[:n])
	case len(p.stable) > 0:
		rest := p.stable
		p.stable = nil
		n := min(c.room(s.send), len(rest))
		if n < len(rest) {
			p.stable = rest[n:]
		}
		c.sendPiece(s, rest[:n])
	case p.left > 0:
		return s.sendFilePiece()
	}
	return nil
}

// sendFilePiece sends one frame of a file.
func (s *Stream) sendFilePiece() error {
	c, p := s.conn, &s.out
	n := int(min(int64(c.room(s.send)), p.left))
	if n == 0 || !s.inMemory(n) {
		return nil
	}
	c.grow(frameHeader + n)
	at := len(c.out) + frameHeader
	got, err := p.file.ReadAt(c.out[at:at+n:cap(c.out)], p.offset)
	if got < n {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	c.dataHeader(s, n, p.end && int64(n) == p.left)
	c.out = c.out[:at+n]
	p.offset += int64(n)
	p.left -= int64(n)
	return nil
}

// readAtOnce is how much of a file is read into memory at a time.
const readAtOnce = 1 << 20

// inMemory reports whether the next n bytes of the file can be read without waiting for the disk. If not, another goroutine reads them
// first.
func (s *Stream) inMemory(n int) bool {
	c, p := s.conn, &s.out
	switch {
	case p.offset+int64(n) <= p.cached:
		return true
	case netloop.InMemory(p.file, p.offset, n):
		p.cached = p.offset + int64(n)
		return true
	}
	size := int(min(p.left, readAtOnce))
	p.ahead = &readAhead{s, c, p.offset + int64(size)}
	c.worker.Loop.ReadAhead(p.file, p.offset, size, p.ahead)
	return false
}

// readAhead is the task that follows.
type readAhead struct {
	stream *Stream
	conn   *Conn
	end    int64 // offset of what is in memory
}

func (r *readAhead) Run() {
	if p := &r.stream.out; p.ahead == r { // else the stream has ended
		p.ahead, p.cached = nil, r.end
		r.conn.wake()
	}
}

// writeTimeout is called when the client has let a stream send too little for too long. One that takes nothing at all holds our memory, and loses its connection.
func (s *Stream) writeTimeout() {
	c := s.conn
	if limit := c.settings.Limits.BodyIdleTimeout; limit > 0 && c.worker.Loop.Now().Sub(c.progress) >= limit {
		c.flood("The client takes nothing.")
		return
	}
	s.fail(codeCalm, ErrSlowClient)
}
