package http1

import (
	"time"

	"lb/netloop"
)

// A client that ends its stream may have gone, or only have no more to ask: the two look the same until something is sent.
// So something is sent that changes nothing for a client that is still there: before a response the start of its status
// line, which is the same for all of them, and between two chunks a zero, with which the size of the next one then begins
// (RFC 9112 section 7.1). The system of a client that has gone responds with a reset.

// probeAfter is how long a client that has ended its stream is left alone.
const probeAfter = 40 * time.Millisecond

var leadingZero = []byte("0")

// checkDisconnect is called when the client of an exchange has ended its stream. If bytes of its request are unread, who
// reads them finds the end.
func (c *Conn) checkDisconnect() {
	if !c.stream.body.waiting {
		c.startRead(probeAfter)
	}
}

// probeLate is called when a client that has ended its stream has been left alone for long enough.
func (c *Conn) probeLate() {
	if c.socket.HasHungUp() && !c.probe() {
		c.startRead(probeAfter)
	}
}

// probe sends what shows whether the client is there, by two writes, a while apart: a client that has gone is noticed by the event that
// follows the first or, where there is none, by the failure of the second. It reports whether that has been done, or will never be
// possible; else it is to be called again, since chunks may come yet.
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
		return true // it takes nothing: its time to read will end
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

// firstProbe is how much of StatusLineStart goes out first: enough for clients that judge by their first read whether they speak to HTTP.
const firstProbe = len("HTTP/1.1")
