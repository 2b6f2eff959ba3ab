package http3

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"lb/internal/fieldsection"
	"lb/internal/pace"
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

const (
	pieceSize  = 16 << 10 // the most bytes of a piece of a body
	mostPieces = 2        // that wait for the loop; a third is being read, or used
)

// body is the body of a request, on its way from the goroutine of its stream to the loop. The client's window closes while nobody takes it.
type body struct {
	limit   int64  // 0: none
	length  int64  // as announced; -1: only its end tells
	tunnel  bool   // what comes is for a tunnel, without limits
	owes100 bool   // the client waits for 100 Continue; of the loop
	taken   int64  // bytes that the loop has read or dropped
	lent    []byte // what Read has returned; of the loop

	mu       sync.Mutex // guards what follows
	pieces   [][]byte
	free     [][]byte
	err      error // what follows the pieces; io.EOF: nothing
	trailers []message.Field
	waiting  bool          // Read has returned ErrWouldBlock
	stopped  bool          // nobody wants the rest
	room     chan struct{} // tells the goroutine that it may go on; nil: it does not wait
}

// begin prepares the body that a head announces.
func (b *body) begin(r *message.Request, limits *Limits, ended bool) {
	b.limit, b.length, b.owes100 = limits.BodySize, r.Length, r.Continue
	if b.tunnel = r.Upgrade != nil; b.tunnel {
		b.length, b.limit = -1, 0
	}
	switch {
	case ended:
		b.err = io.EOF
	case b.limit > 0 && b.length > b.limit:
		b.err = ErrBodyTooLarge
	}
}

// open reports whether there is more to be read from the client.
func (b *body) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == nil && !b.stopped
}

// complete reports whether all of the body has come.
func (b *body) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
}

// stop drops the rest.
func (b *body) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	b.pieces, b.free = nil, nil
	b.wake()
}

// wake has the goroutine go on. The caller holds mu.
func (b *body) wake() {
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
}

// readBody reads the body. It is a part of the goroutine of the stream.
func (s *Stream) readBody(r *reader) {
	b, limits := &s.body, &s.conn.settings.Limits
	var tempo pace.Pace
	left, got := uint64(0), int64(0) // bytes of the frame, and of the body
	for {
		p := b.buffer()
		if p == nil {
			return
		}
		began := time.Now()
		_ = s.quic.SetReadDeadline(s.bodyDeadline(began))
		n, err := s.readPiece(r, p, &left)
		got += int64(n)
		switch {
		case s.conn.fault(err):
			return // the end of the connection is that of the exchange
		case b.length >= 0 && (got > b.length || err == io.EOF && got < b.length), err == errMessage:
			s.conn.worker.Loop.Post(violation{s, codeMessage, ErrMalformed})
			return
		case b.limit > 0 && got > b.limit:
			err = ErrBodyTooLarge
		case errors.Is(err, os.ErrDeadlineExceeded),
			err == nil && !b.tunnel && !tempo.Moved(limits.BodyMinRate, limits.RateWindow, n, time.Since(began)):
			err = ErrBodyTimeout
		case err != nil && err != io.EOF && err != ErrTrailerFields:
			var reset *quic.StreamError
			if errors.As(err, &reset) && reset.Remote {
				s.conn.worker.Loop.Post(violation{s, codeRequestCancelled, ErrCancelled})
			}
			return
		}
		if s.arrived(p[:n], err); err != nil {
			return
		}
	}
}

// bodyDeadline is until when the client has to go on with a body, either way.
func (s *Stream) bodyDeadline(now time.Time) time.Time {
	if s.body.tunnel {
		return time.Time{}
	}
	return now.Add(s.conn.settings.Limits.BodyIdleTimeout)
}

// errMessage is the error of a message that is malformed.
var errMessage = errors.New("malformed message")

// readPiece reads more of the body, up to its end. left is how much of a frame has not been read.
func (s *Stream) readPiece(r *reader, p []byte, left *uint64) (int, error) {
	for *left == 0 {
		kind, length, err := r.nextOfMessage()
		switch {
		case err != nil:
			return 0, err
		case kind == frameHeaders && s.body.tunnel: // RFC 9114 section 4.4
			return 0, &connError{codeFrameUnexpected, "HEADERS in a tunnel"}
		case kind == frameHeaders:
			return 0, s.readTrailers(r, length)
		case length == 0:
			if err := r.idleFrame(); err != nil {
				return 0, err
			}
		default:
			r.idle, *left = 0, length
		}
	}
	n, err := r.Read(p[:min(uint64(len(p)), *left)])
	if *left -= uint64(n); *left == 0 && err == io.EOF {
		err = nil // the end of the stream is found again
	}
	return n, cutFrame(err)
}

