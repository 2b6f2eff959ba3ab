package front

import (
	"fmt"
	"runtime/debug"
)

// handle has the handler respond to the present request.
func (c *Conn) handle() {
	f := c.listener.socket.front
	defer f.settle(c)
	(*f.handler.Load())(c)
}

// settle ends a request, if it is not suspended: it makes up for a handler that panicked or did not respond.
func (f *Front) settle(c *Conn) {
	if r := recover(); r != nil {
		c.suspended, c.parks = nil, false
		f.metrics.panics.Inc()
		f.log.Error("handler panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		f.giveUp(c)
	} else if c.suspended != nil {
		return
	} else if !c.Responded() {
		f.log.Error("handler did not respond")
		f.giveUp(c)
	}
	if c.ended {
		c.linger = c.linger || c.body.pending()
	}
	c.forgetRequest()
}

// EndAfter has the connection end with the response to the present request.
func (c *Conn) EndAfter() { c.ended = true }

// giveUp responds with 500 if that can still be said, else breaks the response off.
func (f *Front) giveUp(c *Conn) {
	if c.Responded() {
		c.Abort()
		return
	}
	c.refuse(failed, preferencesOf(c.Request()))
}
