package front

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"lb/http1"
	"lb/internal/dormant"
	"lb/internal/progress"
	"lb/message"
)

// What reading a request body can fail with, to be found with errors.Is.
var (
	ErrBodyTooLarge  = errors.New("request body over the limit")                   // respond with 413
	ErrBodyTimeout   = errors.New("request body stalled")                          // respond with 408
	ErrBodyMalformed = errors.New("request body is not validly chunked")           // respond with 400
	ErrTrailerFields = errors.New("request trailer section has too many fields")   // respond with 431
	ErrBodyShort     = errors.New("request body ended early")                      // the client still reads: respond with 400
	ErrClientGone    = errors.New("client closed the connection within a request") // nobody is left to respond
	ErrBodyStopped   = errors.New("request body is not wanted any more")           // after StopBody
)

// requestBody reads the body of the present request, without its chunk framing.
type requestBody struct {
	c       *Conn
	left    int64 // of a body with a Content-Length
	limit   int64 // of payload; 0: none
	payload int64 // received so far
	framing int64 // bytes of chunk framing received so far
	chunked bool
	owes100 bool // the client waits for 100 Continue
	done    atomic.Bool
	stopped atomic.Bool // by StopBody
	paused  atomic.Bool // by PauseBody
	err     error       // sticky
	until   time.Time   // set: no read waits longer than this
	hurry   time.Time   // see HurryBody
	since   time.Time   // that a read waits for more; zero: none does
	pace    progress.Pace
	chunks  http1.ChunkDecoder
}

func (b *requestBody) begin(r *message.Request, limit int64) {
	b.left, b.limit, b.payload, b.framing = max(r.Length, 0), limit, 0, 0
	b.chunked, b.owes100 = r.Length < 0, r.Continue
	b.done.Store(r.Length == 0)
	b.stopped.Store(false)
	b.paused.Store(false)
	b.err, b.until, b.hurry, b.since = nil, time.Time{}, time.Time{}, time.Time{}
	if limit > 0 && b.left > limit {
		b.err = ErrBodyTooLarge
	}
	b.pace.Begin()
	if b.chunked {
		b.chunks.Reset(b.c.listener.limits.HeaderFields)
	}
}

// pending reports whether some of the body has not been received.
func (b *requestBody) pending() bool { return !b.done.Load() }

// Read is io.Reader's.
func (b *requestBody) Read(p []byte) (int, error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.done.Load():
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := b.read(p)
	b.payload += int64(n)
	if err == nil && b.limit > 0 && b.payload > b.limit {
		err = ErrBodyTooLarge
	}
	if err != ErrBodyStopped && err != dormant.ErrPaused && (err != os.ErrDeadlineExceeded || b.hurry.IsZero()) {
		b.err = err
	}
	return n, err
}

func (b *requestBody) read(p []byte) (int, error) {
	if b.chunked {
		return b.readChunks(p)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.receive(p)
	b.left -= int64(n)
	if b.left == 0 {
		b.done.Store(true)
	}
	return n, err
}

// readChunks returns some payload, or io.EOF after the last chunk and the trailer section.
func (b *requestBody) readChunks(p []byte) (int, error) {
	c := b.c
	for {
		before := c.rest
		n, err := b.receive(p)
		payload, read, malformed := b.chunks.Decode(p[:n])
		b.framing += int64(read - payload)
		if malformed == http1.ErrTrailerFields {
			return payload, ErrTrailerFields
		}
		if malformed != nil || b.framing > framingAllowed+framingShare*(b.payload+int64(payload)) {
			return payload, ErrBodyMalformed
		}
		if b.chunks.Done() {
			b.done.Store(true)
			// What came beyond the body begins the next request.
			if len(before) > 0 {
				c.rest = before[read:]
			} else if read < n {
				c.rest = bytes.Clone(p[read:n])
			}
			if payload == 0 {
				return 0, io.EOF
			}
			return payload, nil
		}
		if payload > 0 || err != nil {
			return payload, err
		}
	}
}

// Chunk framing beyond these bounds makes us work for almost no payload.
const (
	framingAllowed = 64 << 10 // trailers and extensions of a short body
	framingShare   = 8        // bytes of framing for a byte of payload: chunks of one byte have 5
)

// receive reads once: what came in with the head, else from the client.
func (b *requestBody) receive(p []byte) (int, error) {
	c := b.c
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		b.owes100 = false
		return n, nil
	}
	if b.owes100 {
		b.owes100 = false
		if err := c.SendInterim(&continueResponse, false); err != nil {
			return 0, err
		}
	}
	if b.since.IsZero() {
		b.since = time.Now()
	}
	n, err := b.await(p)
	if err != dormant.ErrPaused && err != os.ErrDeadlineExceeded {
		b.since = time.Time{}
	}
	return n, err
}

