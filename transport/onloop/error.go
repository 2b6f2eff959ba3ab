package onloop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"lb/http1"
	"lb/transport"
)

// causeOf sorts an I/O error.
func causeOf(err error) transport.Cause {
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return transport.TimedOut
	}
	return transport.Reset
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

// exhausted reports whether a connection failed for want of something on this host, which says nothing of the backend.
func exhausted(err error) bool {
	for _, errno := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// implausible says why b cannot be the start of a response head, so that a backend which speaks
// something else, or ends its lines otherwise, is found out at once and not after the timeout. The first bytes, so many, were
// looked at before.
func implausible(b []byte, before int) error {
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
