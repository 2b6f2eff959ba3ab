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

// verdict is what a probe found.
type verdict struct {
	failure    string // in words for a person; empty: it passed
	status     int    // of the answer; 0: there was none
	unresolved bool   // the backend's name could not be resolved
}

// The ways an answer can be wrong that are no error of the network.
var (
	errInterim = errors.New("more interim answers than a probe waits for")
	errHead    = errors.New("no end of the answer's head within 64 KiB")
)

// failed words an error of the network or of the answer's syntax.
func failed(deadline time.Time, err error, s *settings) verdict {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return verdict{failure: "cannot resolve " + dns.Name + ": " + dnsCause(dns), unresolved: true}
	}
	if outOfTime(deadline) {
		return verdict{failure: fmt.Sprintf("no answer within %v", s.Timeout)}
	}
	return verdict{failure: cause(err)}
}

func dnsCause(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "no such host"
	case err.IsTimeout:
		return "no answer from the resolver"
	}
	return err.Err
}

// outOfTime tells whether the probe's own timeout is over.
func outOfTime(deadline time.Time) bool { return !time.Now().Before(deadline) }

// cause words an error without addresses and ports, which change from probe to probe.
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
		return "connection closed before the answer"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &protocol) && protocol.Timeout():
		return "connecting took too long"
	case strings.HasPrefix(err.Error(), "malformed"), strings.HasPrefix(err.Error(), "net/http:"):
		return "no valid HTTP answer: " + err.Error()
	}
	return err.Error()
}

// errnoText words what probes meet every day; the rest is in the words of the system.
var errnoText = map[syscall.Errno]string{
	syscall.ECONNREFUSED: "connection refused",
	syscall.ECONNRESET:   "connection reset",
	syscall.EPIPE:        "connection reset",
	syscall.ENOENT:       "no such socket",
	syscall.EHOSTUNREACH: "no route to host",
	syscall.ENETUNREACH:  "network unreachable",
}

// lacks words that the body ended, or could not be read on, without the text that it must have.
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
