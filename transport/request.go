package transport

import (
	"lb/http1"
	"lb/message"
)

// Send sends a part of a request. The body is copied unless it is stable. It reports whether everything was written to the socket. It
// also returns true if the backend has closed the connection; a read then returns the response or the error.
func (c *Conn) Send(head, body []byte, stable bool) (flushed bool) {
	if c.sendErr != nil {
		return true
	}
	n, err := c.out.Write(&c.Socket, head, body, stable)
	c.noteWritten(n)
	if err != nil {
		c.writeFailed(err)
		return true
	}
	return !c.out.Pending()
}

func (c *Conn) noteWritten(n int) {
	c.wrote += int64(n)
}

func (c *Conn) flush() {
	n, err := c.out.Flush(&c.Socket)
	c.noteWritten(n)
	if err != nil {
		c.writeFailed(err)
	}
	if !c.out.Pending() {
		c.user.RequestFlushed()
	}
}

// writeFailed records that the request cannot be sent. Certainly nothing was sent if the very first write failed because the backend
// had already closed the connection.
func (c *Conn) writeFailed(err error) {
	c.out.Drop(c.loop)
	c.sendErr = c.checkStale(&Error{Phase: Write, Cause: causeOf(err), Sent: c.written() > c.before || !peerClosed(err), Reused: c.reused, Err: err})
}

// checkStale notes in the client if e is due to a stale connection, and returns e.
func (c *Conn) checkStale(e *Error) *Error {
	if e.StaleConn() {
		c.client.noteStale()
	}
	return e
}

// Begin sends the head of a request and the first piece of its body. With last set the piece is the whole rest of the body, and the trailer
// fields are sent after it. The piece is copied. Begin reports whether everything was written to the socket.
func (c *Conn) Begin(r *message.Request, piece []byte, last bool, trailers []message.Field) (flushed bool) {
	own := c.worker
	c.chunked = r.Length < 0
	b := http1.AppendRequest(own.out[:0], r)
	if c.chunked {
		b = http1.AppendChunk(b, piece, last, trailers)
	} else {
		b = append(b, piece...)
	}
	if cap(b) <= maxKeptOut {
		own.out = b[:0]
	}
	return c.Send(b, nil, false)
}

// maxKeptOut is the largest encoding buffer that a loop keeps.
const maxKeptOut = 64 << 10

// SendBody sends the next piece of the request's body in the same way.
func (c *Conn) SendBody(piece []byte, last bool, trailers []message.Field) (flushed bool) {
	if !c.chunked {
		if len(piece) == 0 {
			return !c.out.Pending()
		}
		return c.Send(nil, piece, false)
	}
	own := c.worker
	b := http1.AppendChunk(own.out[:0], piece, last, trailers)
	if cap(b) <= maxKeptOut {
		own.out = b[:0]
	}
	if len(b) == 0 {
		return !c.out.Pending()
	}
	return c.Send(b, nil, false)
}

// Pending reports whether some of what was sent has not been written to the socket yet.
func (c *Conn) Pending() bool { return c.out.Pending() }
