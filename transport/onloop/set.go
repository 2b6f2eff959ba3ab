package onloop

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"lb/netloop"
	"lb/telemetry"
	"lb/transport"
)

// Set is the connections to one backend: for each loop those that it uses, and those that it keeps for requests to come.
type Set struct {
	opt     transport.Options
	address netip.AddrPort // not valid where it is a name or a path
	path    string         // of a unix socket
	name    string         // host and port, to be resolved at each dial

	on     []*netloop.Loop
	loops  []loopConns
	prober *transport.Client
	active atomic.Int64 // in use
	idle   atomic.Int64 // kept
	closed atomic.Bool
	died   atomic.Int64 // when the backend was last found to have ended a kept connection, in Unix nanoseconds; 0: never
}

// loopConns are the connections of one loop, whose goroutine alone touches them.
type loopConns struct {
	idle  connList // the one used last is the first
	aside connList // likewise; see aside.go
	out   []byte   // where heads and chunks are put together
	_     [64]byte // the loops do not share a cache line
}

// NewSet returns a set without connections, for exchanges on all of those loops. Nothing is dialed before the first Get.
func NewSet(opt transport.Options, loops []*netloop.Loop) *Set {
	probing := opt
	probing.Opened, probing.Reused, probing.Failed, probing.ConnectTime, probing.MaxIdle = nil, nil, nil, nil, 0
	s := &Set{opt: opt, on: loops, loops: make([]loopConns, len(loops)), prober: transport.New(probing)}
	if s.opt.HeadSize == 0 {
		s.opt.HeadSize = 32 << 10
	}
	path, isUnix := strings.CutPrefix(opt.Address, "unix:")
	address, err := netip.ParseAddrPort(opt.Address)
	switch {
	case isUnix:
		s.path = path
	case err == nil:
		s.address = address
	default:
		s.name = opt.Address
	}
	return s
}

// Counts returns the connections in use and those kept for requests to come.
func (s *Set) Counts() (active, idle int) { return int(s.active.Load()), int(s.idle.Load()) }

// Get returns a kept connection of the loop or, if there is none or fresh is set, one that is to be made: then ready is false,
// and User.Dialed is called later.
func (s *Set) Get(l *netloop.Loop, user User, fresh bool) (c *Conn, ready bool) {
	own := &s.loops[l.Index()]
	for !fresh {
		c := own.idle.first
		if c == nil {
			break
		}
		own.idle.remove(c)
		s.idle.Add(-1)
		if s.expired(c, l.Now()) {
			c.closeUnused()
			continue
		}
		s.active.Add(1)
		c.begin(user, true)
		count(s.opt.Reused)
		return c, true
	}
	s.makeRoom(own)
	s.active.Add(1)
	c = &Conn{set: s, loop: l}
	c.begin(user, false)
	c.dial()
	return c, false
}

func (s *Set) expired(c *Conn, now time.Time) bool {
	return s.opt.IdleTimeout > 0 && now.Sub(c.idleSince) > s.opt.IdleTimeout
}

// Close has the idle connections close, and those in use when they are done. It may be called on any goroutine.
func (s *Set) Close() error {
	if !s.closed.Swap(true) {
		for _, l := range s.on {
			l.Post(&closing{s, l.Index()})
		}
	}
	return nil
}

type closing struct {
	set  *Set
	loop int
}

func (c *closing) Run() {
	own := &c.set.loops[c.loop]
	for _, list := range [...]*connList{&own.idle, &own.aside} {
		for list.first != nil {
			conn := list.first
			list.remove(conn)
			c.set.idle.Add(-1)
			conn.closeUnused()
		}
	}
}

// EndsKept reports whether the backend was lately found to have ended a kept connection unannounced, before
// IdleTimeout and MaxRequests had us end it. A request that cannot be sent twice had better not use one then.
func (s *Set) EndsKept() bool {
	at := s.died.Load()
	return at != 0 && time.Since(time.Unix(0, at)) < wary
}

func (s *Set) noteDeath() { s.died.Store(time.Now().UnixNano()) }

// keep takes a connection back that is fit for another request, at once or, if silence is not 0, when it has been silent
// for so long.
func (s *Set) keep(c *Conn, silence time.Duration) {
	own := &s.loops[c.loop.Index()]
	switch {
	case s.closed.Load() || s.idle.Add(1) > int64(s.opt.MaxIdle):
		if !s.closed.Load() {
			s.idle.Add(-1)
		}
		if silence > 0 {
			c.Reset() // were it closed, its port would be lost for a minute (TIME-WAIT), and soon all of them
		}
		c.closeUnused()
	case silence > 0:
		c.state = connAside
		own.aside.push(c)
		c.timer.Reset(silence)
	default:
		c.state = connIdle
		own.idle.push(c)
		if s.opt.IdleTimeout > 0 {
			c.timer.Reset(s.opt.IdleTimeout)
		}
	}
}

// makeRoom ends a connection that is set aside if with one more there would be more than the backend takes requests at a time: one that serves a
// connection per worker would not serve the next.
func (s *Set) makeRoom(own *loopConns) {
	if s.opt.MaxConns == nil {
		return
	}
	limit := int64(s.opt.MaxConns())
	for limit > 0 && s.active.Load()+s.idle.Load() >= limit {
		c := own.aside.first
		if c == nil {
			return
		}
		own.aside.remove(c)
		s.idle.Add(-1)
		c.Reset()
		c.closeUnused()
	}
}

// connList is a list of connections that need not be looked for to be removed.
type connList struct{ first *Conn }

func (l *connList) push(c *Conn) {
	c.next, c.previous = l.first, nil
	if l.first != nil {
		l.first.previous = c
	}
	l.first = c
}

func (l *connList) remove(c *Conn) {
	if c.previous != nil {
		c.previous.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.previous = c.previous
	}
	c.next, c.previous = nil, nil
}

// wary is how long a backend is remembered for ending a kept connection.
const wary = time.Minute

func count(counter *telemetry.Counter) {
	if counter != nil {
		counter.Inc()
	}
}

const (
	// asideAnnounced is how long a connection must be silent where the head of a response without a body announces one, as
	// in the response to HEAD: a backend that sends it may have to make it first.
	asideAnnounced = 500 * time.Millisecond
	// asideNone is the same after a 204, a 304 without a length, and a response to HEAD of length 0. Those are frequent, and
	// each connection that is set aside is one more to be dialed.
	asideNone = 100 * time.Millisecond
)
