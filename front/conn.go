package front

import (
	"bytes"
	"container/list"
	"crypto/tls"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"lb/http1"
	"lb/internal/dormant"
	"lb/internal/progress"
)

// phase says what a connection waits for; others look at it only to know whether it is idle.
type phase = int32

const (
	opening   phase = iota // PROXY header, TLS handshake
	waiting                // for the first byte of a request
	heading                // for the rest of its head
	parked                 // for the client, without a goroutine
	busy                   // a request, or the end
	lingering              // for the client to close
)

// Conn is a client's connection, and what a handler responds to requests by: Respond, then Send, SendFile and Finish, which
// belong to the handler's goroutine, or to one that it waits for.
type Conn struct {
	listener *Listener
	socket   dormant.Conn
	raw      *progress.Conn // over the socket
	link     link           // what TLS, if any, talks to
	tls      *tls.Conn      // nil on a plain connection
	peer     netip.AddrPort

	serverName *serverName // nil: none was named
	tlsVersion uint16
	opened     bool          // HTTP has begun
	counted    bool          // in the front's per-address count
	away       bool          // turned away: see Front.away
	ended      bool          // nothing more is read
	linger     bool          // the client may still be sending when we close
	leaving    bool          // it lingers; see lingers
	crowdedOut atomic.Bool   // too many linger
	lingerer   *list.Element // under lingerers.mu; nil: it does not linger
	phase      atomic.Int32
	requests   int // heads that were read

	// of the present wait for a request
	idleUntil time.Time      // the end of the wait for its first byte, or for the client to close; zero: it has not begun
	headUntil time.Time      // that for the rest of the head
	parkings  int            // in this head
	parks     bool           // it waits for its client without a goroutine from now on
	resident  bool           // it cannot be parked
	suspended *suspension    // the request that waits; nil: none does
	scan      http1.HeadScan // of rest; under parking.mu
	space     uint64         // among the parked; 0: it is not; under parking.mu
	alarm     *time.Timer    // wakes it; under parking.mu

	// of the present request
	work *work                // nil: nothing is lent at present
	out  *[usualResponse]byte // room for what is sent; nil likewise
	kept *http1.RequestHead   // the request, if it has been suspended; nil: it is in work
	rest []byte               // came in and has not been looked at; it may lie in work
	body requestBody

	sending   sync.Mutex // so that a body read elsewhere can send its 100 Continue
	sent      int64
	writer    http1.Writer // what it has made of the response goes out in order
	begun     bool         // by Respond: no interim response can follow
	responded bool         // something of the final response was sent
	cut       bool         // by Abort
	early     int          // bytes of http1.StatusLineStart that were sent before the head that they begin

	presence  presence
	beforeCut atomic.Pointer[func()] // see Upgrade; nil: not upgraded
}

