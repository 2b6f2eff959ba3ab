package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"lb/http1"
)

// Phase is how far an exchange with a backend had come when it failed.
type Phase uint8

// The phases of an exchange.
const (
	Dial  Phase = iota // no connection yet, so nothing was sent
	Write              // writing the request
	Head               // waiting for, or reading, the response head
	Body               // reading the response's body
)

func (p Phase) String() string {
	return [...]string{"connect", "send the request", "read the response head", "read the response body"}[p]
}

// Cause is what went wrong.
type Cause uint8

// The causes of a failure.
const (
	Refused   Cause = iota // no connection could be made: refused, unreachable, name unknown, TLS failed
	Reset                  // the connection ended too early
	TimedOut               // no progress in time
	Protocol               // what came is no valid HTTP
	Exhausted              // no connection could be made for want of descriptors, ports or memory here
)

// Error is a failure on the backend's side. Whoever decides on a retry, a status
// or a metric reads its fields, never its text.
type Error struct {
	Phase Phase
	Cause Cause
	// Sent says that bytes of the request may have reached the backend; without it that is certain not to be so.
	Sent bool
	// Responded says that at least one byte of a response, other than 100 (Continue), came.
	Responded bool
	// Reused says that the connection had served a request before.
	Reused bool
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("cannot %s: %v", e.Phase, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Died reports whether a kept connection ended before there was a whole head of a response, be it that the
// backend had closed it before the request came or that it closed it then.
func (e *Error) Died() bool {
	return e.Reused && e.Cause == Reset && (e.Phase == Write || e.Phase == Head)
}

// The reasons why a response is refused beside those of package http1.
var (
	ErrHeadTooLarge = errors.New("the response head is larger than the pool's response_header_size")
	ErrTruncated    = errors.New("the response ended before its body did")
)

// Unfit reports whether a response was refused for what an application, or the request, put into its fields. It says
// nothing of the backend's health.
func (e *Error) Unfit() bool {
	for _, reason := range [...]error{ErrHeadTooLarge, http1.ErrManyFields, http1.ErrFieldValue} {
		if errors.Is(e.Err, reason) {
			return true
		}
	}
	return false
}

// exhausted reports whether a connection failed for want of something on this host, which says nothing of the backend.
func exhausted(err error) bool {
	for _, errno := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Brief is the cause in words without addresses and ports, to be the reason of a change of state.
func (e *Error) Brief() string {
	var errno syscall.Errno
	var dns *net.DNSError
	switch {
	case errors.As(e.Err, &dns):
		return "cannot resolve " + dns.Name
	case errors.As(e.Err, &errno):
		if errno == syscall.ENOENT {
			return "no such socket"
		}
		return errno.Error()
	}
	return e.Err.Error()
}

// causeOf sorts an I/O error.
func causeOf(err error) Cause {
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return TimedOut
	}
	return Reset
}

// refused reports whether a write failed because the peer had ended the connection.
func refused(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}

// unexpectedEOF gives the end of a connection in the middle of a message its name.
func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
