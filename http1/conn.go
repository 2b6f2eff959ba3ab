package http1

import (
	"bytes"
	"time"

	"lb/internal/pace"
	"lb/netloop"
)

// phase is the phase of a connection. What an event does in each phase:
//
//	           readable   writable  hung up           failed        read timer  write timer
//	idle       readHead   -         close             close         close       -
//	head       readHead   -         close             close         408         -
//	exchange   BodyReady  flush     checkDisconnect   Disconnected  BodyReady   Disconnected
//	drain      drop       -         close             close         close       -
//	upgraded   all events go to Upgraded
//	lingering  drop       -         close             close         close       -
//	closed     no events
//
// In the phases before and after an exchange, the end of the client's stream is detected by reading.
type phase uint8

const (
	phaseIdle      phase = iota // waits for the first byte of a request
	phaseHead                   // waits for the rest of a head
	phaseExchange               // an exchange is in progress
	phaseDrain                  // reads and discards the rest of a request body
	phaseUpgraded               // the connection was upgraded
	phaseLingering              // everything was sent; waits for the client to close
	phaseClosed
)

// Conn is a client's connection. All methods must be called on its loop.
type Conn struct {
	Info Info

	worker   *Worker
	socket   *netloop.Socket
	settings *Settings
	owner    Owner

	phase    phase
	ended    bool  // no further requests are read
	linger   bool  // the client may still be sending when the connection closes
	running  bool  // Run is on the stack
	reads    bool  // the client has been observed to read promptly
	early    uint8 // bytes of StatusLineStart that probes have sent; see disconnect.go
	requests uint32

	held   []byte    // received and not consumed yet; nil: nothing
	scan   HeadScan  // of held
	stream *Stream   // of the exchange in progress; nil: none
	drain  *body     // in phaseDrain
	pace   pace.Pace // of the client's reading

	readTimer netloop.Timer
	readBy    time.Time // deadline of the current wait for the client; zero: none
	until     time.Time // end of a lingering close
}

// Init initializes the connection for an open socket, whose handler must pass its events to Ready from now on. ahead is what has
// already been received of the first request; it is copied. Run must be called next.
func (c *Conn) Init(w *Worker, socket *netloop.Socket, settings *Settings, owner Owner, info Info, ahead []byte) {
	*c = Conn{Info: info, worker: w, socket: socket, settings: settings, owner: owner}
	c.readTimer.Init(w.Loop, (*readTimeout)(c))
	c.hold(ahead)
	c.startRead(settings.Limits.HeaderTimeout)
}

// Worker returns what the connections of the loop share.
func (c *Conn) Worker() *Worker { return c.worker }

// Socket returns the client's socket.
func (c *Conn) Socket() *netloop.Socket { return c.socket }

// Ready handles the events of the socket.
func (c *Conn) Ready(ev netloop.Events) {
	switch {
	case c.phase == phaseClosed:
	case c.phase == phaseUpgraded:
		c.stream.upgraded.ClientReady(ev)
	case ev&netloop.Failed != 0:
		c.fail(ErrClientDisconnected)
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

// exchangesAtOnce is how many pipelined requests are served before other connections get their turn.
const exchangesAtOnce = 16

// Run does everything that is possible without waiting.
func (c *Conn) Run() {
	if c.running {
		return // the call further up the stack continues
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

// run is a Conn as a task that calls Run.
type run Conn

func (r *run) Run() { (*Conn)(r).Run() }

// step does the next thing, and reports whether there is more to do.
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

// readHead reads the next request and serves it. It reports whether there is more to do.
func (c *Conn) readHead() bool {
	limits := &c.settings.Limits
	buf := c.worker.Loop.Scratch()
	if len(c.held) >= len(buf) { // if the limit allows very large heads
		buf = make([]byte, 2*len(c.held))
	}
	n := copy(buf, c.held)
	fresh := n > 0 // there is something that has not been parsed
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

// awaitHead makes the connection wait for a head, of which part has been received.
func (c *Conn) awaitHead(part []byte) {
	limits := &c.settings.Limits
	ending := c.owner.Ending()
	c.hold(part)
	switch {
	case c.phase != phaseIdle:
	case len(bytes.TrimLeft(part, "\r\n")) > 0: // empty lines are ignored (RFC 9112 section 2.2)
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

// serve passes the request of s, whose head was read, to the handler. rest was received after the head.
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
		if c.socket.HasHungUp() { // there will be no further event
			c.checkDisconnect()
		}
	}
}

// handle calls the handler, and cleans up after a panic.
func (c *Conn) handle(s *Stream) {
	defer s.recover()
	c.settings.Handler.Serve(s)
}

// hold stores a copy of what was received and not consumed yet.
func (c *Conn) hold(p []byte) {
	if len(p) == 0 {
		c.held = nil
		return
	}
	c.held = append(c.held[:0], p...)
}

// End makes the connection close as soon as no request is in progress. If a part of a head has been received, the rest of that
// request has a second to arrive, and is served.
func (c *Conn) End() {
	switch c.phase {
	case phaseIdle, phaseLingering:
		c.close()
	case phaseHead:
		c.hurryHead()
	}
}

// hurryHead limits the time for the rest of a head to lastHead.
func (c *Conn) hurryHead() {
	if c.readBy.IsZero() || c.readBy.Sub(c.worker.Loop.Now()) > lastHead {
		c.startRead(lastHead)
	}
}

// idleGrace is how long a connection that becomes idle when it must close waits for a request that may be in transit.
const idleGrace = 250 * time.Millisecond

// lastHead is how long the rest of a head may take when the connection must close.
const lastHead = time.Second

// AnnounceEnd notifies the handler of an upgraded connection that it will be closed soon. It reports whether the connection is
// upgraded.
func (c *Conn) AnnounceEnd() bool {
	if c.phase != phaseUpgraded {
		return false
	}
	c.stream.upgraded.Ending()
	return true
}

// Idle reports whether the connection waits for the first byte of a request.
func (c *Conn) Idle() bool { return c.phase == phaseIdle }

// Cut closes the connection at once, in any phase.
func (c *Conn) Cut() { c.fail(ErrClientDisconnected) }

// fail ends a connection whose client has disconnected, or is too slow.
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

// reset closes the socket with a RST, so that the client cannot mistake the response for a complete one.
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

// startRead starts a wait for the client with a timeout; 0: none.
func (c *Conn) startRead(d time.Duration) {
	if d <= 0 {
		c.stopRead()
		return
	}
	c.readBy = c.worker.Loop.Now().Add(d)
	c.readTimer.Reset(d)
}

// stopRead ends the wait. The timer keeps running, since the next startRead nearly always sets a later time, which is cheap.
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
