package listener

import (
	"container/list"
	"net/netip"
	"os"
	"time"

	"lb/http1"
	"lb/netloop"
)

// phase is what a connection does. What an event does in each phase:
//
//	            readable     failed     secured     timer
//	header      readHeader   end        -           end
//	silent      handshake    end        -           end
//	handshake   -            end *      beginHTTP   end
//	http        all events go to http1.Conn
//	closed      none comes
//
//	* a client that speaks plain HTTP gets a response that the port speaks https
type phase uint8

const (
	phaseHeader    phase = iota // waits for a PROXY header
	phaseSilent                 // waits for the first byte of a TLS handshake
	phaseHandshake              // netloop does it
	phaseHTTP
	phaseClosed
)

// conn is a client's connection.
type conn struct {
	netloop.Socket
	http1.Conn

	listener *Listener
	worker   *worker
	opening  *opening      // nil: HTTP has begun, or nothing comes before it
	lingerer *list.Element // of worker.lingerers; nil: it is not among them
	place    int32         // in worker.conns

	phase     phase
	counted   bool // in Set.addresses
	away      bool // in Set.away instead of Set.open
	lingering bool // it waits for the client to close
	announced bool // an upgraded one knows that it will be cut
}

// opening is what a connection needs before HTTP begins.
type opening struct {
	conn  *conn
	timer netloop.Timer
	until time.Time // when timer expires
	came  []byte    // of the PROXY header
}

// idleGrace is how long a connection that is between requests when it must end is given for a request that may be on its
// way, and a new one for its first byte. lastHead is how long what comes before a request may take then.
const (
	idleGrace = 250 * time.Millisecond
	lastHead  = time.Second
)

func newConn(l *Listener, w *worker, peer netip.AddrPort) *conn {
	c := &conn{listener: l, worker: w}
	c.Info = http1.Info{Peer: peer, Listener: l}
	return c
}

// begin does what comes first.
func (c *conn) begin() {
	l := c.listener
	if !l.options.ProxyProtocol {
		c.admit(nil)
		return
	}
	if !l.trusts(c.Info.Peer) {
		c.refuseHeader(errUntrustedPeer)
		return
	}
	c.phase = phaseHeader
	c.await()
	c.readHeader()
}

// admit lets the connection in, if its address may have another one. ahead came behind a PROXY header.
func (c *conn) admit(ahead []byte) {
	l, s := c.listener, c.listener.socket.set
	if n := l.limits.ConnectionsPerIP; n > 0 && c.Info.Peer.IsValid() {
		in, respond := s.addresses.enter(c, n)
		c.counted = in || respond
		if !in {
			s.metrics.rejected(reasonPerIP)
			c.away = true
			if s.turnAway() && respond && !l.TLS {
				c.refuse(http1.TooManyFromAddress)
			} else {
				c.end()
			}
			return
		}
	}
	if !l.TLS {
		c.beginHTTP(ahead)
		return
	}
	c.phase = phaseSilent
	c.await()
	if c.Socket.CanRead() { // no event will tell
		c.handshake()
	}
}

// await bounds the wait in the phases before HTTP.
func (c *conn) await() {
	o := c.opening
	if o == nil {
		o = &opening{conn: c}
		o.timer.Init(c.worker.Loop, o)
		c.opening = o
	}
	limit := c.listener.limits.HeaderTimeout
	if c.listener.ending() {
		limit = min(limit, lastHead)
	}
	c.bound(limit)
}

func (c *conn) bound(d time.Duration) {
	c.opening.until = c.worker.Loop.Now().Add(d)
	c.opening.timer.Reset(d)
}

// Expired ends a connection that takes too long before HTTP begins.
func (o *opening) Expired(*netloop.Timer) {
	if o.conn.phase == phaseHeader {
		o.conn.refuseHeader(os.ErrDeadlineExceeded)
	} else {
		o.conn.handshakeFailed(os.ErrDeadlineExceeded)
	}
}

// Ready implements netloop.Handler.
func (c *conn) Ready(ev netloop.Events) {
	switch c.phase {
	case phaseHTTP:
		c.Conn.Ready(ev)
	case phaseHeader:
		if ev&netloop.Failed != 0 {
			c.refuseHeader(c.Socket.Err())
			return
		}
		c.readHeader()
	case phaseSilent:
		if ev&netloop.Failed != 0 {
			c.handshakeFailed(c.Socket.Err())
		} else if ev&netloop.Readable != 0 {
			c.handshake()
		}
	case phaseHandshake:
		if ev&netloop.Failed != 0 {
			c.handshakeFailed(c.Socket.Err())
		} else if ev&netloop.Secured != 0 {
			c.secured()
		}
	}
}

// beginHTTP hands the connection to http1. ahead came already.
func (c *conn) beginHTTP(ahead []byte) {
	c.initHTTP(ahead)
	c.Conn.Run()
}

func (c *conn) initHTTP(ahead []byte) {
	c.forgetOpening()
	c.phase = phaseHTTP
	c.Conn.Init(&c.worker.Worker, &c.Socket, &c.listener.settings, c, c.Info, ahead)
}

func (c *conn) forgetOpening() {
	if c.opening != nil {
		c.opening.timer.Stop()
		c.opening = nil
	}
}

// refuse responds to whatever comes.
func (c *conn) refuse(r *http1.Refusal) {
	c.initHTTP(nil)
	c.Conn.Refuse(r)
}

// end closes a connection before HTTP has begun. What it counts in is left first: upon the end the client may connect again
// at once.
func (c *conn) end() {
	c.Closed()
	c.Socket.Close()
}

// cut ends the connection at once, whatever it does.
func (c *conn) cut() {
	if c.phase == phaseHTTP {
		c.Conn.Cut()
	} else {
		c.end()
	}
}

// Closed implements http1.Owner.
func (c *conn) Closed() {
	c.phase = phaseClosed
	c.forgetOpening()
	c.worker.remove(c)
	c.uncount()
}

// uncount takes the connection out of all counts.
func (c *conn) uncount() {
	s := c.listener.socket.set
	if c.counted {
		s.addresses.leave(c)
	}
	if c.away {
		s.away.Add(-1)
	} else {
		s.open.Add(-1)
	}
	c.listener.socket.leave()
}

// Retiring implements http1.Owner.
func (c *conn) Retiring() bool { return c.listener.retired.Load() || c.listener.ending() }

// Ending implements http1.Owner.
func (c *conn) Ending() bool { return c.listener.ending() }

// Linger implements http1.Owner.
func (c *conn) Linger() bool {
	if c.listener.ending() {
		return false
	}
	if c.away {
		return true // those have a bound of their own
	}
	c.lingering = true
	if c.counted {
		c.listener.socket.set.addresses.linger(c)
	}
	c.worker.linger(c)
	return true
}

// hurry leaves a connection without a whole request little time, since it must end.
func (c *conn) hurry() {
	switch {
	case c.phase == phaseHTTP:
		if !c.Conn.Idle() {
			c.Conn.End()
		}
	case c.phase != phaseClosed && c.opening.until.Sub(c.worker.Loop.Now()) > lastHead:
		c.bound(lastHead)
	}
}

// endIfSilent ends a connection that waits for a request, or for what comes before its first one, and has been given
// idleGrace.
func (c *conn) endIfSilent() {
	switch {
	case c.phase == phaseHTTP:
		if c.Conn.Idle() {
			c.Conn.End()
		}
	case c.phase == phaseHeader:
		if len(c.opening.came) == 0 {
			c.end()
		}
	case c.phase == phaseSilent:
		c.handshakeFailed(os.ErrDeadlineExceeded)
	}
}
