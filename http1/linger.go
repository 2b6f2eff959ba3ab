package http1

import (
	"time"

	"lb/netloop"
)

const (
	lingerTime = 5 * time.Second // for the client to read an early response, and to close
	lingerIdle = time.Second     // between two reads meanwhile
	// dropLimit is how much of a body that the exchange has not read is discarded to keep the connection.
	dropLimit = 256 << 10
	// dropAtOnce is how many reads are discarded before other connections get their turn.
	dropAtOnce = 4
)

// finish closes the connection after the last response. If the client may still be sending, it does a lingering close: closing with
// unread bytes would send a reset, which can destroy the response (RFC 9112 section 9.6).
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

// dropRest discards what the client still sends during a lingering close. It always returns false.
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

// beginDrain starts to discard the rest of a body that the exchange has not read, so that the connection can be reused.
func (c *Conn) beginDrain(b *body) {
	c.phase, c.linger = phaseDrain, true
	drain := *b
	c.drain = &drain
	c.startRead(c.settings.Limits.HeaderTimeout)
}

// dropBody discards the rest of a body. It reports whether there is more to do.
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
