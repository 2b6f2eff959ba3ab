package http1

import (
	"time"

	"lb/netloop"
)

// phase is what a connection does. What an event does in each phase:
//
//	           readable   writable  hung up           failed  read timer  write timer
//	idle       readHead   -         close             close   close       -
//	head       readHead   -         close             close   408         -
//	exchange   BodyReady  flush     checkDisconnect   Gone    BodyReady   Gone
//	drain      drop       -         close             close   close       -
//	upgraded   all events go to Upgraded
//	lingering  drop       -         close             close   close       -
//	closed     none comes
//
// In the phases before an exchange and after it, the end of the client's stream is found by reading.
type phase uint8

const (
	phaseIdle      phase = iota // waits for the first byte of a request
	phaseHead                   // waits for the rest of a head
	phaseExchange               // an exchange is in progress
	phaseDrain                  // waits for the rest of a request body, to drop it
	phaseUpgraded               // the connection has left HTTP
	phaseLingering              // has sent its last byte, and waits for the client to close
	phaseClosed
)

// Conn is a client's connection from its first request on. All of its methods are called on its loop.
type Conn struct {
	Info Info

	worker   *Worker
	socket   *netloop.Socket
	settings *Settings
	owner    Owner

	phase    phase
	ended    bool // no request is read any more
	linger   bool // the client may be sending when the connection ends
	running  bool // run is on the stack
	reads    bool // the client has been seen to read promptly
	early    uint8
	requests uint32

	held   []byte   // came and was not used; nil: nothing
	scan   HeadScan // of held
	stream *Stream  // of the exchange in progress; nil: there is none
	drain  *body    // in phaseDrain
	pace   pace     // at which the client reads

	readTimer netloop.Timer
	readBy    time.Time // when readTimer has something to do; zero: never
	until     time.Time // the end of a lingering close
}

// Init takes over an open socket, whose events its handler passes to Ready from now on. What came of the first request
// already is in ahead, which is copied. Run must be called next.
func (c *Conn) Init(w *Worker, socket *netloop.Socket, settings *Settings, owner Owner, info Info, ahead []byte) {
	*c = Conn{Info: info, worker: w, socket: socket, settings: settings, owner: owner}
	c.readTimer.Init(w.Loop, (*readTimeout)(c))
	c.hold(ahead)
	c.startRead(settings.Limits.HeaderTimeout)
}

// Worker is what the connections of the loop share.
func (c *Conn) Worker() *Worker { return c.worker }

// Socket is the client's.
func (c *Conn) Socket() *netloop.Socket { return c.socket }

// Ready takes the events of the socket.
func (c *Conn) Ready(ev netloop.Events) {
	switch {
	case c.phase == phaseClosed:
	case c.phase == phaseUpgraded:
		c.stream.upgraded.ClientReady(ev)
	case ev&netloop.Failed != 0:
		c.fail(ErrClientGone)
	case c.phase != phaseExchange:
		c.Run()
	default:
		if ev&netloop.Writable != 0 {
			c.flush()
		}
		if s := c.stream; s != nil && ev&netloop.Readable != 0 {
			s.readable()
		}
		if c.phase == phaseExchange && ev&netloop.HungUp != 0 {
			c.checkDisconnect()
		}
	}
}

// exchangesAtOnce is how many pipelined requests are served before the other connections get their turn.
const exchangesAtOnce = 16

// Run goes on as far as that is possible without waiting.
func (c *Conn) Run() {
	if c.running {
		return // the call up the stack goes on
	}
	c.running = true
	for turns := 0; c.step(); turns++ {
		if turns == exchangesAtOnce {
			c.worker.Loop.Later((*run)(c))
			break
		}
	}
	c.running = false
}

// run is a Conn as a task that goes on with it.
type run Conn

func (r *run) Run() { (*Conn)(r).Run() }

// step reports whether there is more to do.
func (c *Conn) step() bool {
	switch c.phase {
	case phaseIdle, phaseHead:
		if c.ended {
			c.finish()
			return c.phase == phaseLingering
		}
		return c.readHead()
	case phaseDrain:
		return c.dropBody()
	case phaseLingering:
		return c.dropRest()
	}
	return false
}

// readHead reads the next request and serves it. It reports whether to go on.
func (c *Conn) readHead() bool {
	limits := &c.settings.Limits
	buf := c.worker.Loop.Scratch()
	if len(c.held) >= len(buf) { // where larger heads than usual are allowed
		buf = make([]byte, 2*len(c.held))
	}
	n := copy(buf, c.held)
	fresh := n > 0 // there is something that has not been looked at
	for {
		if fresh {
			s := c.worker.takeStream(c)
			within := buf[:min(n, limits.HeaderSize)]
			end, refused := s.head.Read(within, &c.scan, limits.HeaderFields)
			switch {
			case refused != nil:
				s.free()
				c.refuseHead(refused, buf[:n])
				return true
			case end == 0 && n >= limits.HeaderSize:
				s.free()
				c.refuse(headTooLarge, buf[:n])
				return true
			case end > 0:
				c.serve(s, buf[:end], buf[end:n])
				return c.phase != phaseExchange
			}
			s.free()
		}
		if n == len(buf) {
			larger := make([]byte, 2*n)
			copy(larger, buf)
			buf = larger
		}
		k, err := c.socket.Read(buf[n:])
		if err == netloop.ErrWouldBlock {
			c.awaitHead(buf[:n])
			return false
		}
		if err != nil {
			c.close()
			return false
		}
		n += k
		fresh = true
	}
}

