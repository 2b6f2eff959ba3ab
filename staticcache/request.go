package staticcache

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"lb/message"
)

// Allow lists the methods that Serve answers, for the Allow line of a 405.
const Allow = "GET, HEAD"

// ErrShrunk reports that a file became shorter than the length that its header had promised. The
// connection must be closed: nothing that follows would make the answer whole.
var ErrShrunk = errors.New("the file was shortened while it was being sent")

// Request is what an answer depends on. The slices are read only during Serve. An absent header
// field is nil or empty; one that came in several lines is joined with commas.
type Request struct {
	Method []byte
	Path   []byte // percent-decoded, the route's prefix cut if so configured; not trusted
	Target []byte // as the client wrote it, query and prefix included: what a redirect is made of

	IfMatch, IfNoneMatch               []byte
	IfModifiedSince, IfUnmodifiedSince []byte
	Range, IfRange                     []byte

	PartType string // Content-Type of each of several ranges; "": the file's
}

// ResponseWriter sends a response. Header has Content-Length where the response has one; Date and the like
// are the writer's to add. An error it returns is Serve's error.
//
// Header and parts are valid only during the call. A body passed to Respond never changes and may be
// kept. For HEAD and 304 the body is nil and Content-Length, if any, is that of the GET.
type ResponseWriter interface {
	Respond(status int, header []message.Field, body []byte) error
	// RespondFile sends length bytes of f from offset, by sendfile where it can; see CopyFile.
	// The file is closed after it returns.
	RespondFile(status int, header []message.Field, f *os.File, offset, length int64) error
	// RespondParts sends one part after the other, of that length together; see CopyParts.
	RespondParts(status int, header []message.Field, length int64, f *os.File, parts []Part) error
}

// Part is a stretch of an answer: Bytes first, then Length bytes of the file from Offset.
type Part struct {
	Bytes          []byte
	Offset, Length int64
}

// Result says who answers.
type Result int

const (
	Answered         Result = iota // Serve did, or failed to: see the error
	NotFound                       // nothing was sent; also for what may not be known to exist
	Forbidden                      // nothing was sent; the file system denies access
	MethodNotAllowed               // nothing was sent; the methods are those of Allow
	Failed                         // nothing was sent; the error says what the disk or the system lacked
)

// Status returns the status that the caller answers with; 0 for Answered.
func (r Result) Status() int {
	switch r {
	case Answered:
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

// CopyFile writes length bytes of f from offset to dst and returns how many it wrote: by sendfile if dst
// is a *net.TCPConn or *net.UnixConn. If the file ends early the error is ErrShrunk. A caller with
// a deadline for progress copies in pieces. It moves f's offset.
func CopyFile(dst io.Writer, f *os.File, offset, length int64) (int64, error) {
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return 0, fmt.Errorf("cannot read %q: %w", f.Name(), err)
	}
	n, err := io.Copy(dst, &io.LimitedReader{R: f, N: length})
	if err == nil && n < length {
		err = ErrShrunk
	}
	return n, err
}

// CopyParts writes parts of f to dst and returns how many bytes it wrote; f is nil if no part has a Length.
func CopyParts(dst io.Writer, f *os.File, parts []Part) (int64, error) {
	var written int64
	for _, p := range parts {
		n, err := dst.Write(p.Bytes)
		written += int64(n)
		if err != nil {
			return written, err
		}
		if p.Length == 0 {
			continue
		}
		m, err := CopyFile(dst, f, p.Offset, p.Length)
		written += m
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