func newConn(l *Listener, nc net.Conn) *Conn {
	c := &Conn{listener: l}
	c.socket.Init(nc)
	c.raw = &progress.Conn{Conn: &c.socket}
	c.link = link{Conn: c.raw, c: c}
	c.raw.SetWritePace(l.limits.BodyMinRate, l.limits.RateWindow)
	c.body.c = c
	c.body.pace = progress.Pace{Rate: l.limits.BodyMinRate, Window: l.limits.RateWindow}
	c.body.done.Store(true) // there is no request yet
	c.peer = addrPort(nc.RemoteAddr())
	return c
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// run is a connection's life, or the part of it until it is parked.
func (c *Conn) run() {
	if c.leaving && !c.resident { // it was parked for that
		c.finish()
		return
	}
	if c.socket.Wake() {
		c.raw.ForgetDeadlines()
	}
	if !c.leaving && c.serve() {
		c.listener.socket.front.parking.park(c)
	} else {
		c.depart()
	}
}

// depart ends a connection, or parks it until its client has closed.
func (c *Conn) depart() {
	if c.linger && !c.cut && c.lingers() {
		c.listener.socket.front.parking.park(c)
	} else {
		c.finish()
	}
}

// serve responds to requests until there are no more, or for now: then it reports true, for the connection to be parked.
func (c *Conn) serve() bool {
	if !c.opened && !c.open() {
		return false
	}
	c.opened = true
	defer c.returnWork()
	if c.suspended != nil {
		c.resume()
	}
	for c.suspended == nil && !c.ended && c.dropBody() && c.nextRequest() {
		c.handle()
	}
	if c.parks = c.parks && (c.suspended != nil || !c.ended); c.parks && c.suspended == nil {
		c.rest = bytes.Clone(c.rest) // it may lie in what was lent
	}
	return c.parks
}

// finish is the end of every connection.
func (c *Conn) finish() {
	s := c.listener.socket
	if c.counted { // before the client sees the end, upon which it may come again at once
		s.front.perIP.leave(c)
	}
	if c.leaving {
		s.front.lingerers.remove(c)
	}
	c.close()
	s.remove(c)
	if c.away {
		s.front.away.Add(-1)
	} else {
		s.front.open.Add(-1)
	}
	s.front.running.Done()
}

// open does what comes before HTTP. It reports false if there is to be no HTTP.
func (c *Conn) open() bool {
	l, f := c.listener, c.listener.socket.front
	if l.options.ProxyProtocol && !c.readProxyHeader() {
		return false
	}
	if n := l.limits.ConnectionsPerIP; n > 0 && c.peer.IsValid() {
		in, respond := f.perIP.enter(c, n)
		c.counted = in || respond
		if !in {
			f.metrics.rejected(reasonPerIP)
			if c.leaveOpen() && respond {
				c.turnAway(tooManyFromAddress)
			}
			return false
		}
	}
	return !l.TLS || c.handshake()
}

// close ends the connection for good.
func (c *Conn) close() {
	if c.cut {
		return // Abort has closed it
	}
	if c.tls != nil {
		c.link.idle = closeTime
		c.tls.Close() // sends close_notify
	}
	c.raw.Close()
}

const closeTime = time.Second // to send a close_notify

// hurry makes a connection without a whole request see that it must end.
func (c *Conn) hurry() {
	switch c.phase.Load() {
	case opening: // a handshake cannot be taken up again after an interrupt
		c.raw.RenewRead(min(c.listener.limits.HeaderTimeout, lastHead))
	case waiting, heading, lingering:
		c.raw.InterruptRead()
	case parked:
		c.listener.socket.front.parking.hurry(c)
	}
}

// lastHead is how long whatever comes before a request is whole may take when the connection must end.
const lastHead = time.Second

// renewHead begins the time for a PROXY header, a handshake or a request's head. Whoever makes us end sets its mark
// first and looks at the phase then, so that either we see the mark here or it hurries us.
func (c *Conn) renewHead() {
	c.raw.RenewRead(c.listener.limits.HeaderTimeout)
	if c.listener.ending() {
		c.raw.RenewRead(min(c.listener.limits.HeaderTimeout, lastHead))
	}
}

// closeIfSilent cuts a connection that was opened and never heard from, and ends one that is parked.
func (c *Conn) closeIfSilent() {
	switch c.phase.Load() {
	case opening:
		if !c.link.heard.Load() && !readable(&c.socket) {
			c.raw.Close()
		}
	case parked:
		c.listener.socket.front.parking.end(c)
		runtime.Gosched() // they would all have a stack at a time else
	}
}

// Peer is the client's address: the TCP peer, or the source that the PROXY header names. Zero on a unix socket.
func (c *Conn) Peer() netip.AddrPort { return c.peer }

// Listener is the one that accepted the connection.
func (c *Conn) Listener() *Listener { return c.listener }

// serverName is the name that a client asked for in the TLS handshake.
type serverName struct {
	name     string
	attached any // see Attach
}

// ServerName is the name that the client asked for in the TLS handshake, of at most 255 bytes; "" without.
func (c *Conn) ServerName() string {
	if c.serverName == nil {
		return ""
	}
	return c.serverName.name
}

// Attach keeps what the handler has found out about the server name, which there must be, for later requests.
func (c *Conn) Attach(v any) { c.serverName.attached = v }

// Attached returns what was kept by Attach; nil if nothing was.
func (c *Conn) Attached() any {
	if c.serverName == nil {
		return nil
	}
	return c.serverName.attached
}

// TLSVersion is "" on a plain connection, else like "TLSv1.3".
func (c *Conn) TLSVersion() string {
	switch c.tlsVersion {
	case tls.VersionTLS10:
		return "TLSv1"
	case tls.VersionTLS11:
		return "TLSv1.1"
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return ""
}

// Draining reports whether the connection should end with the present response.
func (c *Conn) Draining() bool { return c.listener.retiring() }

// LocalAddr is the socket's own address.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }
