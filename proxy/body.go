package proxy

import (
	"errors"
	"io"
	"net/http"
	"time"

	"lb/filter"
	"lb/netloop"
)

// requestBody is the body of a request. It is kept so that it can be sent again, or streamed from the client.
type requestBody struct {
	announced bool   // the head announced a body, possibly an empty one
	expected  bool   // the client waits for 100 (Continue) before it sends the body
	length    int64  // as announced; -1: chunked
	limit     int64  // how much may be kept
	kept      []byte // the beginning of the body; in room
	room      []byte // borrowed from the loop, or allocated if larger than it lends
	whole     bool   // all of the body is in kept and held
	passed    bool   // the body exceeds the limit
	read      int64  // bytes read from the client
	lost      bool   // bytes were read that are neither in kept nor in held
	held      *held  // what is buffered beyond kept; nil: nothing
	err       error  // why the body could not be read
}

var (
	errBodyTimeout   = errors.New("the request body was not received in time")
	errBodyMalformed = errors.New("the request body is malformed or incomplete")
	errTrailer       = errors.New("the trailer section has more fields than allowed")
	errBodyShort     = errors.New("the client disconnected before it sent the whole request body")
)

// promptWait is how long to wait for the whole request body before a backend is chosen, so that the body can be kept for retries. A
// body that takes longer is streamed, since the backend may respond before its end.
const promptWait = 20 * time.Millisecond

// beginBody sets up the body according to the request head; up to limit bytes of it are kept. It reports whether there is a body,
// possibly an empty one.
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

// readBody reads the body before a backend is chosen: until it is complete, exceeds the limit, or takes longer than promptWait. If the
// route buffers requests, it reads until the body is complete or exceeds the buffer.
func (x *Exchange) readBody() {
	b := &x.body
	for !b.whole {
		if !x.holds && b.passed {
			break
		}
		piece, err := x.client.Read()
		if err == netloop.ErrWouldBlock {
			x.holdState()
			return // until more is received, or bodyTimeout
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

// bodyTimeout handles the end of promptWait: the rest of the body is streamed.
func (x *Exchange) bodyTimeout() { x.bodyRead() }

// bodyRead continues when enough of the body has been read.
func (x *Exchange) bodyRead() {
	x.wait(0)
	if x.holds {
		x.endHolding()
	}
	x.forward.choose(x)
}

// keep stores the next piece of the body so that it can be sent again. Before a backend has been chosen the piece is stored even
// if it exceeds the limit, since it has not been sent anywhere.
func (x *Exchange) keep(piece []byte) {
	b := &x.body
	b.read += int64(len(piece))
	if x.holds && b.passed || x.holds && int64(len(b.kept)+len(piece)) > b.limit {
		b.passed = true
		x.hold(piece)
		return
	}
	if !b.passed && int64(len(b.kept)+len(piece)) > b.limit {
		b.passed = true
		if x.backend == nil {
			x.store(piece)
			return
		}
	}
	if b.passed {
		b.lost = b.lost || len(piece) > 0
		return
	}
	x.store(piece)
}

// store appends a piece to kept.
func (x *Exchange) store(piece []byte) {
	b := &x.body
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

// freeBody releases the buffers of the body.
func (x *Exchange) freeBody() {
	x.giveKept()
	if x.body.held != nil {
		x.body.held.spool.close()
	}
	x.body.held = nil
}

// repeatable reports whether the request can be sent again from its beginning. Once some of it was sent, its body must not exceed the limit.
func (b *requestBody) repeatable(sent bool) bool {
	return !b.lost && (!sent || b.whole || b.read == 0 || !b.passed)
}

// refuseBody responds after the request body could not be read.
func (x *Exchange) refuseBody(err error) {
	if errors.Is(err, errSpool) {
		x.Fail(http.StatusInternalServerError, errSpool.Error(), err)
		return
	}
	if err == errBodyLarge {
		x.refuse(filter.LargeBody)
		return
	}
	r := filter.Refusal{Status: x.handler.bodyStatus(err), Close: true}
	switch r.Status {
	case 0:
		x.disconnected = err
		x.status, x.reason = statusClientDisconnected, errBodyShort.Error()
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
