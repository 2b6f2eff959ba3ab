package http3

import (
	"time"

	"github.com/quic-go/quic-go"

	"lb/netloop"
)

const (
	// awayPatience is how long requests that a client sent before it learnt of the end may be on their way.
	awayPatience = 250 * time.Millisecond
	// lingerStep is how long nothing must have been sent before a connection is closed whose last response may still be on its way.
	lingerStep = 500 * time.Millisecond
	// recently is how long after the end of a stream its last bytes may be on their way.
	recently = 5 * time.Second
)

// mostID is the id in the first of two GOAWAY frames, which no stream has (RFC 9114 section 5.2).
const mostID = 1<<62 - 4

// End ends the connection as soon as no request is in progress. The client is told, and requests that it sent before it learnt of that are
// served.
func (c *Conn) End() {
	if c.phase != phaseOpen {
		return
	}
	c.phase = phaseLeaving
	c.sendGoAway(mostID)
	c.timer.Reset(awayPatience)
}

// sayLast tells the client which streams are served. The connection ends with the last of them.
func (c *Conn) sayLast() {
	c.mu.Lock()
	c.last = true
	next := c.nextID
	c.mu.Unlock()
	c.phase = phaseLast
	c.sendGoAway(next)
	c.settle()
}

func (c *Conn) sendGoAway(id quic.StreamID) {
	if c.control != nil {
		_ = c.control.TryWriteAll(appendGoAway(nil, id)) // a client without room for it does not get it
	}
}

// linger waits for the client to get the end of the last response: to close the connection drops what is not acknowledged.
func (c *Conn) linger() {
	c.phase = phaseLingering
	if c.ended.IsZero() || c.worker.Loop.Now().Sub(c.ended) > recently {
		c.close(codeNo, "")
		return
	}
	c.lingering = c.quic.ConnectionStats().BytesSent
	c.timer.Reset(lingerStep)
}

// idle begins the time that a connection without streams has.
func (c *Conn) idle() { c.timer.Reset(c.settings.Limits.IdleTimeout) }

// timeout is a Conn as the handler of its timer.
type timeout Conn

func (t *timeout) Expired(*netloop.Timer) {
	c := (*Conn)(t)
	switch c.phase {
	case phaseOpen:
		if len(c.streams) == 0 && !c.readsHeads() { // else settle begins the time again
			c.End()
		}
	case phaseLeaving:
		c.sayLast()
	case phaseLingering:
		if c.quic.ConnectionStats().BytesSent == c.lingering {
			c.close(codeNo, "")
			return
		}
		c.linger()
	}
}

// Cut ends the connection at once, whatever it does.
func (c *Conn) Cut() { c.close(codeNo, "") }

// close closes the connection. Its streams fail when quic-go has done so.
func (c *Conn) close(code quic.ApplicationErrorCode, reason string) {
	if c.phase == phaseClosed {
		return
	}
	c.phase = phaseClosed
	c.timer.Stop()
	go func() { _ = c.quic.CloseWithError(code, reason) }() // it waits; Serve, which does the same, returns after it
}

// flood ends the connection of a client that costs too much.
func (c *Conn) flood(reason string) {
	if c.phase != phaseClosed {
		c.settings.Handler.Refused(c, &Refusal{Label: LabelFlood, Reason: reason})
		c.close(codeExcessiveLoad, reason)
	}
}

// credit bounds how many streams end early, by whatever side: they cost us much and a client little. It comes back with time, and with
// streams that come to their end.
type credit struct {
	resets int
	at     time.Time
}

const (
	mostResets      = 200
	resetsPerSecond = 20
)

func (c *credit) begin(now time.Time) { *c = credit{mostResets, now} }

// complete is for a stream that has come to its end.
func (c *credit) complete() { c.resets = min(c.resets+1, mostResets) }

// spendReset pays for a stream that ends early. It reports false if that was one too many, and the connection ends.
func (c *Conn) spendReset() bool {
	k, now := &c.credit, c.worker.Loop.Now()
	if seconds := int(min(now.Sub(k.at)/time.Second, 1000)); seconds > 0 {
		k.at = now
		k.resets = min(k.resets+seconds*resetsPerSecond, mostResets)
	}
	if k.resets--; k.resets < 0 {
		c.flood("Too many streams end early.")
		return false
	}
	return c.phase != phaseClosed
}
