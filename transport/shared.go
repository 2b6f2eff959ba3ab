package transport

import (
	"errors"
	"slices"
	"time"

	"lb/http2"
	"lb/internal/proxyprotocol"
	"lb/netloop"
)

// shared is an HTTP/2 connection to a backend, which several exchanges of a loop share. Its Conn dials and has the socket.
type shared struct {
	http2.BackendConn
	conn    Conn
	settled bool // it can be used, or has ended
	idle    bool // counted in Client.idle
	posted  bool // a sharedTask is to run
	uses    int  // streams so far
}

const (
	// mostShared is how many HTTP/2 connections a loop has to a backend. If all are in full use, requests wait for a stream.
	mostShared = 32
	// firstMost is how many streams a connection is assumed to allow before its backend has said so.
	firstMost = 100
)

var (
	errNoHTTP2  = errors.New("the backend has not agreed to HTTP/2 in the TLS handshake (ALPN)")
	errNoStream = errors.New("all HTTP/2 connections to the backend are in full use")
	errSettings = errors.New("the backend has not sent the SETTINGS of HTTP/2 in time")
)

// stream returns a stream on the connection of the loop with the fewest streams. If there is none with room, it waits for one.
func (c *Client) stream(l *netloop.Loop, user User) (s *Stream, ready bool) {
	own := &c.loops[l.Index()]
	s = c.workers[l.Index()].takeStream()
	s.client, s.user = c, user
	h := own.freest(c.opt.MaxRequests)
	if h != nil && len(own.waiting) == 0 {
		s.attach(h)
		return s, true
	}
	own.waiting = append(own.waiting, s)
	if c.opt.Connect > 0 {
		s.timer.Reset(c.opt.Connect)
	}
	c.dialShared(l)
	return s, false
}

// freest returns the connection with the fewest streams that has room for another one; nil if there is none.
func (own *loopConns) freest(maxRequests int) (best *shared) {
	for _, h := range own.shared {
		if h.settled && h.Free() && !h.used(maxRequests) && (best == nil || h.Streams() < best.Streams()) {
			best = h
		}
	}
	return best
}

// used reports whether the connection has had as many requests as it may have; 0: there is no limit.
func (h *shared) used(maxRequests int) bool { return maxRequests > 0 && h.uses >= maxRequests }

// room returns how many streams the connections have room for.
func (own *loopConns) room(maxRequests int) (n int) {
	for _, h := range own.shared {
		if h.settled && h.Free() && !h.used(maxRequests) {
			n += h.Most() - h.Streams()
		}
	}
	return n
}

// dialShared dials another connection, unless those with room and those that are being dialed suffice for the exchanges that wait.
func (c *Client) dialShared(l *netloop.Loop) {
	own := &c.loops[l.Index()]
	if own.most == 0 {
		own.most = firstMost
	}
	if len(own.shared) >= mostShared || own.dialing*own.most+own.room(c.opt.MaxRequests) >= len(own.waiting) {
		return
	}
	h := &shared{}
	h.conn = Conn{client: c, worker: c.workers[l.Index()], loop: l}
	own.shared = append(own.shared, h)
	own.dialing++
	c.active.Add(1)
	h.conn.begin(h, false)
	h.conn.dial()
}

// own returns the connections of the loop.
func (h *shared) own() *loopConns { return &h.conn.client.loops[h.conn.loop.Index()] }

// Dialed implements User.
func (h *shared) Dialed(err *Error) {
	c := h.conn.client
	if err == nil {
		h.conn.state = connShared
		h.Init(h.conn.worker.backends(), &h.conn.Socket, c.limits, h)
		if left, limited := h.conn.timeLeft(); limited {
			h.conn.timer.Reset(left)
		}
		if state := h.conn.ConnectionState(); state != nil && state.NegotiatedProtocol != "h2" {
			h.Cut(&http2.Failure{Err: errNoHTTP2, Protocol: true})
			return
		}
		h.Ready(netloop.Readable) // there may be no further event for what was received
		return
	}
	h.left(err)
}

// ResponseReady implements User. The connection gets its events from Conn.Ready.
func (h *shared) ResponseReady() {}

// RequestFlushed implements User.
func (h *shared) RequestFlushed() {}

// DescribeClient implements User. Connections that clients share have no PROXY header.
func (h *shared) DescribeClient(*proxyprotocol.Connection) []byte { return nil }

// Settled implements http2.BackendOwner.
func (h *shared) Settled() {
	own := h.own()
	own.dialing--
	own.most = max(h.Most(), 1)
	h.settled = true
	h.conn.timer.Stop()
	h.StreamEnded()
}

