package front

import (
	"time"

	"lb/internal/dormant"
)

// suspension is a request under way that waits without a goroutine.
type suspension struct {
	room   bool          // it waits for room to send, not for something to read
	other  *dormant.Conn // sleeps with the client's connection, and is waited for too, but not for room; nil: there is none
	resume func()
}

// CanSuspend reports whether Suspend may be called: the connection can be watched, its client has ended nothing, and it is
// not to end soon.
func (c *Conn) CanSuspend() bool {
	return !c.resident && !c.Draining() && !c.hungUp()
}

// Suspend has the present request wait without a goroutine. The handler must then return without a response, and what
// Request returned before is gone. Resume is called, in a goroutine of its own, when something can be read from the client or from
// other or, with room, when something can be sent to the client; when they have ended, or the client's time is over. It may
// call Suspend too. Other sleeps meanwhile. No Await may be in force.
func (c *Conn) Suspend(room bool, other *dormant.Conn, resume func()) {
	c.suspended, c.parks = &suspension{room, other, resume}, true
	c.keepRequest()
}

// resume goes on with a suspended request.
func (c *Conn) resume() {
	s := c.suspended
	c.suspended, c.parks = nil, false
	if s.other != nil {
		s.other.Wake()
	}
	defer c.listener.socket.front.settle(c)
	s.resume()
}

// suspendedUntil is when a suspended request goes on whatever happens; zero: never.
func (c *Conn) suspendedUntil() time.Time {
	idle, begin := c.listener.limits.BodyIdleTimeout, c.body.since
	if c.suspended.room {
		begin = c.raw.Stalled()
	}
	if idle <= 0 || begin.IsZero() {
		return time.Time{}
	}
	return begin.Add(idle)
}
