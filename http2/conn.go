package http2

import (
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/netloop"
)

// phase is what a connection does. What an event does in each phase:
//
//	           readable  writable  failed  read timer
//	preface    read      flush     fail    close
//	open       read      flush     fail    close, or GOAWAY if it is idle
//	flushing   drop      flush     close   close
//	lingering  drop      -         close   close
//	closed     none comes
type phase uint8

const (
	phasePreface   phase = iota // waits for the client's preface and its SETTINGS
	phaseOpen                   // streams come and go
	phaseFlushing               // the last frame waits for the socket
	phaseLingering              // has sent its last byte, and waits for the client to close
	phaseClosed
)

// Conn is a client's connection from its first byte of HTTP/2 on. All of its methods are called on its loop.
type Conn struct {
	Info any // the owner's own

	link
	settings *Settings
	owner    Owner
	away     away // see end.go

	streams  []*Stream // in the order of their ids
	queue    []*Stream // those that wait for their turn to send
	flushed  []*Stream // those that have had it
	heads    []*Stream // those that wait until the socket has taken their response heads
	turns    uint64
	lastID   uint32    // of the latest stream of the client
	servedID uint32    // of the latest that is served, once away is awayLast
	skipped  [2]uint32 // the first and the last id of those that the client has passed over last
	resetIDs idRing

	progress time.Time // when DATA was sent last

	timer   netloop.Timer
	frameBy time.Time // when the frame or header block under way must be whole; zero: there is none
	idleBy  time.Time // when a connection without streams has waited for long enough; zero: there are some
	awayBy  time.Time // when the next step of the end is due; zero: it has not begun
	dropped int       // bytes that came behind the end
}

var noTime time.Time

// Init takes over an open socket, whose events its handler passes to Ready from now on. What came already is in ahead, which is
// copied. Run must be called next.
func (c *Conn) Init(w *Worker, socket *netloop.Socket, settings *Settings, owner Owner, info any, ahead []byte) {
	*c = Conn{
		Info: info, settings: settings, owner: owner,
	}
	c.link.init(c, w, socket)
	c.timer.Init(w.Loop, (*timeout)(c))
	c.progress = w.Loop.Now()
	c.keepIn(ahead)
	c.frameBy = c.after(settings.Limits.HeaderTimeout)
	c.rearm()
	c.hello()
}

// hello sends what begins the server's side: SETTINGS, and a larger window for the connection than for its streams.
func (c *Conn) hello() {
	f := c.frames()
	_ = f.WriteSettings(
		xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: mostStreams},
		xhttp2.Setting{ID: xhttp2.SettingMaxHeaderListSize, Val: uint32(min(int64(c.settings.Limits.HeaderSize), mostSendWindow))},
		xhttp2.Setting{ID: xhttp2.SettingEnableConnectProtocol, Val: 1},
		xhttp2.Setting{ID: settingNoPriorities, Val: 1},
	)
	c.recv.size = connWindow
	c.recv.left = connWindow
	_ = f.WriteWindowUpdate(0, connWindow-firstWindow)
	c.wake()
}

// settingNoPriorities says that the priorities of RFC 7540 mean nothing here (RFC 9218 section 2.1).
const settingNoPriorities xhttp2.SettingID = 9

// Worker is what the connections of the loop share.
func (c *Conn) Worker() *Worker { return c.worker }

// Socket is the client's.
func (c *Conn) Socket() *netloop.Socket { return c.socket }

// Run reads what has come already.
func (c *Conn) Run() { c.read() }

// Ready takes the events of the socket.
func (c *Conn) Ready(ev netloop.Events) {
	switch {
	case c.phase == phaseClosed:
		return
	case ev&netloop.Failed != 0:
		c.fail(ErrClientDisconnected)
		return
	}
	if ev&netloop.Writable != 0 {
		c.work()
	}
	if ev&(netloop.Readable|netloop.HungUp) != 0 {
		c.read()
	}
}

// readFailed is called when there is nothing to read, now or ever.
func (c *Conn) readFailed(err error) {
	switch {
	case err == netloop.ErrWouldBlock:
		c.awaitFrames()
	case c.phase == phaseLingering:
		c.close(false)
	default:
		c.fail(ErrClientDisconnected)
	}
}

// worksAtOnce is how many times a connection's output is filled and sent before the other connections get their turn.
const worksAtOnce = 16

// work sends what there is, and has those streams go on that waited for it.
func (c *Conn) work() {
	for range worksAtOnce {
		if c.phase == phaseOpen {
			c.schedule()
		}
		if !c.flush() {
			return
		}
		blocked := len(c.out) > 0
		c.headsTaken()
		c.tellFlushed()
		switch {
		case blocked: // until Writable
			return
		case len(c.out) == 0 && c.next() == nil:
			c.checkEnd()
			return
		}
	}
	c.wake()
}

// tellFlushed has the streams go on whose pieces are on their way. Any of them may close the connection.
func (c *Conn) tellFlushed() {
	n := len(c.flushed)
	for i := 0; i < n && c.phase != phaseClosed; i++ {
		s := c.flushed[i]
		switch {
		case s == nil: // it has ended
		case s.out.queued: // it has sent more since, which is not on its way yet
		case s.tunnel != nil:
			s.tunnel.writable()
		default:
			s.Exchange.Flushed()
		}
	}
	if c.phase == phaseClosed {
		return
	}
	left := copy(c.flushed, c.flushed[n:])
	clear(c.flushed[left:])
	c.flushed = c.flushed[:left]
}

// find returns the open stream of that id; nil if there is none.
func (c *Conn) find(id uint32) *Stream {
	low, high := 0, len(c.streams)
	for low < high {
		mid := (low + high) / 2
		if c.streams[mid].id < id {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(c.streams) && c.streams[low].id == id {
		return c.streams[low]
	}
	return nil
}

// remove takes a stream off the list of those that are open.
func (c *Conn) remove(s *Stream) {
	for i, other := range c.streams {
		if other == s {
			c.streams = append(c.streams[:i], c.streams[i+1:]...)
			c.streams[:len(c.streams)+1][len(c.streams)] = nil
			return
		}
	}
}
