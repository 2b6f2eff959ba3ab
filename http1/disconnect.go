package http1

import (
	"time"

	"lb/netloop"
)

// A client that closes its sending side may have disconnected, or may still be reading: the two look the same until something is
// sent. So a probe is sent that makes no difference to a client that is still reading: before a response the start of the status
// line, which all responses share, and between two chunks a zero, which becomes the first digit of the next chunk's size (RFC 9112
// section 7.1). The host of a client that has disconnected responds with a reset.

// probeAfter is how long to wait before a client that has closed its sending side is probed.
const probeAfter = 40 * time.Millisecond

var leadingZero = []byte("0")

// checkDisconnect is called when the client of an exchange has closed its sending side. While its body is being read, Read detects
// that instead.
func (c *Conn) checkDisconnect() {
	if !c.stream.body.waiting {
		c.startRead(probeAfter)
	}
}

// probeLate is called when probeAfter is over.
func (c *Conn) probeLate() {
	if c.socket.HasHungUp() && !c.probe() {
		c.startRead(probeAfter)
	}
}

// probe sends the probe in two writes, a while apart: that the client has disconnected shows in an event after the first write or, if
// there is none, in the failure of the second. It returns true if the probe has been sent completely or cannot be sent any more, and
// false if it must be called again.
func (c *Conn) probe() bool {
	r := &c.stream.response
	piece := leadingZero
	switch {
	case !r.begun && r.probes == 0:
		piece = []byte(StatusLineStart[:firstProbe])
	case !r.begun && r.probes == 1:
		piece = []byte(StatusLineStart[firstProbe:])
	case r.probes > 1, r.framing != byChunks:
		return true
	case !r.betweenChunks || c.stream.out.Pending():
		return false
	}
	n, err := c.socket.Write(piece, nil)
	if err != nil && err != netloop.ErrWouldBlock {
		c.worker.Loop.Later((*breakNow)(c))
		return true
	}
	if n < len(piece) {
		return true // the socket is full: the write timeout applies
	}
	r.sent += int64(n)
	if r.begun {
		r.sized = true
	} else {
		c.early += uint8(n)
	}
	r.probes++
	return r.probes > 1
}

// firstProbe is how much of StatusLineStart is sent first: enough for clients that detect HTTP by their first read.
const firstProbe = len("HTTP/1.1")