// readTrailers reads the trailer section, and returns io.EOF if all is well.
func (s *Stream) readTrailers(r *reader, length uint64) error {
	if length > uint64(mostSection(&s.conn.settings.Limits)) {
		return ErrTrailerFields
	}
	var section fieldsection.Section
	if err := s.decode(r, length, &section, true); err != nil {
		return err
	}
	if _, _, err := r.nextOfMessage(); err == nil {
		return &connError{codeFrameUnexpected, "a frame behind the trailer section"}
	} else if err != io.EOF {
		return err
	}
	switch {
	case section.Fault != "":
		return errMessage
	case section.TooLarge() || section.TooMany():
		return ErrTrailerFields
	}
	b := &s.body
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range section.AppendFields(nil) {
		if !message.ForbiddenInTrailer(&f) {
			b.trailers = append(b.trailers, f)
		}
	}
	return io.EOF
}

// buffer returns room for the next piece, and waits while enough pieces are there. It returns nil if no more is wanted.
func (b *body) buffer() []byte {
	for {
		b.mu.Lock()
		if b.stopped {
			b.mu.Unlock()
			return nil
		}
		if len(b.pieces) < mostPieces {
			break
		}
		room := make(chan struct{})
		b.room = room
		b.mu.Unlock()
		<-room
	}
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		p := b.free[n-1]
		b.free = b.free[:n-1]
		return p[:cap(p)]
	}
	size := int64(pieceSize)
	if b.length >= 0 {
		size = min(size, b.length+1) // one more than it may have
	}
	return make([]byte, size)
}

// arrived gives the loop a piece, and what follows it.
func (s *Stream) arrived(p []byte, err error) {
	b := &s.body
	b.mu.Lock()
	if !b.stopped && len(p) > 0 {
		b.pieces = append(b.pieces, p)
	}
	if b.err == nil {
		b.err = err
	}
	wake := b.waiting && !b.stopped
	b.waiting = b.waiting && !wake
	b.mu.Unlock()
	if wake {
		s.conn.worker.Loop.Post((*bodyReady)(s))
	}
}

// bodyReady is a Stream as the task for more of its body.
type bodyReady Stream

func (t *bodyReady) Run() {
	switch s := (*Stream)(t); {
	case s.aborted || s.Exchange == nil:
	case s.tunnel != nil:
		s.tunnel.upgraded.ClientReady(netloop.Readable)
	default:
		s.Exchange.BodyReady()
	}
}

// Read returns the next piece of the request's body that has come, with io.EOF together with the last or alone. The piece is good until the
// next call of Read. With netloop.ErrWouldBlock, Exchange.BodyReady is called when more has come. Other errors, those above, stay.
func (s *Stream) Read() ([]byte, error) {
	b := &s.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.aborted {
		return nil, ErrClientDisconnected
	}
	b.giveLent()
	if len(b.pieces) > 0 {
		piece := b.pieces[0]
		b.pieces = b.pieces[:copy(b.pieces, b.pieces[1:])]
		b.lent = piece
		b.taken += int64(len(piece))
		b.wake()
		if len(b.pieces) == 0 && b.err == io.EOF {
			return piece, io.EOF
		}
		return piece, nil
	}
	if b.err != nil {
		return nil, b.err
	}
	b.waiting = true
	if b.owes100 {
		b.owes100 = false
		s.SendContinue()
	}
	return nil, netloop.ErrWouldBlock
}

// giveLent makes the last piece room for another one. The caller holds mu.
func (b *body) giveLent() {
	if b.lent != nil && !b.stopped {
		b.free = append(b.free, b.lent)
	}
	b.lent = nil
}

// BodyTooLarge reports whether the head announced a body over the limit, of which none will be read.
func (s *Stream) BodyTooLarge() bool { return s.body.limit > 0 && s.body.length > s.body.limit }

// BodyPending reports whether bytes of the request's body have not been read yet.
func (s *Stream) BodyPending() bool {
	b := &s.body
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == nil || len(b.pieces) > 0
}

// BodyBytes returns how many bytes of the body have been read.
func (s *Stream) BodyBytes() int64 { return s.body.taken }

// Trailers returns the trailer fields of a body that was read to its end, as far as they may be passed on; nil if there are none.
func (s *Stream) Trailers() []message.Field {
	s.body.mu.Lock()
	defer s.body.mu.Unlock()
	return s.body.trailers
}

// DropArrived drops what has come of the request's body. What still comes stays in the client's window until the exchange ends.
func (s *Stream) DropArrived() {
	b := &s.body
	b.mu.Lock()
	for _, p := range b.pieces {
		b.taken += int64(len(p))
	}
	b.mu.Unlock()
	b.stop()
}
