package listener

import (
	"lb/http1"
	"lb/http2"
	"lb/netloop"
)

// awaitPreface waits for the bytes that distinguish HTTP/2 from HTTP/1 on a plain connection. ahead was received already.
func (c *conn) awaitPreface(ahead []byte) {
	c.phase = phasePreface
	c.await()
	c.opening.header = append(c.opening.header[:0], ahead...)
	c.readPreface()
}

// readPreface reads what there is until it is certain which of the two the client speaks.
func (c *conn) readPreface() {
	o := c.opening
	for {
		if may, certain := http2.IsPreface(o.header); !may {
			c.beginHTTP(o.header)
			return
		} else if certain {
			c.beginHTTP2(o.header)
			return
		}
		buffer := c.worker.Loop.Scratch()
		n, err := c.Socket.Read(buffer)
		switch {
		case err == netloop.ErrWouldBlock:
			return
		case err != nil:
			c.end()
			return
		}
		o.header = append(o.header, buffer[:n]...)
	}
}

// prefaceTimeout has http1 respond to a part of a head, and ends a connection that has sent nothing.
func (c *conn) prefaceTimeout() {
	if came := c.opening.header; len(came) > 0 {
		c.beginHTTP(came)
		return
	}
	c.end()
}

// beginHTTP2 hands the connection to http2. ahead came already.
func (c *conn) beginHTTP2(ahead []byte) {
	c.dropOpening()
	c.phase = phaseHTTP2
	c.http2 = &http2.Conn{}
	c.http2.Init(&c.worker.http2, &c.Socket, &c.listener.http2, c, &c.Info, ahead)
	c.http2.Run()
}

// endHTTP ends a connection that lingers.
func (c *conn) endHTTP() {
	if c.phase == phaseHTTP2 {
		c.http2.End()
	} else {
		c.Conn.End()
	}
}

// announceEnd notifies upgraded exchanges on the connection that it will be cut. It reports whether there is any.
func (c *conn) announceEnd() bool {
	switch c.phase {
	case phaseHTTP:
		return c.Conn.AnnounceEnd()
	case phaseHTTP2:
		return c.http2.AnnounceEnd()
	}
	return false
}

// http2Handler is a Set as the http2.Handler of its connections.
type http2Handler Set

func (h *http2Handler) Serve(s *http2.Stream) { (*h.handle2.Load())(s) }

func (h *http2Handler) Refused(c *http2.Conn, r *http2.Refusal) {
	(*handler)(h).note(c.Info.(*http1.Info).Peer, r.Status, r.Label, r.Reason)
	if refused := *h.refused2.Load(); refused != nil && r.Status != 0 {
		refused(c, r)
	}
}

func (h *http2Handler) Panicked(v any) { (*handler)(h).Panicked(v) }
