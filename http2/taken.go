package http2

import "slices"

// awaitTaken has Exchange.Flushed called when the socket has taken enough of the output. Flow control does not apply to heads, so that this
// is the only bound to how many wait.
func (s *Stream) awaitTaken() {
	if c := s.conn; !slices.Contains(c.heads, s) {
		c.heads = append(c.heads, s)
		s.awaitWrite()
		c.wake()
	}
}

// taken reports whether the stream may go on after a frame that flow control does not apply to. If not, Exchange.Flushed follows.
func (s *Stream) taken() bool {
	if len(s.conn.out) <= mostOutput {
		return true
	}
	s.awaitTaken()
	return false
}

// headsTaken has the streams go on that wait for the socket, once the output is as small as it is without their heads.
func (c *Conn) headsTaken() {
	if len(c.out) > mostOutput {
		return
	}
	for _, s := range c.heads {
		if !s.out.queued {
			s.writeSince = noTime
			c.flushed = append(c.flushed, s)
		}
	}
	clear(c.heads)
	c.heads = c.heads[:0]
}
