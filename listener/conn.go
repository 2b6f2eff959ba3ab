package listener

import (
	"container/list"
	"net/netip"
	"os"
	"time"

	"lb/http1"
	"lb/http2"
	"lb/netloop"
)

// phase is the phase of a connection. What an event does in each phase:
//
//	            readable     failed     secured     timer
//	header      readHeader   end        -           end
//	silent      handshake    end        -           end
//	handshake   -            end *      beginHTTP   end
//	preface     readPreface  end        -           beginHTTP
//	http        all events go to http1.Conn
//	http2       all events go to http2.Conn
//	closed      no events
//
//	* a client that speaks plain HTTP gets a response that the port requires https
type phase uint8

const (
	phaseHeader    phase = iota // waits for a PROXY header
	phaseSilent                 // waits for the first byte of a TLS handshake
	phaseHandshake              // a TLS handshake is in progress
	phasePreface                // waits for the bytes that distinguish HTTP/2 from HTTP/1
	phaseHTTP
	phaseHTTP2
	phaseClosed
)

// conn is a client's connection.
type conn struct {
	netloop.Socket
	http1.Conn

	listener *Listener
	worker   *worker
	http2    *http2.Conn   // in phaseHTTP2
	opening  *opening      // nil: HTTP has begun, or begins at once
	lingerer *list.Element // of worker.lingerers; nil: not in the list
	place    int32         // in worker.conns

	phase     phase
	counted   bool // in Set.addresses
	refusing  bool // counted in Set.refusing instead of Set.open
	lingering bool // waits for the client to close
	announced bool // upgraded, and notified that it will be closed
}

// opening is the state of a connection before HTTP begins.
type opening struct {
	conn   *conn
	timer  netloop.Timer
	until  time.Time // when timer expires
	header []byte    // received part of the PROXY header, or of what may be the preface of HTTP/2
}

// idleGrace is how long, when connections must close, an idle one waits for a request that may be in transit, and a new one for its
// first byte. lastHead is how long a PROXY header, a TLS handshake or a request head may take then.
const (
	idleGrace = 250 * time.Millisecond
	lastHead  = time.Second
)

func newConn(l *Listener, w *worker, peer netip.AddrPort) *conn {
	c := &conn{listener: l, worker: w}
	c.Info = http1.Info{Peer: peer, Listener: l}
	return c
}

// begin starts with the PROXY header, TLS or HTTP.
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

// admit checks the limit of the client's address and continues with TLS or HTTP. ahead was received after a PROXY header.
func (c *conn) admit(ahead []byte) {
	l, s := c.listener, c.listener.socket.set
	if n := l.limits.ConnectionsPerIP; n > 0 && c.Info.Peer.IsValid() {
		in, respond := s.addresses.enter(c, n)
		c.counted = in || respond
		if !in {
			s.metrics.rejected(reasonPerIP)
			c.refusing = true
			if s.beginRefusing() && respond && !l.TLS {
				c.refuse(http1.TooManyFromAddress)
			} else {
				c.end()
			}
			return
		}
	}
	switch {
	case !l.TLS && l.options.HTTP2:
		c.awaitPreface(ahead)
		return
	case !l.TLS:
		c.beginHTTP(ahead)
		return
	}
	c.phase = phaseSilent
	c.await()
	if c.Socket.CanRead() { // there will be no further event
		c.handshake()
	}
}

// await sets the timeout of a phase before HTTP.
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

// Expired ends a connection that exceeds the timeout before HTTP begins.
func (o *opening) Expired(*netloop.Timer) {
	switch o.conn.phase {
	case phaseHeader:
		o.conn.refuseHeader(os.ErrDeadlineExceeded)
	case phasePreface:
		o.conn.prefaceTimeout()
	default:
		o.conn.handshakeFailed(os.ErrDeadlineExceeded)
	}
}

// Ready implements netloop.Handler.
func (c *conn) Ready(ev netloop.Events) {
	switch c.phase {
	case phaseHTTP:
		c.Conn.Ready(ev)
	case phaseHTTP2:
		c.http2.Ready(ev)
	case phasePreface:
		if ev&netloop.Failed != 0 {
			c.end()
			return
		}
		c.readPreface()
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

// beginHTTP passes the connection to http1. ahead was received already.
func (c *conn) beginHTTP(ahead []byte) {
	c.initHTTP(ahead)
	c.Conn.Run()
}

func (c *conn) initHTTP(ahead []byte) {
	c.dropOpening()
	c.phase = phaseHTTP
	c.Conn.Init(&c.worker.Worker, &c.Socket, &c.listener.settings, c, c.Info, ahead)
}

func (c *conn) dropOpening() {
	if c.opening != nil {
		c.opening.timer.Stop()
		c.opening = nil
	}
}

// refuse sends a response regardless of what the client sends.
func (c *conn) refuse(r *http1.Refusal) {
	c.initHTTP(nil)
	c.Conn.Refuse(r)
}

// end closes a connection before HTTP has begun. It updates the counters first, because the client may connect again at once.
func (c *conn) end() {
	c.Closed()
	c.Socket.Close()
}

// cut closes the connection at once, in any phase.
func (c *conn) cut() {
	switch c.phase {
	case phaseHTTP:
		c.Conn.Cut()
	case phaseHTTP2:
		c.http2.Cut()
	default:
		c.end()
	}
}

// Closed implements http1.Owner.
func (c *conn) Closed() {
	c.phase = phaseClosed
	c.dropOpening()
	c.worker.remove(c)
	c.uncount()
}

// uncount removes the connection from all counters.
func (c *conn) uncount() {
	s := c.listener.socket.set
	if c.counted {
		s.addresses.leave(c)
	}
	if c.refusing {
		s.refusing.Add(-1)
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
	if c.refusing {
		return true // limited by maxRefusing
	}
	c.lingering = true
	if c.counted {
		c.listener.socket.set.addresses.linger(c)
	}
	c.worker.linger(c)
	return true
}

// hurry limits the time for an incomplete PROXY header, handshake or request head to lastHead.
func (c *conn) hurry() {
	switch {
	case c.phase == phaseHTTP:
		if !c.Conn.Idle() {
			c.Conn.End()
		}
	case c.phase == phaseHTTP2:
		c.http2.End()
	case c.phase != phaseClosed && c.opening.until.Sub(c.worker.Loop.Now()) > lastHead:
		c.bound(lastHead)
	}
}

// endIfSilent ends a connection that has received nothing of a request, PROXY header or handshake. It is called after idleGrace.
func (c *conn) endIfSilent() {
	switch {
	case c.phase == phaseHTTP:
		if c.Conn.Idle() {
			c.Conn.End()
		}
	case c.phase == phaseHeader, c.phase == phasePreface:
		if len(c.opening.header) == 0 {
			c.end()
		}
	case c.phase == phaseSilent:
		c.handshakeFailed(os.ErrDeadlineExceeded)
	}
}
