package http1

import (
	"errors"
	"io"
	"time"

	"lb/internal/pace"
	"lb/message"
	"lb/netloop"
)

// The errors of reading a request body, in addition to netloop.ErrWouldBlock and io.EOF.
var (
	ErrBodyTooLarge       = errors.New("the request body is larger than the limit")                  // respond with 413
	ErrBodyTimeout        = errors.New("the request body was not received in time")                  // respond with 408
	ErrBodyMalformed      = errors.New("the request body is not validly chunked")                    // respond with 400
	ErrBodyShort          = errors.New("the client closed its sending side within the request body") // it still reads: respond with 400
	ErrClientDisconnected = errors.New("the client disconnected")                                    // no response is possible
	ErrSlowClient         = errors.New("the client reads too slowly")
)

// body is the state of reading a request's body.
type body struct {
	left    int64 // bytes of a body with Content-Length still to be received
	limit   int64 // of payload; 0: none
	payload int64 // bytes of payload received so far
	framing int64 // bytes of chunk framing received so far
	chunked bool
	done    bool // the whole body has been received
	owes100 bool // the client waits for 100 (Continue)
	waiting bool // Read has returned ErrWouldBlock
	hungUp  bool // the client has closed its sending side within the body; see disconnect.go
	err     error
	since   time.Time // start of the current wait for the client; zero: not waiting
	pace    pace.Pace
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

// most returns how much of a buffer of that size to read into: not more than the rest of the body, if its length is known, so that the
// next request stays in the socket.
func (b *body) most(size int) int {
	if b.chunked {
		return size
	}
	return int(min(int64(size), b.left))
}

// Bounds on chunk framing: more would cost much work for little payload.
const (
	framingAllowed = 64 << 10 // trailers and extensions of a short body
	framingShare   = 8        // bytes of framing per byte of payload; chunks of one byte need 5
)

// decode moves the payload in p to p's start and returns its length. read is how much of p belongs to the body.
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

// Read returns the next piece of the request's body, without chunk framing. io.EOF comes with the last piece or after it. The piece is
// valid until anything else is called on the loop. If Read returns netloop.ErrWouldBlock, Exchange.BodyReady is called when there is more.
// Other errors, those above and ErrTrailerFields, are permanent.
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
		s.keepHead() // it may be in the scratch buffer, into which the body is read
		buf := c.worker.Loop.Scratch()
		n, err := c.socket.Read(buf[:b.most(len(buf))])
		if err != nil {
			return nil, s.readFailed(err)
		}
		if !b.since.IsZero() {
			c.stopRead()
			wait := c.worker.Loop.Now().Sub(b.since)
			b.since = time.Time{}
			if l := &c.settings.Limits; !b.pace.Moved(l.BodyMinRate, l.RateWindow, n, wait) {
				return nil, ErrBodyTimeout
			}
		}
		raw = buf[:n]
		payload, read, err := b.decode(raw)
		if read < n { // the next request must not be overwritten by others on the loop
			c.hold(raw[read:])
			s.rest = c.held
		}
		return raw[:payload], err
	}
	payload, read, err := b.decode(raw)
	s.rest = raw[read:]
	return raw[:payload], err
}

// readFailed returns the error of Read after reading from the socket failed with err.
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
		if b.hungUp { // it has been probed; see disconnect.go
			return ErrBodyShort
		}
		b.hungUp, b.waiting = true, true
		c.probe()
		c.startRead(probeAfter)
		return netloop.ErrWouldBlock
	}
	return ErrClientDisconnected
}

// readTimeout handles a timeout of the wait for the client.
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

// readable is called when there may be something to read from the client.
func (s *Stream) readable() {
	if s.body.waiting {
		s.body.waiting = false
		s.Exchange.BodyReady()
	}
}

// BodyTooLarge reports whether the head announced a body over the limit, which is not read.
func (s *Stream) BodyTooLarge() bool { return s.body.err == ErrBodyTooLarge && s.body.payload == 0 }

// BodyPending reports whether bytes of the request's body have not been read yet.
func (s *Stream) BodyPending() bool { return !s.body.done }

// BodyBytes returns how many bytes of the body have been read, without chunk framing.
func (s *Stream) BodyBytes() int64 { return s.body.payload }

// Trailers returns the trailer fields of a body that was read to its end, without those that must not be forwarded; nil if there are
// none.
func (s *Stream) Trailers() []message.Field {
	if !s.body.done || !s.body.chunked {
		return nil
	}
	return Trailers(s.body.chunks.Trailer(), s.head.Fields)
}

// smallBody is how much of a body DropArrived reads at most.
const smallBody = 64 << 10

// DropArrived discards what has been received of the request's body, if that is small, so that the connection can be reused after a
// response that does not depend on the body. It does not send 100 (Continue).
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
