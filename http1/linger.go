package http1

import (
	"time"

	"lb/netloop"
)

const (
	lingerTime = 5 * time.Second // for the client to read a response that it may not expect, and close
	lingerIdle = time.Second     // between two reads meanwhile
	// dropLimit is how much of a body that the exchange has left is read to keep the connection.
	dropLimit = 256 << 10
	// dropAtOnce is how many reads are dropped before the other connections get their turn.
	dropAtOnce = 4
)

// finish is the orderly end, after the last response. A client that may still be sending is waited for: to close while bytes
// are unread resets the connection, and the response with it (RFC 9112 section 9.6).
func (c *Conn) finish() {
	c.held = nil
	if !c.linger || !c.owner.Linger() || c.socket.CloseWrite() != nil {
		c.close()
		return
	}
	c.phase = phaseLingering
	c.until = c.worker.Loop.Now().Add(lingerTime)
	c.startRead(lingerIdle)
}

// dropRest reads what the client still sends. It never has the caller go on.
func (c *Conn) dropRest() bool {
	now := c.worker.Loop.Now()
	for range dropAtOnce {
		_, err := c.socket.Read(c.worker.Loop.Scratch())
		switch {
		case err == netloop.ErrWouldBlock:
			c.startRead(min(lingerIdle, c.until.Sub(now)))
			return false
		case err != nil:
			c.close()
			return false
		}
	}
	if now.After(c.until) {
		c.close()
		return false
	}
	c.worker.Loop.Later((*run)(c))
	return false
}

// beginDrain drops what the client still sends of a body that nobody wants, so that the connection can go on.
func (c *Conn) beginDrain(b *body) {
	c.phase, c.linger = phaseDrain, true
	drain := *b
	c.drain = &drain
	c.startRead(c.settings.Limits.HeaderTimeout)
}

// dropBody reports whether to go on.
func (c *Conn) dropBody() bool {
	for range dropAtOnce {
		rest := c.held
		c.held = nil
		if len(rest) == 0 {
			buf := c.worker.Loop.Scratch()
			n, err := c.socket.Read(buf[:c.drain.most(len(buf))])
			if err == netloop.ErrWouldBlock {
				return false
			}
			if err != nil {
				c.close()
				return false
			}
			rest = buf[:n]
		}
		_, read, err := c.drain.decode(rest)
		switch {
		case err != nil || c.drain.payload > dropLimit:
			c.ended, c.phase, c.drain = true, phaseIdle, nil
			return true
		case c.drain.done:
			c.hold(rest[read:])
			c.phase, c.linger = phaseIdle, false
			c.drain = nil
			return true
		}
	}
	c.worker.Loop.Later((*run)(c))
	return false
}
