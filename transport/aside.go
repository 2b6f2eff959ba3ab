package transport

import "time"

// A backend that sends a body where there must be none does so some time after the head: most servers write the two by
// two system calls, between which another thread may run. On a kept connection the next client would take those bytes for
// its response. So a connection is set aside after a response without a body, and is used again only if nothing
// has come on it for a while.
const (
	// asideAnnounced is that while where the head announces a body, as in the response to HEAD: a backend that sends it
	// may have to make it first.
	asideAnnounced = 500 * time.Millisecond
	// asideNone is that while after a 204, a 304 without a length, and a response to HEAD of length 0. Those are frequent, and
	// each connection that is set aside is one more to be dialled.
	asideNone = 100 * time.Millisecond
)

// silence returns how long the connection has to stay silent after the response before it may be used again.
func (c *Conn) silence() time.Duration {
	h := &c.Head
	never := h.Status == 204 || h.Status == 304 // whatever the method
	switch {
	case c.framing != noBody:
		return 0
	case h.ContentLength == 0, never && h.ContentLength < 0 && !h.Chunked:
		return asideNone
	}
	return asideAnnounced
}

// setAside keeps a connection which is fit for another request if it stays silent until then. If there are too many it is
// reset: were it closed, its port would be lost for a minute (TIME-WAIT), and soon all of them.
func (c *Client) setAside(conn *Conn, until time.Duration) {
	conn.silentAt.Store(int64(until))
	if !conn.look.sees() || c.closed.Load() || c.idle.count.Load()+c.asideCount() >= int64(c.opt.MaxIdle) || !c.asides().push(conn) {
		conn.Abort()
		return
	}
	if c.closed.Load() {
		c.Close() // see keep
	}
}

// asides returns the connections that are set aside. They are made when the first is, since most backends have none.
func (c *Client) asides() *idleStack {
	if c.aside.Load() == nil {
		c.aside.CompareAndSwap(nil, newIdleStack(c.opt.MaxIdle))
	}
	return c.aside.Load()
}

func (c *Client) asideCount() int64 {
	if s := c.aside.Load(); s != nil {
		return s.count.Load()
	}
	return 0
}

// takeSilent returns a connection that has been set aside for long enough, if there is one. Whether anything has
// come on it the caller must find out.
func (c *Client) takeSilent() (found *Conn) {
	if c.asideCount() == 0 {
		return nil
	}
	s := c.aside.Load()
	now := int64(time.Since(c.start))
	s.sweep(func(conn *Conn) bool { return found == nil && conn.silentAt.Load() <= now }, func(conn *Conn) {
		if conn.silentAt.Load() <= now {
			found = conn
		} else if !s.push(conn) { // it was taken, used and set aside again since it was looked at
			conn.Abort()
		}
	})
	return found
}

// makeRoom ends connections that are set aside if with one more there would be more than the backend takes
// requests at a time: one that serves a connection per worker would not serve the next.
func (c *Client) makeRoom() {
	if c.opt.MaxConns == nil || c.asideCount() == 0 {
		return
	}
	limit := int64(c.opt.MaxConns())
	for limit > 0 && c.active.Load()+c.idle.count.Load()+c.asideCount() >= limit {
		conn := c.aside.Load().pop()
		if conn == nil {
			return
		}
		conn.Abort()
	}
}

// sweepAside closes those for which drop says so.
func (c *Client) sweepAside(drop func(*Conn) bool) {
	if s := c.aside.Load(); s != nil {
		s.sweep(drop, func(conn *Conn) { conn.nc.Close() })
	}
}
