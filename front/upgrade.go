package front

import (
	"net"
	"time"
)

// Stream is a connection that has left HTTP. Its deadlines are real ones.
type Stream interface {
	net.Conn
	CloseWrite() error // tells the client that nothing more comes
}

// Upgrade leaves HTTP, after the handler sent its 101, and moves the request as Suspend does: the returned stream reads what the client
// sent after its request, and carries no deadline. The handler relays until both sides are
// done and then returns; the connection ends with it, so the handler need not close the stream.
// Shutdown calls ending, if it is not nil, lastWords before it cuts the connection.
func (c *Conn) Upgrade(ending func()) Stream {
	c.ended, c.link.plain = true, true
	if ending != nil {
		c.beforeCut.Store(&ending)
	}
	c.body.done.Store(true)
	c.keepRequest()
	c.raw.SetDeadline(time.Time{})
	return (*stream)(c)
}

// stream is the Conn seen as plain bytes.
type stream Conn

func (s *stream) conn() *Conn { return (*Conn)(s) }

func (s *stream) Read(p []byte) (int, error) {
	c := s.conn()
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		c.body.payload += int64(n)
		return n, nil
	}
	for {
		n, err := c.receive(p)
		c.body.payload += int64(n)
		if n > 0 || !isInterrupt(err) {
			return n, err
		}
	}
}

func (s *stream) Write(p []byte) (n int, err error) {
	c := s.conn()
	if c.tls != nil {
		n, err = c.tls.Write(p)
	} else {
		n, err = c.raw.Write(p)
	}
	c.sent += int64(n)
	return n, err
}

func (s *stream) CloseWrite() error { return s.conn().closeWrite() }

// Close makes both directions fail; the connection itself goes when the handler returns.
func (s *stream) Close() error {
	return s.conn().raw.SetDeadline(time.Unix(1, 0))
}

func (s *stream) LocalAddr() net.Addr                { return s.conn().LocalAddr() }
func (s *stream) RemoteAddr() net.Addr               { return s.conn().raw.RemoteAddr() }
func (s *stream) SetDeadline(t time.Time) error      { return s.conn().raw.SetDeadline(t) }
func (s *stream) SetReadDeadline(t time.Time) error  { return s.conn().raw.SetReadDeadline(t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.conn().raw.SetWriteDeadline(t) }
