package onloop

import (
	"lb/http1"
	"lb/message"
	"lb/transport"
)

// Send sends a part of a request; body is not copied where it is stable. It reports whether the socket has taken all. Where
// the backend has ended the connection it reports that too, and reads tell what came of it.
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

// writeFailed notes that the request cannot be sent. That nothing was sent is certain if the system refused to take the first
// byte because the backend had ended the connection before.
func (c *Conn) writeFailed(err error) {
	c.out.Drop(c.loop)
	c.sendErr = c.death(&transport.Error{Phase: transport.Write, Cause: causeOf(err), Sent: c.taken() > c.before || !refused(err), Reused: c.reused, Err: err})
}

// death has the set remember a kept connection that the backend ended.
func (c *Conn) death(e *transport.Error) *transport.Error {
	if e.Died() {
		c.set.noteDeath()
	}
	return e
}

// Begin sends the head of a request and a first piece of its body, with last all of it, upon which the trailer fields follow. The piece
// is copied. It reports whether the socket has taken all.
func (c *Conn) Begin(r *message.Request, piece []byte, last bool, trailers []message.Field) (flushed bool) {
	own := &c.set.loops[c.loop.Index()]
	c.chunked = r.Length < 0
	b := http1.AppendRequest(own.out[:0], r)
	if c.chunked {
		b = http1.AppendChunk(b, piece, last, trailers)
	} else {
		b = append(b, piece...)
	}
	if cap(b) <= outRoom {
		own.out = b[:0]
	}
	return c.Send(b, nil, false)
}

// outRoom is the most room for what is put together to be sent that a loop keeps.
const outRoom = 64 << 10

// SendBody sends the next piece of the request's body in the same way.
func (c *Conn) SendBody(piece []byte, last bool, trailers []message.Field) (flushed bool) {
	if !c.chunked {
		if len(piece) == 0 {
			return !c.out.Pending()
		}
		return c.Send(nil, piece, false)
	}
	own := &c.set.loops[c.loop.Index()]
	b := http1.AppendChunk(own.out[:0], piece, last, trailers)
	if cap(b) <= outRoom {
		own.out = b[:0]
	}
	if len(b) == 0 {
		return !c.out.Pending()
	}
	return c.Send(b, nil, false)
}

// Pending reports whether something that was sent has not been taken by the socket.
func (c *Conn) Pending() bool { return c.out.Pending() }
