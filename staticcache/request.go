package staticcache

import (
	"bytes"
	"errors"
	"net/http"
	"os"

	"lb/message"
)

// Allow lists the methods that Serve supports, for the Allow line of a 405.
const Allow = "GET, HEAD"

// ErrShrunk reports that a file became shorter than the length that its header had promised. The
// connection must be closed, since the response cannot be completed.
var ErrShrunk = errors.New("the file was shortened while it was being sent")

// Request is what a response depends on. The slices are read only during Serve. An absent header
// field is nil or empty; one in several lines is joined with commas.
type Request struct {
	Method []byte
	Path   []byte // percent-decoded, the route's prefix cut if so configured; not trusted
	Target []byte // as the client wrote it, query and prefix included: what a redirect is made of

	IfMatch, IfNoneMatch               []byte
	IfModifiedSince, IfUnmodifiedSince []byte
	Range, IfRange                     []byte
	AcceptEncoding                     []byte
	Accept                             []byte // for the form of a listing

	PartType string // Content-Type of each of several ranges; "": the file's
	Loop     int    // the index of the event loop, for counters; 0 if there is none
}

// Clone returns a copy that shares no bytes with r.
func (r *Request) Clone() *Request {
	return &Request{
		Method: bytes.Clone(r.Method), Path: bytes.Clone(r.Path), Target: bytes.Clone(r.Target),
		IfMatch: bytes.Clone(r.IfMatch), IfNoneMatch: bytes.Clone(r.IfNoneMatch),
		IfModifiedSince: bytes.Clone(r.IfModifiedSince), IfUnmodifiedSince: bytes.Clone(r.IfUnmodifiedSince),
		Range: bytes.Clone(r.Range), IfRange: bytes.Clone(r.IfRange), AcceptEncoding: bytes.Clone(r.AcceptEncoding), Accept: bytes.Clone(r.Accept),
		PartType: r.PartType, Loop: r.Loop,
	}
}

// ResponseWriter sends a response. Header has Content-Length where the response has one; Date and the like
// are the writer's to add. An error it returns is Serve's error.
//
// Header and parts are valid only during the call. A body passed to Respond never changes and may be
// kept. For HEAD and 304 the body is nil and Content-Length, if any, is that of the GET.
type ResponseWriter interface {
	Respond(status int, header []message.Field, body []byte) error
	// RespondFile sends length bytes of f from offset, by sendfile where it can.
	// The file is closed after it returns.
	RespondFile(status int, header []message.Field, f *os.File, offset, length int64) error
	// RespondParts sends one part after the other, of that length together.
	RespondParts(status int, header []message.Field, length int64, f *os.File, parts []Part) error
}

// Part is a part of a response: Bytes first, then Length bytes of the file from Offset.
type Part struct {
	Bytes          []byte
	Offset, Length int64
}

// Result says whether Serve has responded, or how the caller should.
type Result int

const (
	Served           Result = iota // Serve did, or failed to: see the error
	NotFound                       // nothing was sent; also for files whose existence must not be revealed
	Forbidden                      // nothing was sent; the file system denies access
	MethodNotAllowed               // nothing was sent; the methods are those of Allow
	Failed                         // nothing was sent; the error is the disk's or the system's
)

// Status returns the status with which the caller should respond; 0 for Served.
func (r Result) Status() int {
	switch r {
	case Served:
		return 0
	case NotFound:
		return http.StatusNotFound
	case Forbidden:
		return http.StatusForbidden
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed
	}
	return http.StatusInternalServerError
}