// awaitHead has the connection wait for more of a head than came.
func (c *Conn) awaitHead(came []byte) {
	limits := &c.settings.Limits
	ending := c.owner.Ending()
	c.hold(came)
	switch {
	case c.phase != phaseIdle:
	case len(came) > 0:
		c.phase = phaseHead
		c.startRead(limits.HeaderTimeout)
		if ending {
			c.hurryHead()
		}
	case ending:
		c.startRead(idleGrace)
	case c.requests > 0:
		c.startRead(limits.IdleTimeout)
	}
}

// serve has the handler serve the request of s, whose head was read. rest came behind it.
func (c *Conn) serve(s *Stream, head, rest []byte) {
	c.scan = HeadScan{}
	c.stopRead()
	s.begin(head, rest)
	c.stream, c.phase = s, phaseExchange
	c.early = 0
	c.requests++
	c.handle(s)
	if c.stream == s {
		s.keep()
		if c.socket.HasHungUp() { // no event will tell
			c.checkDisconnect()
		}
	}
}

// handle calls the handler, and ends what a panic leaves.
func (c *Conn) handle(s *Stream) {
	defer s.recover()
	c.settings.Handler.Serve(s)
}

// hold keeps a copy of what came and is not used yet.
func (c *Conn) hold(p []byte) {
	if len(p) == 0 {
		c.held = nil
		return
	}
	c.held = append(c.held[:0], p...)
}

// End has the connection end as soon as no request is in progress: an idle one at once, one with a part of a head when
// that request has been served or a second is over.
func (c *Conn) End() {
	switch c.phase {
	case phaseIdle, phaseLingering:
		c.close()
	case phaseHead:
		c.hurryHead()
	}
}

// hurryHead leaves no more than a second for the rest of a head.
func (c *Conn) hurryHead() {
	if c.readBy.IsZero() || c.readBy.Sub(c.worker.Loop.Now()) > lastHead {
		c.startRead(lastHead)
	}
}

// idleGrace is how long a connection that is between requests when it must end is given for one that may be on its way.
const idleGrace = 250 * time.Millisecond

// lastHead is how long the rest of a head may take when the connection must end.
const lastHead = time.Second

// AnnounceEnd tells an upgraded connection that it will be cut. It reports whether the connection is one.
func (c *Conn) AnnounceEnd() bool {
	if c.phase != phaseUpgraded {
		return false
	}
	c.stream.upgraded.Ending()
	return true
}

// Idle reports whether the connection waits for the first byte of a request.
func (c *Conn) Idle() bool { return c.phase == phaseIdle }

// Cut ends the connection at once, whatever it does.
func (c *Conn) Cut() { c.fail(ErrClientGone) }

// fail is the end of a connection whose client has gone, or must go.
func (c *Conn) fail(err error) {
	switch c.phase {
	case phaseExchange, phaseUpgraded:
		c.stream.fail(err)
	default:
		c.close()
	}
}

// close closes the socket.
func (c *Conn) close() {
	if c.phase != phaseClosed {
		c.closed()
		c.socket.Close()
	}
}

// reset is close for a response that the client must not take for whole.
func (c *Conn) reset() {
	if c.phase != phaseClosed {
		c.closed()
		c.socket.Reset()
	}
}

// closed is called before the socket is.
func (c *Conn) closed() {
	c.phase, c.ended = phaseClosed, true
	c.readTimer.Stop()
	if c.stream != nil {
		c.stream.dropOutput()
	}
	c.held, c.drain = nil, nil
	c.owner.Closed()
}

// startRead bounds the wait for the client to send something. 0: there is no bound.
func (c *Conn) startRead(d time.Duration) {
	if d <= 0 {
		c.stopRead()
		return
	}
	c.readBy = c.worker.Loop.Now().Add(d)
	c.readTimer.Reset(d)
}

// stopRead ends that. The timer goes on, since nearly always the next startRead is for a later time, which costs it nothing.
func (c *Conn) stopRead() { c.readBy = time.Time{} }

// readTimeout is a Conn as the handler of its readTimer.
type readTimeout Conn

func (r *readTimeout) Expired(*netloop.Timer) {
	c := (*Conn)(r)
	if c.readBy.IsZero() {
		return
	}
	if left := c.readBy.Sub(c.worker.Loop.Now()); left > 0 {
		c.readTimer.Reset(left)
		return
	}
	c.readBy = time.Time{}
	switch c.phase {
	case phaseHead:
		c.refuse(headTooSlow, c.held)
		c.Run()
	case phaseExchange:
		c.stream.readTimeout()
	default:
		c.close()
	}
}
