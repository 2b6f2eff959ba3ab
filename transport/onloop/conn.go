package onloop

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"lb/http1"
	"lb/netloop"
	"lb/transport"
)

// User is what a connection serves: an exchange. Its methods are called on the loop, never from within a method of the connection.
type User interface {
	// Dialed is called when a connection that Set.Get has begun to make is ready, or with the error why it will not be; it
	// must be given back then too.
	Dialed(err *transport.Error)
	// ResponseReady is called when a read that has returned netloop.ErrWouldBlock may return something else.
	ResponseReady()
	// RequestFlushed is called when the socket has taken all that was sent, after a Send that reported that it had not.
	RequestFlushed()
}

// Conn is a connection to a backend, in use for one exchange at a time: Send…, ReadHead until it is that of the final
// response, ReadBody until io.EOF, then Done. All of its methods are called on its loop, and none of them blocks: reads fail
// with netloop.ErrWouldBlock.
type Conn struct {
	netloop.Socket
	set            *Set
	loop           *netloop.Loop
	user           User // nil: none
	next, previous *Conn
	timer          netloop.Timer // of the dial, then of being kept
	idleSince      time.Time
	targets        []dialTarget // to be tried when the present one fails

	state     connState
	waiting   bool // a read has returned ErrWouldBlock
	reused    bool
	responded bool // a byte of a response, other than 100 (Continue), has come
	chunked   bool // the request's body goes in chunks
	clean     bool // the response ended where it should
	framing   framing
	uses      int
	sendErr   *transport.Error
	wrote     int64 // bytes of all exchanges that the socket has taken
	before    int64 // of them: before this exchange
	left      int64 // of a body with a length

	out   netloop.Output
	came  []byte // and is not used; it lies in the loop's scratch buffer or in room
	room  []byte // borrowed; nil: there is none
	start int    // of came in its buffer
	look  int    // of came: known not to hold the end of the head

	Head    http1.ResponseHead // of the response that ReadHead returned last; good until the present event is over
	chunks  http1.ChunkDecoder
	options []byte // of the Connection fields of Head, where a trailer section may follow
}

// connState is what a connection is for at present.
type connState uint8

const (
	connDialing connState = iota // its user waits for it
	connBusy                     // its user has it
	connIdle                     // it is kept
	connAside                    // it is kept, and used when it has been silent for long enough
	connTunnel                   // its user has the socket
	connClosed
)

// begin makes the connection ready for one more exchange.
func (c *Conn) begin(user User, reused bool) {
	c.user, c.reused = user, reused
	c.uses++
	c.responded, c.clean, c.waiting = false, false, false
	c.framing, c.left, c.sendErr, c.look = noBody, 0, nil, 0
	c.before = c.taken()
	if reused {
		c.state = connBusy
	}
}

// taken returns how many bytes the system has taken so far.
func (c *Conn) taken() int64 {
	if c.set.opt.TLS != nil {
		return c.TLSBytes()
	}
	return c.wrote
}

// Loop is the one that the connection belongs to.
func (c *Conn) Loop() *netloop.Loop { return c.loop }

// Reused reports whether the connection has served an exchange before this one.
func (c *Conn) Reused() bool { return c.reused }

// Responded reports whether a byte of a response, other than 100 (Continue), has come in this exchange.
func (c *Conn) Responded() bool { return c.responded }

// Ready implements netloop.Handler.
func (c *Conn) Ready(ev netloop.Events) {
	switch c.state {
	case connDialing:
		c.dialEvent(ev)
	case connIdle, connAside:
		c.strayEvent(ev)
	case connTunnel:
		c.user.ResponseReady()
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
		c.dialFailed(&transport.Error{Phase: transport.Dial, Cause: transport.TimedOut, Err: os.ErrDeadlineExceeded})
	case connAside:
		own := &c.set.loops[c.loop.Index()]
		own.aside.remove(c)
		c.state = connIdle
		own.idle.push(c)
		c.timer.Reset(c.set.opt.IdleTimeout)
	case connIdle:
		if left := c.set.opt.IdleTimeout - now.Sub(c.idleSince); left > 0 {
			c.timer.Reset(left)
			return
		}
		c.set.loops[c.loop.Index()].idle.remove(c)
		c.set.idle.Add(-1)
		c.closeUnused()
	case connBusy:
		c.timer.Reset(max(c.set.opt.IdleTimeout, time.Second))
	}
}

// strayEvent is for a connection that is kept: whatever comes, but for a TLS message of no meaning here, ends it.
func (c *Conn) strayEvent(ev netloop.Events) {
	if ev&^netloop.Writable == 0 {
		return
	}
	n, err := c.Socket.Read(c.loop.Scratch())
	if n == 0 && err == netloop.ErrWouldBlock && ev&(netloop.HungUp|netloop.Failed) == 0 {
		return
	}
	own := &c.set.loops[c.loop.Index()]
	if c.state == connIdle {
		own.idle.remove(c)
		c.set.noteDeath()
	} else {
		own.aside.remove(c) // what came is most likely a body
	}
	c.set.idle.Add(-1)
	c.closeUnused()
}

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// Done ends the exchange: the connection is kept for another if the whole response was read, nothing stands behind it and
// both sides want to go on; else it is closed. After a response without a body it is not used at once, see aside.go.
// complete says that the whole request was sent.
func (c *Conn) Done(complete bool) {
	s := c.set
	s.active.Add(-1)
	c.user, c.waiting = nil, false
	fit := complete && c.state == connBusy && c.clean && c.sendErr == nil && !c.out.Pending() && !c.Head.Close && len(c.came) == 0 &&
		(s.opt.MaxRequests == 0 || c.uses < s.opt.MaxRequests)
	if fit && c.HasHungUp() {
		s.noteDeath()
		fit = false
	}
	c.came = nil
	c.giveRoom()
	silence := c.silence()
	c.Head.Reset(0)
	if !fit {
		c.closeUnused()
		return
	}
	c.idleSince = c.loop.Now()
	s.keep(c, silence)
}

// Abort ends the connection so that the backend cannot take what it got for whole. Done still has to be called.
func (c *Conn) Abort() { c.Socket.Reset() }

// closeUnused closes a connection that nobody uses.
func (c *Conn) closeUnused() {
	c.state = connClosed
	c.timer.Stop()
	c.out.Drop(c.loop)
	c.Socket.Close()
}

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

// Timeouts are those of the backend.
func (c *Conn) Timeouts() *transport.Timeouts { return &c.set.opt.Timeouts }

// Tunnel leaves HTTP: it returns what came behind the 101, good until the end of the event. From now on the socket is the user's to read and
// write, and each event of it calls User.ResponseReady. Done still has to be called, and closes the connection.
func (c *Conn) Tunnel() (unread []byte) {
	unread = append(unread, c.came...)
	c.came = nil
	c.giveRoom()
	c.state = connTunnel
	return unread
}

// Refusal returns the error of a backend that refuses connections by now, or nil. It blocks: it is not for loops.
func (s *Set) Refusal() error {
	conn, err := s.prober.Get(context.Background(), true)
	if err == nil {
		conn.Abort() // closed, it would leave its port in TIME-WAIT, and where all backends reset connections there are many
		conn.Done(false)
		return nil
	}
	var e *transport.Error
	if errors.As(err, &e) && e.Cause == transport.Refused {
		return e
	}
	return nil
}

// Dial makes a new connection that the set does not keep or count: health checks use it. It blocks: it is not for loops.
func (s *Set) Dial(ctx context.Context) (net.Conn, error) { return s.prober.Dial(ctx) }