// await reads once from the client. When it was paused it may be called again, as if nothing had been.
func (b *requestBody) await(p []byte) (int, error) {
	c := b.c
	for {
		if b.stopped.Load() {
			return 0, ErrBodyStopped
		}
		until, hurried := b.until, false
		if idle := c.listener.limits.BodyIdleTimeout; until.IsZero() && idle > 0 {
			until = b.since.Add(idle)
		}
		if !b.hurry.IsZero() && (until.IsZero() || b.hurry.Before(until)) {
			until, hurried = b.hurry, true
		}
		c.raw.SetReadDeadline(until)
		n, err := c.receive(p)
		switch {
		case n > 0 && !b.pace.Moved(n, time.Since(b.since)):
			return n, ErrBodyTimeout
		case n > 0:
			return n, nil
		case isInterrupt(err):
			if b.paused.CompareAndSwap(true, false) {
				return 0, dormant.ErrPaused
			}
		case isTimeout(err) && hurried:
			return 0, os.ErrDeadlineExceeded
		case isTimeout(err):
			return 0, ErrBodyTimeout
		case isEnd(err) && c.stillReads():
			return 0, ErrBodyShort
		case err != nil:
			return 0, fmt.Errorf("%w: %w", ErrClientGone, err)
		}
	}
}

func isEnd(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

var continueResponse = message.Response{Status: 100}

// Body returns what reads the body of the present request; nil if there is none.
func (c *Conn) Body() io.Reader {
	if r := c.Request(); r.Length == 0 {
		return nil
	}
	return &c.body
}

// StopBody makes the Read of the body that waits in another goroutine, and all later ones, fail with
// ErrBodyStopped, so that a handler that needs no more of it can wait for that goroutine and return.
func (c *Conn) StopBody() {
	c.body.stopped.Store(true)
	c.raw.InterruptRead()
}

// PauseBody makes the Read of the body that waits in another goroutine fail with dormant.ErrPaused, after which it can
// be read on and the limits of time count as if nothing had been.
func (c *Conn) PauseBody() {
	c.body.paused.Store(true)
	c.raw.InterruptRead()
}

// TakeBackPause reports true if no Read has met PauseBody, nor will.
func (c *Conn) TakeBackPause() bool { return c.body.paused.CompareAndSwap(true, false) }

// BodyTooLarge reports, before anything is read of the body, whether the head announced one over the limit. None of it
// will be read, and no 100 be sent.
func (c *Conn) BodyTooLarge() bool { return c.body.err == ErrBodyTooLarge }

// HurryBody makes a Read of the body that would wait beyond t fail with os.ErrDeadlineExceeded, after which it can be
// read on and the limits of time count as if nothing had been; from the zero time on reads wait as long as the limits allow.
func (c *Conn) HurryBody(t time.Time) { c.body.hurry = t }

// BodyPending reports whether bytes of the request's body have not been read yet. A response given
// while that is so should announce Connection: close.
func (c *Conn) BodyPending() bool { return c.body.pending() }

// BodyBytes returns the bytes of this request's body that were read, without chunk framing.
func (c *Conn) BodyBytes() int64 { return c.body.payload }

// Trailers returns the trailer fields of a body that was read to its end, as far as they may be passed on.
func (c *Conn) Trailers() []message.Field {
	if !c.body.chunked || !c.body.done.Load() {
		return nil
	}
	return http1.Trailers(c.body.chunks.Trailer(), c.Request().Fields)
}
