package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"lb/filter"
)

// requestBody is the body of a request: none, kept whole so that it can be sent again, or streamed.
type requestBody struct {
	framed   bool  // the head announced a body, be it an empty one
	expected bool  // the client sends it only when it is told to (100-continue)
	streamed bool  // kept is not all of it, as far as is known
	passed   bool  // kept is not even the beginning any more: it grew beyond the limit
	whole    bool  // kept has become all of it
	spent    bool  // more of it has been read than kept
	length   int64 // as announced; -1: chunked
	stream   io.Reader
	kept     []byte  // its beginning
	limit    int64   // of kept
	err      error   // the client's side failed
	sent     int64   // of a streamed one: bytes that the backend has got
	buf      *[]byte // behind kept
	held     *held   // what lb holds beyond kept; nil: nothing
}

// withheld reports whether a body was announced to a backend and not even begun, since the response came before.
func (b *requestBody) withheld() bool { return b.streamed && !b.spent }

var (
	errBodyTimeout   = errors.New("the request body made no progress in time")
	errBodyMalformed = errors.New("the request body is malformed or ends early")
	errTrailer       = errors.New("the trailer section has more fields than allowed")
	errBodyShort     = errors.New("the client went away in the middle of its request body")
)

// promptly is how long, from a request's beginning, its body is waited for, so that it can be kept whole. One that
// takes longer is streamed: the backend may want to respond before its end.
const promptly = 20 * time.Millisecond

// readBody keeps the body of a request, so that it can be sent again, if it comes promptly and is not larger than
// limit. Else it keeps what has come, and leaves the rest to be streamed; all of it if the client sends it only if the
// backend wants it. Without a body there is nothing to wait with (RFC 9110 section 10.1.1), and one of no bytes is whole.
// false says that the client has its response.
func (x *Exchange) readBody(limit int64) bool {
	if !x.beginBody(limit) || x.body.expected || x.body.passed {
		return true
	}
	x.client.HurryBody(x.start.Add(promptly))
	err := x.collect(x.body.stream)
	x.client.HurryBody(time.Time{})
	if err != nil {
		x.refuseBody(err)
		return false
	}
	return true
}

// beginBody takes note of what the head says of the body, of which up to limit bytes are to be kept. It reports whether
// there is one, be it of no bytes if it is chunked.
func (x *Exchange) beginBody(limit int64) bool {
	x.body = requestBody{}
	r := x.Request
	if r.Length == 0 {
		x.body.framed = r.Announced
		return false
	}
	length := r.Length
	x.body = requestBody{framed: true, length: length, stream: x.client.Body(), expected: r.Continue, streamed: true, limit: limit}
	x.body.passed = length > limit || limit <= 0
	return true
}

// collect keeps what comes of the body before reading it fails with os.ErrDeadlineExceeded.
func (x *Exchange) collect(stream io.Reader) error {
	b := &x.body
	for b.streamed {
		room := b.room()
		if len(room) == 0 {
			return nil // it is chunked, and as large as it may be
		}
		n, err := stream.Read(room)
		b.kept = b.kept[:len(b.kept)+n]
		switch {
		case err == os.ErrDeadlineExceeded:
			return nil
		case err != nil && err != io.EOF:
			return err
		case !x.client.BodyPending():
			b.streamed = false
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

// room returns where more of the body can be kept; nothing if no more may be. What is announced is no reason to make
// room for it before it comes.
func (b *requestBody) room() []byte {
	if b.buf == nil {
		b.buf = newBuffer()
		b.kept = (*b.buf)[:copy(*b.buf, b.kept)]
	}
	most := int(b.limit)
	if b.length >= 0 {
		most = int(min(b.length, b.limit))
	}
	if n := len(b.kept); n == cap(b.kept) && n < most {
		if n < largeBuffer {
			b.buf = enlarge(b.buf)
		} else {
			larger := make([]byte, min(2*n, most))
			copy(larger, b.kept)
			*b.buf = larger
		}
		b.kept = (*b.buf)[:n]
	}
	return b.kept[len(b.kept):min(cap(b.kept), most)]
}

// rest gives back what room is not needed at present.
func (b *requestBody) rest() {
	if b.buf == nil || len(b.kept) >= smallBuffer {
		return
	}
	kept := bytes.Clone(b.kept)
	giveBack(b.buf)
	b.buf, b.kept = nil, kept
}

// keep takes note of the next piece of a body that is streamed.
func (b *requestBody) keep(piece []byte) {
	for len(piece) > 0 && !b.passed {
		room := b.room()
		n := copy(room, piece)
		b.kept, piece = b.kept[:len(b.kept)+n], piece[n:]
		b.passed = n == 0
	}
}

// regain makes the request one whose body is kept, if the upload of it, which must have been stopped, has kept it
// whole. It reports whether the request can be sent again.
func (f *Forward) regain(x *Exchange) bool {
	b := &x.body
	if b.spent && !b.again() && b.whole {
		b.streamed, b.spent, b.expected = false, false, false // what a 100 would ask for is here
		f.request(x)
	}
	return !b.spent
}

// releaseBody gives back what the body was kept in.
func (x *Exchange) releaseBody() {
	x.body.free()
	x.body = requestBody{}
}

// free gives back what the body is kept in, of which nothing is to be sent any more.
func (b *requestBody) free() {
	if b.buf != nil {
		giveBack(b.buf)
	}
	if b.held != nil {
		b.held.spool.close()
	}
	b.buf, b.kept, b.held = nil, nil, nil
}

// refuseBody responds for a request body that could not be read.
func (x *Exchange) refuseBody(err error) {
	if errors.Is(err, errSpool) {
		x.Fail(http.StatusInternalServerError, errSpool.Error(), err)
		return
	}
	r := filter.Refusal{Status: x.handler.bodyStatus(err), Close: true}
	switch r.Status {
	case 0:
		x.status, x.reason = statusClientGone, errBodyShort.Error()
		x.client.Abort()
		x.client.EndAfter()
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