// StreamEnded implements http2.BackendOwner.
func (h *shared) StreamEnded() {
	if !h.settled {
		return
	}
	if h.Streams() == 0 && !h.idle {
		h.idle = true
		h.conn.client.active.Add(-1)
		h.conn.client.idle.Add(1)
	}
	if !h.posted {
		h.posted = true
		h.conn.loop.Later((*sharedTask)(h))
	}
}

// sharedTask is a shared as a task, which passes streams to those that wait, and keeps or closes a connection that is idle.
type sharedTask shared

// Run implements netloop.Task.
func (t *sharedTask) Run() {
	h := (*shared)(t)
	h.posted = false
	h.conn.client.serve(h.conn.loop)
	if h.conn.state == connShared && h.idle {
		h.rest()
	}
}

// serve passes streams to the exchanges that wait.
func (c *Client) serve(l *netloop.Loop) {
	own := &c.loops[l.Index()]
	for len(own.waiting) > 0 {
		h := own.freest(c.opt.MaxRequests)
		if h == nil {
			c.dialShared(l)
			return
		}
		s := own.waiting[0]
		own.waiting = slices.Delete(own.waiting, 0, 1)
		s.timer.Stop()
		s.attach(h)
		s.user.Dialed(nil)
	}
}

// rest keeps an idle connection for some time, or closes it.
func (h *shared) rest() {
	c := h.conn.client
	if c.closed.Load() || h.Away() || h.used(c.opt.MaxRequests) || c.idle.Load() > int64(c.opt.MaxIdle) {
		h.Close()
		return
	}
	h.conn.idleSince = h.conn.loop.Now()
	if limit := c.opt.IdleTimeout; limit > 0 {
		h.conn.timer.Reset(limit)
	}
}

// busy takes the connection out of the idle ones.
func (h *shared) busy() {
	if h.idle {
		h.idle = false
		h.conn.client.idle.Add(-1)
		h.conn.client.active.Add(1)
	}
}

// expired is called by the timer of a connection that waits for SETTINGS, or is or was idle.
func (h *shared) expired(now time.Time) {
	limit := h.conn.client.opt.IdleTimeout
	switch {
	case !h.settled:
		h.Cut(&http2.Failure{Err: errSettings, TimedOut: true})
	case !h.idle || limit == 0:
	case now.Sub(h.conn.idleSince) < limit:
		h.conn.timer.Reset(limit - now.Sub(h.conn.idleSince))
	default:
		h.Close()
	}
}

// Closed implements http2.BackendOwner.
func (h *shared) Closed(f *http2.Failure) {
	c := h.conn.client
	var err *Error
	if !h.settled && f != nil {
		count(c.opt.Failed)
		err = &Error{Phase: Dial, Cause: causeOfFailure(f), Err: f.Err}
	}
	h.conn.closeUnused()
	h.left(err)
}

// left takes a connection that has ended off the list. err is why it could not be used; nil if it could.
func (h *shared) left(err *Error) {
	c, l, own := h.conn.client, h.conn.loop, h.own()
	if i := slices.Index(own.shared, h); i >= 0 {
		own.shared = slices.Delete(own.shared, i, i+1)
	}
	if !h.settled {
		own.dialing--
		h.settled = true
	}
	h.busy()
	c.active.Add(-1)
	switch {
	case len(own.waiting) == 0:
	case err == nil:
		l.Later(&serveTask{c, l})
	case !slices.ContainsFunc(own.shared, func(h *shared) bool { return !h.Away() }):
		waiting := own.waiting
		own.waiting = nil
		for i, s := range waiting {
			if waiting[i] = nil; s.client == c && s.link == nil { // else its exchange has ended because of another one
				s.timer.Stop()
				s.user.Dialed(err)
			}
		}
	}
}

// serveTask calls Client.serve later.
type serveTask struct {
	client *Client
	loop   *netloop.Loop
}

// Run implements netloop.Task.
func (t *serveTask) Run() { t.client.serve(t.loop) }

// closeShared closes the connections of the loop that have no streams.
func (c *Client) closeShared(l *netloop.Loop) {
	for _, h := range slices.Clone(c.loops[l.Index()].shared) {
		if h.idle {
			h.Close()
		}
	}
}

func causeOfFailure(f *http2.Failure) Cause {
	switch {
	case f.Protocol:
		return Protocol
	case f.TimedOut:
		return TimedOut
	}
	return Reset
}
