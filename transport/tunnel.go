package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"

	"lb/internal/progress"
)

// Stream is a connection whose sending half can be closed by itself.
type Stream = interface {
	net.Conn
	CloseWrite() error
}

// Tunnel returns the bytes that came behind a 101, and the connection itself without deadlines:
// both are the caller's from now on. Head is gone, and its buffer given back, since a tunnel may live
// for long. Done still has to be called, and closes the connection.
func (c *Conn) Tunnel() (unread []byte, stream Stream) {
	unread = append(unread, (*c.buf)[c.r:c.w]...)
	c.release()
	c.Head.Close = true
	c.nc.RenewRead(0)
	c.nc.RenewWrite(0)
	return unread, tunnel{&c.nc}
}

// Abort ends the connection so that the backend cannot take what it got for whole: a reset on TCP, no
// close_notify on TLS. Done still has to be called.
func (c *Conn) Abort() {
	nc := c.nc.Conn
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	if under, ok := nc.(*socket); ok {
		nc = under.Conn
	}
	if tcp, ok := nc.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	nc.Close()
}

type tunnel struct{ *progress.Conn }

func (t tunnel) CloseWrite() error {
	if half, ok := t.Conn.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// IsEOF reports whether err is the orderly end of a stream.
func IsEOF(err error) bool { return errors.Is(err, io.EOF) }
