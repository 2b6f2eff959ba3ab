package health

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// verdict is the result of a probe.
type verdict struct {
	failure    string // in words for a person; empty: it passed
	status     int    // of the response; 0: there was none
	unresolved bool   // the backend's name could not be resolved
}

// Responses that are wrong without a network error.
var (
	errInterim = errors.New("too many interim responses")
	errHead    = errors.New("the response head is larger than 64 KiB")
)

// failed describes a network error or an error in the syntax of the response.
func failed(deadline time.Time, err error, s *settings) verdict {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return verdict{failure: "cannot resolve " + dns.Name + ": " + dnsCause(dns), unresolved: true}
	}
	if outOfTime(deadline) {
		return verdict{failure: fmt.Sprintf("no response within %v", s.Timeout)}
	}
	return verdict{failure: cause(err)}
}

func dnsCause(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "no such host"
	case err.IsTimeout:
		return "no response from the resolver"
	}
	return err.Err
}

// outOfTime reports whether the probe's own timeout has passed.
func outOfTime(deadline time.Time) bool { return !time.Now().Before(deadline) }

// cause describes an error without addresses and ports, which differ between probes.
func cause(err error) string {
	var errno syscall.Errno
	var protocol net.Error
	switch {
	case errors.As(err, &errno):
		if text, ok := errnoText[errno]; ok {
			return text
		}
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return "connection closed before the response"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &protocol) && protocol.Timeout():
		return "connecting took too long"
	case strings.HasPrefix(err.Error(), "malformed"), strings.HasPrefix(err.Error(), "net/http:"):
		return "invalid HTTP response: " + err.Error()
	}
	return err.Error()
}

// errnoText describes the usual errors; others have the system's text.
var errnoText = map[syscall.Errno]string{
	syscall.ECONNREFUSED: "connection refused",
	syscall.ECONNRESET:   "connection reset",
	syscall.EPIPE:        "connection reset",
	syscall.ENOENT:       "no such socket",
	syscall.EHOSTUNREACH: "no route to host",
	syscall.ENETUNREACH:  "network unreachable",
}

// lacks describes a body that ended, or could not be read further, without the required text.
func lacks(deadline time.Time, err error, s *settings) string {
	reason := fmt.Sprintf("body lacks %q", s.Body)
	switch {
	case err == nil:
	case errors.Is(err, io.ErrUnexpectedEOF):
		reason += ": connection closed before its end"
	case outOfTime(deadline):
		reason += fmt.Sprintf(" within %v", s.Timeout)
	default:
		reason += ": " + cause(err)
	}
	return reason
}
