package http2

import (
	"io"
	"time"

	"lb/internal/fieldsection"
	"lb/message"
	"lb/netloop"
)

// What reading a request body can fail with, beside netloop.ErrWouldBlock and io.EOF at its end.
var (
	ErrBodyTooLarge       = fieldsection.ErrBodyTooLarge
	ErrBodyTimeout        = fieldsection.ErrBodyTimeout
	ErrTrailerFields      = fieldsection.ErrTrailerFields
	ErrMalformed          = fieldsection.ErrMalformed
	ErrCancelled          = fieldsection.ErrCancelled
	ErrClientDisconnected = fieldsection.ErrClientDisconnected
	ErrSlowClient         = fieldsection.ErrSlowClient
)

// body is what has come, and is still to come, of a request's body.
type body struct {
	length   int64 // as announced; -1: unknown before its end
	limit    int64 // 0: none
	got      int64 // bytes that came
	read     int64 // of them: that were read, or dropped
	ended    bool  // no more will come
	owes100  bool  // the client waits for 100 Continue
	waiting  bool  // Read has returned ErrWouldBlock
	dropped  bool  // the rest is not needed
	err      error
	direct   []byte  // came with the frame that is being read
	chunks   []chunk // came before and was not read
	lent     []byte  // what the last Read returned a piece of
	trailers []message.Field
}

// chunk is a lent buffer, and what of it is a body.
type chunk struct {
	buffer []byte
	from   int
	to     int
}

// begin makes the stream ready for the body that its head announces.
func (s *Stream) beginBody(ended bool) {
	limits := &s.conn.settings.Limits
	b := &s.body
	*b = body{length: s.request.Length, limit: limits.BodySize, ended: ended, owes100: s.request.Continue, chunks: b.chunks[:0]}
	if s.request.Upgrade != nil { // what comes is for the tunnel
		b.length, b.limit = -1, 0
	}
	if b.limit > 0 && b.length > b.limit {
		b.err = ErrBodyTooLarge
	}
}

// arrived takes a piece of the body that came with a frame, the last one if last is set.
func (s *Stream) arrived(p []byte, last bool) {
	b, c := &s.body, s.conn
	b.got += int64(len(p))
	b.owes100 = false
	if b.length >= 0 && (b.got > b.length || last && b.got < b.length) {
		s.violated()
		return
	}
	b.ended = last
	if !s.readSince.IsZero() {
		wait := c.worker.Loop.Now().Sub(s.readSince)
		s.readSince = time.Time{}
		if l := &c.settings.Limits; !s.readPace.Moved(l.BodyMinRate, l.RateWindow, len(p), wait) {
			b.err = ErrBodyTimeout
		}
	}
	if b.limit > 0 && b.got > b.limit && b.err == nil {
		b.err = ErrBodyTooLarge
	}
	if b.dropped || b.err != nil { // the stream's window stays as it is
		s.recv.unread -= int64(len(p))
		c.consume(len(p))
		p = nil
	}
	b.direct = p
	id := s.id
	if s.tunnel != nil {
		s.tunnel.readable()
	} else if b.waiting {
		b.waiting = false
		s.Exchange.BodyReady()
	}
	if s.conn == c && s.id == id && len(s.body.direct) > 0 {
		s.body.store(c.worker.Loop)
	}
}

// store keeps what is left of direct beyond the present event.
func (b *body) store(l *netloop.Loop) {
	p := b.direct
	b.direct = nil
	if n := len(b.chunks); n > 0 {
		last := &b.chunks[n-1]
		k := copy(last.buffer[last.to:], p)
		last.to += k
		p = p[k:]
	}
	if len(p) > 0 {
		size := len(p)
		if len(b.chunks) > 0 { // more is to be expected
			size = netloop.LargeBuffer
		}
		buffer := l.Borrow(size)
		b.chunks = append(b.chunks, chunk{buffer, 0, copy(buffer, p)})
	}
}

// drop releases the buffers of what will not be read.
func (b *body) drop(l *netloop.Loop) {
	b.giveLent(l)
	for i := range b.chunks {
		l.Return(b.chunks[i].buffer)
		b.chunks[i] = chunk{}
	}
	b.chunks, b.direct = b.chunks[:0], nil
	b.dropped = true
}

func (b *body) giveLent(l *netloop.Loop) {
	if b.lent != nil {
		l.Return(b.lent)
		b.lent = nil
	}
}

// next returns the next piece that has come, nil if there is none. It is good until the next call of next.
func (b *body) next() (piece []byte) {
	switch {
	case len(b.chunks) > 0:
		first := b.chunks[0]
		piece, b.lent = first.buffer[first.from:first.to], first.buffer
		n := copy(b.chunks, b.chunks[1:])
		b.chunks[n] = chunk{}
		b.chunks = b.chunks[:n]
	case len(b.direct) > 0:
		piece, b.direct = b.direct, nil
	}
	b.read += int64(len(piece))
	return piece
}

// whole reports whether all has come and was read.
func (b *body) whole() bool { return b.ended && len(b.chunks) == 0 && len(b.direct) == 0 }

// Read returns the next piece of the request's body that has come, with io.EOF together with the last or alone. The piece is good until the
// next call of anything on the loop. With netloop.ErrWouldBlock, Exchange.BodyReady is called when more has come. Other errors, those above, stay.
func (s *Stream) Read() ([]byte, error) {
	b := &s.body
	b.waiting = false
	b.giveLent(s.conn.worker.Loop)
	switch {
	case b.err != nil:
		return nil, b.err
	case s.aborted:
		return nil, ErrClientDisconnected
	}
	piece := b.next()
	if len(piece) == 0 && !b.ended {
		b.waiting = true
		if b.owes100 {
			b.owes100 = false
			s.SendContinue()
		}
		s.awaitBody()
		return nil, netloop.ErrWouldBlock
	}
	s.consume(len(piece))
	if b.whole() {
		return piece, io.EOF
	}
	return piece, nil
}

// awaitBody bounds the wait for more of the body.
func (s *Stream) awaitBody() {
	if s.readSince.IsZero() && s.tunnel == nil {
		s.readSince = s.conn.worker.Loop.Now()
		s.startTimer(s.conn.settings.Limits.BodyIdleTimeout)
	}
}

// bodyTimeout is called when the body has been waited for too long.
func (s *Stream) bodyTimeout() {
	b := &s.body
	if !b.waiting {
		return
	}
	b.waiting = false
	b.err = ErrBodyTimeout
	s.Exchange.BodyReady()
}

// BodyTooLarge reports whether the head announced a body over the limit, of which none will be read.
func (s *Stream) BodyTooLarge() bool { return s.body.err == ErrBodyTooLarge && s.body.got == 0 }

// BodyPending reports whether bytes of the request's body have not been read yet.
func (s *Stream) BodyPending() bool { return !s.body.ended || s.body.read < s.body.got }

// BodyBytes returns how many bytes of the body have been read.
func (s *Stream) BodyBytes() int64 { return s.body.read }

// Trailers returns the trailer fields of a body that was read to its end, as far as they may be passed on; nil if there are none.
func (s *Stream) Trailers() []message.Field { return s.body.trailers }

// DropArrived drops what has come of the request's body, and what still comes, which ends when the client's window does.
func (s *Stream) DropArrived() {
	b := &s.body
	for _, ch := range b.chunks {
		b.read += int64(ch.to - ch.from)
	}
	b.read += int64(len(b.direct))
	b.drop(s.conn.worker.Loop)
	if n := int(s.recv.unread); n > 0 {
		s.recv.unread = 0
		s.conn.consume(n)
	}
}
