package transport

import (
	"net/netip"
	"os"
	"time"

	"lb/http1"
	"lb/internal/proxyprotocol"
	"lb/message"
	"lb/netloop"
)

// User is the exchange that uses a connection. Its methods are called on the loop, never from within a method of the connection.
type User interface {
	// Dialed is called when the dial started by Client.Get has succeeded (err is nil) or failed. Conn.Done must be called in both
	// cases.
	Dialed(err *Error)
	// ResponseReady is called when a read that returned netloop.ErrWouldBlock should be tried again.
	ResponseReady()
	// RequestFlushed is called when everything has been written to the socket, after a Send that returned false.
	RequestFlushed()
	// DescribeClient fills in what a PROXY header says, and returns an ID for it if the connection is a new one, or nil. It is called by
	// Client.Get with Options.ProxyProtocol alone.
	DescribeClient(c *proxyprotocol.Connection) (uniqueID []byte)
}

// Conn is a connection to a backend. It serves one exchange at a time: Begin and SendBody, ReadHead until the final response,
// ReadBody until io.EOF, then Done. All methods must be called on the connection's loop. None of them blocks: reads return
// netloop.ErrWouldBlock.
type Conn struct {
	netloop.Socket
	client         *Client
	worker         *Worker
	loop           *netloop.Loop
	user           User // nil: none
	next, previous *Conn
	timer          netloop.Timer // for the dial, later for the idle timeout
	idleSince      time.Time
	targets        []netip.AddrPort // of a name: the one that is being tried, and those to try if it fails
	announced      *announcement    // by a PROXY header; nil: none

	state     connState
	waiting   bool // a read has returned ErrWouldBlock
	reused    bool
	responded bool // a byte of a response other than 100 (Continue) was received
	chunked   bool // the request's body is sent in chunks
	clean     bool // the whole response has been read
	headRead  bool // ReadHead has just read a head, which must stay in its buffer
	closes    bool // the backend closes the connection after the response
	framing   framing
	silence   time.Duration // of the response that was read, see probation
	uses      int
	sendErr   *Error
	wrote     int64 // bytes written to the socket in all exchanges
	before    int64 // value of written() when this exchange began
	left      int64 // bytes of a body with Content-Length still to be read

	out     netloop.Output
	unread  []byte // received and not consumed yet; in the loop's scratch buffer or in buffer
	buffer  []byte // borrowed from the loop, or allocated; may be nil
	start   int    // offset of unread in its buffer
	scanned int    // bytes of unread that do not contain the end of the head

	chunks  http1.ChunkDecoder
	options []byte // values of the Connection fields of Head, needed when a trailer section follows
}

// connState is the state of a connection.
type connState uint8

const (
	connDialing   connState = iota // being established for its user
	connBusy                       // in use by an exchange
	connIdle                       // idle, ready for reuse
	connProbation                  // idle, becomes connIdle if the backend sends nothing for a while
	connTunnel                     // upgraded: the user reads and writes the socket
	connShared                     // of HTTP/2: the user is a shared
	connClosed
)

// begin prepares the connection for another exchange.
func (c *Conn) begin(user User, reused bool) {
	c.user, c.reused = user, reused
	c.uses++
	c.responded, c.clean, c.waiting, c.headRead = false, false, false, false
	c.framing, c.left, c.sendErr, c.scanned = noBody, 0, nil, 0
	c.closes, c.silence = false, 0
	c.before = c.written()
	if reused {
		c.state = connBusy
	}
}

// written returns how many bytes have been written to the socket so far, the PROXY header and TLS records included.
func (c *Conn) written() int64 {
	n := c.wrote
	if c.client.opt.TLS != nil {
		n = c.TLSBytes()
	}
	if c.announced != nil {
		n += int64(c.announced.length)
	}
	return n
}

// Head returns the head that ReadHead read last, valid until the current event has been handled or ReadBody is called a second time.
func (c *Conn) Head() *message.Response { return &c.worker.head.Response }

// head is Head with what HTTP/1 has beside.
func (c *Conn) head() *http1.ResponseHead { return &c.worker.head }

// Loop returns the loop that the connection belongs to.
func (c *Conn) Loop() *netloop.Loop { return c.loop }

// Reused reports whether the connection has served an earlier exchange.
func (c *Conn) Reused() bool { return c.reused }

// Responded reports whether a byte of a response other than 100 (Continue) was received in this exchange.
func (c *Conn) Responded() bool { return c.responded }

// Ready implements netloop.Handler.
func (c *Conn) Ready(ev netloop.Events) {
	switch c.state {
	case connDialing:
		c.dialEvent(ev)
	case connIdle, connProbation:
		c.idleEvent(ev)
	case connTunnel:
		c.user.ResponseReady()
	case connShared:
		c.user.(*shared).Ready(ev)
	case connBusy:
		if ev&netloop.Writable != 0 && c.out.Pending() {
			c.flush()
		}
		if c.state == connBusy && c.waiting && ev&(netloop.Readable|netloop.HungUp|netloop.Failed) != 0 {
			c.waiting = false
			c.user.ResponseReady()
		}
	}
}

