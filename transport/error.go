package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"lb/http1"
	"lb/http2"
)

// Phase is the step of an exchange with a backend that failed.
type Phase uint8

// The phases of an exchange.
const (
	Dial  Phase = iota // connecting; nothing was sent
	Write              // writing the request
	Head               // waiting for or reading the response head
	Body               // reading the response body
)

func (p Phase) String() string {
	return [...]string{"connect", "send the request", "read the response head", "read the response body"}[p]
}

// Cause is what went wrong.
type Cause uint8

// The causes of a failure.
const (
	Refused   Cause = iota // cannot connect: refused, unreachable, unknown name, failed TLS handshake
	Reset                  // the connection was closed or reset too early
	TimedOut               // no progress in time
	Protocol               // invalid HTTP
	Exhausted              // cannot connect: this host is out of descriptors, ports or memory
)

// Error is a failure on the backend's side. Decisions on retries, statuses and metrics are based on its fields, never on its text.
type Error struct {
	Phase Phase
	Cause Cause
	// Sent says that bytes of the request may have reached the backend. If it is false, certainly none have.
	Sent bool
	// Responded says that at least one byte of a response other than 100 (Continue) was received.
	Responded bool
	// Unprocessed says that the backend has said that it did not process the request (RFC 9113 section 8.7).
	Unprocessed bool
	// Reused says that the connection had served an earlier request.
	Reused bool
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("cannot %s: %v", e.Phase, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// StaleConn reports whether a reused connection was closed before the whole response head was received. The backend may have closed
// it before or after it received the request.
func (e *Error) StaleConn() bool {
	return e.Reused && e.Cause == Reset && (e.Phase == Write || e.Phase == Head)
}

// The reasons why a response is rejected, in addition to those of package http1.
var (
	ErrHeadTooLarge = errors.New("the response head is larger than the pool's response_header_size")
	// ErrNoWebSocket is for a backend that accepts no WebSocket over HTTP/2. Nothing was sent, and the backend is fine.
	ErrNoWebSocket = http2.ErrNoConnect
	ErrTruncated   = errors.New("the connection was closed before the end of the response body")
)

// Cancelled reports whether the backend has ended a stream of HTTP/2 with CANCEL.
func (e *Error) Cancelled() bool { return http2.IsCancel(e.Err) }

// Unfit reports whether a response was rejected because of the content of its fields, which the application or the request determines.
// It says nothing about the backend's health.
func (e *Error) Unfit() bool {
	for _, reason := range [...]error{ErrHeadTooLarge, http1.ErrManyFields, http1.ErrFieldValue} {
		if errors.Is(e.Err, reason) {
			return true
		}
	}
	return false
}

// exhausted reports whether a connection failed because this host lacks a resource, which says nothing about the backend.
func exhausted(err error) bool {
	for _, errno := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Brief returns the cause without addresses and ports, as the reason for a change of state.
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

// causeOf classifies an I/O error.
func causeOf(err error) Cause {
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return TimedOut
	}
	return Reset
}

// peerClosed reports whether a write failed because the peer had closed or reset the connection.
func peerClosed(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}

// unexpectedEOF replaces io.EOF in the middle of a message by io.ErrUnexpectedEOF.
func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// checkHeadStart returns an error if b cannot be the start of a response head, so that a backend that speaks another protocol, or
// ends its lines without CR, is detected at once and not after a timeout. before is how many bytes of b were checked earlier.
func checkHeadStart(b []byte, before int) error {
	const start = "HTTP/1."
	n := min(len(b), len(start))
	if string(b[:n]) != start[:n] {
		return http1.StatusLineError(b)
	}
	for at := before; ; at++ {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return nil
		}
		if at += i; b[at-1] != '\r' {
			return http1.ErrStatusLine
		}
	}
}
