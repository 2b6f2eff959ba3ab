package http1

import (
	"errors"
	"io"
	"time"

	"lb/message"
	"lb/netloop"
)

// What reading a request body can fail with, beside netloop.ErrWouldBlock and io.EOF at its end.
var (
	ErrBodyTooLarge  = errors.New("request body over the limit")                   // respond with 413
	ErrBodyTimeout   = errors.New("request body stalled")                          // respond with 408
	ErrBodyMalformed = errors.New("request body is not validly chunked")           // respond with 400
	ErrBodyShort     = errors.New("request body ended early")                      // the client still reads: respond with 400
	ErrClientGone    = errors.New("client closed the connection within a request") // nobody is left to respond to
	ErrSlowClient    = errors.New("client took too little of the response in time")
)

// body is what has come, and is still to come, of a request's body.
type body struct {
	left    int64 // of a body with a length
	limit   int64 // of payload; 0: none
	payload int64 // received so far
	framing int64 // bytes of chunk framing received so far
	chunked bool
	done    bool // all of it has been received
	owes100 bool // the client waits for 100 Continue
	waiting bool // Read has returned ErrWouldBlock
	hungUp  bool // the client has ended its stream within the body; see disconnect.go
	err     error
	since   time.Time // that the client is waited for; zero: it is not
	pace    pace
	chunks  ChunkDecoder
}

func (b *body) begin(h *RequestHead, limits *Limits) {
	chunks := b.chunks
	*b = body{left: max(h.Length, 0), limit: limits.BodySize, chunked: h.Length < 0, owes100: h.Continue, done: h.Length == 0}
	if b.limit > 0 && b.left > b.limit {
		b.err = ErrBodyTooLarge
	}
	if b.chunked {
		chunks.Reset(limits.HeaderFields)
		b.chunks = chunks
	}
}

// most returns how much of a buffer is to be read into: not more than the body has, where that is known, so that the next
// request stays in the socket.
func (b *body) most(size int) int {
	if b.chunked {
		return size
	}
	return int(min(int64(size), b.left))
}

// Chunk framing beyond these bounds makes us work for almost no payload.
const (
	framingAllowed = 64 << 10 // trailers and extensions of a short body
	framingShare   = 8        // bytes of framing for a byte of payload: chunks of one byte have 5
)

// decode cuts the payload out of what came, to whose start it is moved. read is how much of p belongs to the body.
func (b *body) decode(p []byte) (payload, read int, err error) {
	if b.chunked {
		payload, read, err = b.chunks.Decode(p)
		b.framing += int64(read - payload)
		b.done = b.chunks.Done()
	} else {
		payload = b.most(len(p))
		read = payload
		b.left -= int64(payload)
		b.done = b.left == 0
	}
	b.payload += int64(payload)
	switch {
	case err == ErrTrailerFields:
	case err != nil, b.framing > framingAllowed+framingShare*b.payload:
		err = ErrBodyMalformed
	case b.limit > 0 && b.payload > b.limit:
		err = ErrBodyTooLarge
	}
	return payload, read, err
}

// Read returns the next piece of the request's body that has come, without chunk framing, with io.EOF together with the last or alone.
// The piece is good until the next call of anything on the loop. With netloop.ErrWouldBlock, Exchange.BodyReady is called when more has come.
// Other errors, those above and ErrTrailerFields, stay.
func (s *Stream) Read() ([]byte, error) {
	b := &s.body
	b.waiting = false
	for {
		switch {
		case b.err != nil:
			return nil, b.err
		case b.done:
			return nil, io.EOF
		}
		piece, err := s.readOnce()
		if err != nil {
			if err != netloop.ErrWouldBlock {
				b.err = err
			}
			if len(piece) > 0 && err == netloop.ErrWouldBlock {
				return piece, nil
			}
			return piece, err
		}
		if b.done {
			return piece, io.EOF
		}
		if len(piece) > 0 {
			return piece, nil
		}
	}
}