// Expired implements netloop.TimerHandler.
func (c *Conn) Expired(*netloop.Timer) {
	now := c.loop.Now()
	switch c.state {
	case connDialing:
		c.attemptFailed(&Error{Phase: Dial, Cause: TimedOut, Err: os.ErrDeadlineExceeded})
	case connProbation:
		own := &c.client.loops[c.loop.Index()]
		own.probation.remove(c)
		c.state = connIdle
		own.pushIdle(c)
		c.expire(now)
	case connIdle:
		c.expire(now)
	case connShared:
		c.user.(*shared).expired(now)
	case connBusy:
		c.timer.Reset(max(c.client.opt.IdleTimeout, time.Second))
	}
}

// expire closes an idle connection that has reached Options.IdleTimeout, or surplusTime beyond Options.MaxIdle; else it restarts its
// timer.
func (c *Conn) expire(now time.Time) {
	limit, idle := c.client.opt.IdleTimeout, now.Sub(c.idleSince)
	switch left := limit - idle; {
	case idle >= surplusTime && c.client.idle.Load() > int64(c.client.opt.MaxIdle):
		c.closeIdle()
	case limit == 0:
	case left > 0:
		c.timer.Reset(left)
	default:
		c.closeIdle()
	}
}

func (c *Conn) closeIdle() {
	c.client.loops[c.loop.Index()].removeIdle(c)
	c.client.idle.Add(-1)
	c.closeUnused()
}

// idleEvent handles an event on an idle connection: anything received closes it, except TLS messages without data, such as session
// tickets.
func (c *Conn) idleEvent(ev netloop.Events) {
	if ev&^netloop.Writable == 0 {
		return
	}
	n, err := c.Socket.Read(c.loop.Scratch())
	if n == 0 && err == netloop.ErrWouldBlock && ev&(netloop.HungUp|netloop.Failed) == 0 {
		return
	}
	own := &c.client.loops[c.loop.Index()]
	if c.state == connIdle {
		own.removeIdle(c)
		c.client.noteStale()
	} else {
		own.probation.remove(c) // most likely a body after a response that must not have one
	}
	c.client.idle.Add(-1)
	c.closeUnused()
}

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// Done ends the exchange. The connection becomes idle if the whole response was read, nothing follows it, and neither side wants to
// close; otherwise it is closed. After a response without a body it is not reused at once, see probation.
// complete says that the whole request was sent.
func (c *Conn) Done(complete bool) {
	s := c.client
	s.active.Add(-1)
	c.user, c.waiting = nil, false
	fit := complete && c.state == connBusy && c.clean && c.sendErr == nil && !c.out.Unwritten() && !c.closes && len(c.unread) == 0 &&
		(s.opt.MaxRequests == 0 || c.uses < s.opt.MaxRequests)
	if fit && c.HasHungUp() {
		s.noteStale()
		fit = false
	}
	fit = fit && c.silent()
	c.unread = nil
	c.freeBuffer()
	if !fit {
		c.closeUnused()
		return
	}
	c.idleSince = c.loop.Now()
	s.keep(c, c.silence)
}

// silent reports whether nothing follows the response that has been received already, for which there may be no further event: bytes
// behind those that filled a buffer, or a TLS record that arrived together with another.
func (c *Conn) silent() bool {
	if !c.CanRead() {
		return true
	}
	n, err := c.Socket.Read(c.worker.behind[:])
	return n == 0 && err == netloop.ErrWouldBlock
}

// Abort resets the connection so that the backend cannot mistake what it received for a complete message. Done still has to be
// called.
func (c *Conn) Abort() { c.Socket.Reset() }

// closeUnused closes a connection that has no user.
func (c *Conn) closeUnused() {
	c.state = connClosed
	c.timer.Stop()
	c.out.Drop(c.loop)
	c.Socket.Close()
}

// probation returns how long the connection is on probation after the response; 0: it can be reused at once. A faulty backend may send a
// body after a response that must not have one, and the next client would read it as its response.
func (c *Conn) probation(h *http1.ResponseHead) time.Duration {
	bodyless := h.Status == 204 || h.Status == 304 // for any method
	switch {
	case c.framing != noBody:
		return 0
	case h.ContentLength == 0, bodyless && h.ContentLength < 0 && !h.Chunked:
		return silenceNoLength
	}
	return silenceLength
}

// Yield has User.ResponseReady called again after the other connections of the loop have had their turn.
func (c *Conn) Yield() { c.loop.Later(&yielded{c, c.uses}) }

type yielded struct {
	conn *Conn
	uses int
}

// Run implements netloop.Task.
func (y *yielded) Run() {
	if c := y.conn; c.state == connBusy && c.user != nil && c.uses == y.uses {
		c.user.ResponseReady()
	}
}

// Timeouts returns the timeouts of the backend.
func (c *Conn) Timeouts() *Timeouts { return &c.client.opt.Timeouts }

// Tunnel ends the use of HTTP after a 101 and returns the socket and what was received after the 101. From
// now on the user reads and writes the socket, and each of its events calls User.ResponseReady. Done still has to be called, and closes
// the connection.
func (c *Conn) Tunnel() (stream netloop.Stream, unread []byte) {
	unread = append(unread, c.unread...)
	c.unread = nil
	c.freeBuffer()
	c.state = connTunnel
	return &c.Socket, unread
}
