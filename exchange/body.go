package exchange

import (
	"errors"
	"io"
	"net/http"
	"time"

	"lb/filter"
	"lb/netloop"
)

// requestBody is the body of a request: none, kept whole so that it can be sent again, or streamed from the client.
type requestBody struct {
	announced bool  // the head announced a body, even if an empty one
	expected  bool  // the client sends it only when it is told to (100-continue)
	length    int64 // as announced; -1: only its end tells
	limit     int64 // of what is kept
	kept      []byte
	room      []byte // borrowed from the loop, or larger than it lends; kept lies in it
	whole     bool   // all of the body is kept, or held
	passed    bool   // what is kept is not even the beginning any more: the body grew beyond the limit
	read      int64  // bytes that have been read from the client
	held      *held  // what is held beyond kept; nil: nothing
	err       error  // the client's side failed
}

var (
	errBodyTimeout   = errors.New("the request body made no progress in time")
	errBodyMalformed = errors.New("the request body is malformed or ends early")
	errTrailer       = errors.New("the trailer section has more fields than allowed")
	errBodyShort     = errors.New("the client went away in the middle of its request body")
)

// promptly is how long, from a request's beginning, its body is waited for, so that it can be kept whole. One that
// takes longer is streamed: the backend may want to respond before its end.
const promptly = 20 * time.Millisecond

// beginBody takes note of what the head says of the body, of which up to limit bytes are to be kept. It reports whether
// there is one, even if it turns out to have no bytes.
func (x *Exchange) beginBody(limit int64) bool {
	r := x.Request
	x.body = requestBody{announced: r.Announced, length: r.Length, limit: limit, whole: r.Length == 0}
	if r.Length == 0 {
		return false
	}
	x.body.expected = r.Continue
	x.body.passed = limit <= 0 || r.Length > limit
	return true
}

// readBody reads the beginning of the body before a backend is asked: until it is whole, more than is kept, or not there within a
// moment; or, where bodies are held, until it is whole or more than may be held.
func (x *Exchange) readBody() {
	b := &x.body
	for !b.whole {
		if !x.holds && b.passed {
			break
		}
		piece, err := x.client.Read()
		if err == netloop.ErrWouldBlock {
			return // bodyTimeout, or more of it
		}
		if err != nil && err != io.EOF {
			x.refuseBody(err)
			return
		}
		x.keep(piece)
		b.whole = err == io.EOF && (!b.passed || x.holds && b.held.complete())
		if x.holds && !b.whole && (b.held.full() || err == io.EOF) {
			break
		}
		if err == io.EOF {
			break
		}
	}
	x.bodyRead()
}

// bodyTimeout is called when the body has not come promptly: the rest is streamed.
func (x *Exchange) bodyTimeout() { x.bodyRead() }

// bodyRead goes on when enough of the body is here.
func (x *Exchange) bodyRead() {
	x.wait(0)
	if x.holds {
		x.endHolding()
	}
	x.forward.choose(x)
}

// keep takes note of the next piece of the body, so that it can be sent again. Before a backend has been asked the piece is kept
// even if that is more than the limit, since nothing else has it.
func (x *Exchange) keep(piece []byte) {
	b := &x.body
	b.read += int64(len(piece))
	if x.holds && b.passed || x.holds && int64(len(b.kept)+len(piece)) > b.limit {
		b.passed = true
		x.hold(piece)
		return
	}
	if b.passed {
		return
	}
	if int64(len(b.kept)+len(piece)) > b.limit {
		b.passed = true
		if x.backend != nil {
			return
		}
	}
	if need := len(b.kept) + len(piece); need > cap(b.kept) {
		x.growKept(need)
	}
	b.kept = append(b.kept, piece...)
}

func (x *Exchange) growKept(need int) {
	b, l := &x.body, x.worker.Loop
	var room []byte
	if need <= netloop.LargeBuffer {
		room = l.Borrow(need)
	} else {
		room = make([]byte, int(max(int64(need), min(2*int64(need), b.limit))))
	}
	n := copy(room, b.kept)
	x.giveKept()
	b.room, b.kept = room, room[:n]
}

func (x *Exchange) giveKept() {
	b := &x.body
	if b.room != nil && cap(b.room) <= netloop.LargeBuffer {
		x.worker.Loop.Return(b.room)
	}
	b.room, b.kept = nil, nil
}

// freeBody gives back what the body is kept in, of which nothing is to be sent any more.
func (x *Exchange) freeBody() {
	x.giveKept()
	if x.body.held != nil {
		x.body.held.spool.close()
	}
	x.body.held = nil
}

// repeatable reports whether there is a whole request to be sent again.
func (b *requestBody) repeatable() bool { return b.whole || b.read == 0 || !b.passed }

// refuseBody responds for a request body that could not be read.
func (x *Exchange) refuseBody(err error) {
	if errors.Is(err, errSpool) {
		x.Fail(http.StatusInternalServerError, errSpool.Error(), err)
		return
	}
	r := filter.Refusal{Status: x.handler.bodyStatus(err), Close: true}
	switch r.Status {
	case 0:
		x.gone = err
		x.status, x.reason = statusClientGone, errBodyShort.Error()
		x.client.Abort()
		x.end()
		return
	case http.StatusRequestEntityTooLarge:
		r = *filter.LargeBody
	case http.StatusRequestTimeout:
		r.Rejected, err = "body_timeout", errBodyTimeout
	case http.StatusRequestHeaderFieldsTooLarge:
		r.Rejected, err = "header_fields", errTrailer
	case http.StatusBadRequest:
		r.Rejected, err = "bad_request", errBodyMalformed
	}
	if r.Reason == "" {
		r.Reason = err.Error()
	}
	x.refuse(&r)
}