func (s *Stream) readOnce() ([]byte, error) {
	b, c := &s.body, s.conn
	raw := s.rest
	if len(raw) > 0 {
		b.owes100 = false
		s.rest = nil
	} else {
		if b.owes100 {
			b.owes100 = false
			s.SendContinue()
		}
		s.keepHead() // it may lie where the body is going to
		buf := c.worker.Loop.Scratch()
		n, err := c.socket.Read(buf[:b.most(len(buf))])
		if err != nil {
			return nil, s.readFailed(err)
		}
		if !b.since.IsZero() {
			c.stopRead()
			wait := c.worker.Loop.Now().Sub(b.since)
			b.since = time.Time{}
			if !b.pace.moved(&c.settings.Limits, n, wait) {
				return nil, ErrBodyTimeout
			}
		}
		raw = buf[:n]
		payload, read, err := b.decode(raw)
		if read < n { // the next request, which others on the loop must not overwrite
			c.hold(raw[read:])
			s.rest = c.held
		}
		return raw[:payload], err
	}
	payload, read, err := b.decode(raw)
	s.rest = raw[read:]
	return raw[:payload], err
}

// readFailed returns what a Read of the body fails with after one of the socket has.
func (s *Stream) readFailed(err error) error {
	b, c := &s.body, s.conn
	switch {
	case err == netloop.ErrWouldBlock:
		b.waiting = true
		if b.since.IsZero() {
			b.since = c.worker.Loop.Now()
			c.startRead(c.settings.Limits.BodyIdleTimeout)
		}
		return err
	case (err == io.EOF || err == io.ErrUnexpectedEOF) && !s.response.begun:
		if b.hungUp { // it has been asked whether it is there; see disconnect.go
			return ErrBodyShort
		}
		b.hungUp, b.waiting = true, true
		c.probe()
		c.startRead(probeAfter)
		return netloop.ErrWouldBlock
	}
	return ErrClientGone
}

// readTimeout is called when the client has been waited for too long.
func (s *Stream) readTimeout() {
	b := &s.body
	switch {
	case !b.waiting:
		s.conn.probeLate()
		return
	case b.hungUp && s.response.probes == 1:
		s.conn.probe()
		s.conn.startRead(probeAfter)
		return
	case b.hungUp:
		b.err = ErrBodyShort
	default:
		b.err = ErrBodyTimeout
	}
	b.waiting = false
	s.Exchange.BodyReady()
}

// readable is called when something may have come from the client.
func (s *Stream) readable() {
	if s.body.waiting {
		s.body.waiting = false
		s.Exchange.BodyReady()
	}
}

// BodyTooLarge reports whether the head announced a body over the limit, of which none will be read.
func (s *Stream) BodyTooLarge() bool { return s.body.err == ErrBodyTooLarge && s.body.payload == 0 }

// BodyPending reports whether bytes of the request's body have not been read yet.
func (s *Stream) BodyPending() bool { return !s.body.done }

// BodyBytes returns how many bytes of the body have been read, without chunk framing.
func (s *Stream) BodyBytes() int64 { return s.body.payload }

// Trailers returns the trailer fields of a body that was read to its end, as far as they may be passed on; nil if there are none.
func (s *Stream) Trailers() []message.Field {
	if !s.body.done || !s.body.chunked {
		return nil
	}
	return Trailers(s.body.chunks.Trailer(), s.head.Fields)
}

// smallBody is the most of a body that DropArrived reads.
const smallBody = 64 << 10

// DropArrived reads what has come of the request's body, if that is small, and drops it, so that the connection can go on
// after a response that does not depend on it. It does not ask the client for it by a 100.
func (s *Stream) DropArrived() {
	b := &s.body
	if b.done || b.owes100 || b.left > smallBody || b.err != nil {
		return
	}
	for dropped := 0; dropped <= smallBody; {
		piece, err := s.readOnce()
		if dropped += len(piece); b.done || err != nil {
			s.conn.stopRead()
			b.waiting = false
			return
		}
	}
}

// pace finds out which client is too slow: in each Limits.RateWindow of time spent waiting for it, BodyMinRate bytes a second have
// to move. Time in which nothing waits for it does not count.
type pace struct {
	waited time.Duration // in this window
	bytes  int64
}

// moved takes note of n bytes that moved after a wait. It reports false if the client is too slow.
func (p *pace) moved(l *Limits, n int, wait time.Duration) bool {
	if l.BodyMinRate <= 0 {
		return true
	}
	p.bytes += int64(n)
	if p.waited += wait; p.waited < l.RateWindow {
		return true
	}
	enough := float64(p.bytes) >= float64(l.BodyMinRate)*p.waited.Seconds()
	p.waited, p.bytes = 0, 0
	return enough
}
