package transport

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"lb/http1"
	"lb/internal/fieldsection"
	"lb/internal/limits"
	"lb/netloop"
	"lb/telemetry"
)

// Client holds the connections to one backend. Each loop has its own connections in use and its own idle ones.
type Client struct {
	opt     Options
	address netip.AddrPort // not valid where it is a name or a path
	path    string         // of a unix socket
	name    string         // host and port, resolved at each dial

	limits      *fieldsection.Limits // of HTTP/2 responses; nil: the backend speaks HTTP/1
	workers     []*Worker
	loops       []loopConns
	dialer      dialer
	unreachable atomic.Pointer[unreachable] // the latest one; nil: none
	active      atomic.Int64                // connections in use
	idle        atomic.Int64                // idle connections, those on probation included
	closed      atomic.Bool
	stale       atomic.Int64 // when the backend was last found to have closed an idle connection, in Unix nanoseconds; 0: never
}

// loopConns are the connections of one loop. Only the loop's goroutine accesses them.
type loopConns struct {
	idle      connList         // most recently used first
	probation connList         // likewise; see Conn.probation
	announced map[string]*Conn // the idle ones with a PROXY header, by announcement.key; nil: none yet

	shared  []*shared // of HTTP/2
	waiting []*Stream // exchanges without one of these
	dialing int       // of shared: those that are not ready
	most    int       // streams that the backend allows on a connection; 0: not known

	_ [64]byte // keeps the loops from sharing a cache line
}

// New returns a client without connections, for exchanges on the loops of the given workers. Nothing is dialed before the first Get.
func New(opt Options, workers []*Worker) *Client {
	c := &Client{opt: opt, workers: workers, loops: make([]loopConns, len(workers)), dialer: newDialer(&opt)}
	if c.opt.HeadSize == 0 {
		c.opt.HeadSize = limits.ResponseHeaderSize
	}
	if opt.HTTP2 {
		c.limits = &fieldsection.Limits{HeaderSize: c.opt.HeadSize, HeaderFields: http1.MaxResponseFields}
	}
	path, isUnix := strings.CutPrefix(opt.Address, "unix:")
	address, err := netip.ParseAddrPort(opt.Address)
	switch {
	case isUnix:
		c.path = path
	case err == nil:
		c.address = address
	default:
		c.name = opt.Address
	}
	return c
}

// Counts returns the number of connections in use and of idle ones.
func (c *Client) Counts() (active, idle int) { return int(c.active.Load()), int(c.idle.Load()) }

// Get returns an idle connection of the loop. If there is none, or fresh is set, it dials a new one: ready is then false, and
// User.Dialed is called later.
func (c *Client) Get(l *netloop.Loop, user User, fresh bool) (conn *Conn, ready bool) {
	own, header := &c.loops[l.Index()], c.header(l, user)
	for !fresh {
		conn := own.reusable(header)
		if conn == nil {
			break
		}
		own.removeIdle(conn)
		c.idle.Add(-1)
		if c.expired(conn, l.Now()) {
			conn.closeUnused()
			continue
		}
		c.active.Add(1)
		conn.begin(user, true)
		countReused(c.opt.Reused, l)
		return conn, true
	}
	c.active.Add(1)
	c.makeRoom(l)
	conn = &Conn{client: c, worker: c.workers[l.Index()], loop: l}
	conn.begin(user, false)
	conn.announce(header)
	conn.dial()
	return conn, false
}

func (c *Client) expired(conn *Conn, now time.Time) bool {
	return c.opt.IdleTimeout > 0 && now.Sub(conn.idleSince) > c.opt.IdleTimeout
}

// Close closes the idle connections, and those in use as soon as they become idle. It may be called from any goroutine.
func (c *Client) Close() error {
	if !c.closed.Swap(true) {
		for _, w := range c.workers {
			l := w.Loop
			l.Post(netloop.TaskFunc(func() {
				for c.closeIdle(l, false) {
				}
				c.closeShared(l)
			}))
		}
	}
	return nil
}

// closeIdle closes one of the loop's idle connections, preferably one on probation, and reports whether there was one. With reset
// it sends a RST, so that a backend that is not reading notices at once.
func (c *Client) closeIdle(l *netloop.Loop, reset bool) bool {
	own := &c.loops[l.Index()]
	conn := own.probation.first
	if conn != nil {
		own.probation.remove(conn)
	} else if conn = own.idle.first; conn != nil {
		own.removeIdle(conn)
	} else {
		return false
	}
	c.idle.Add(-1)
	if reset {
		conn.Reset()
	}
	conn.closeUnused()
	return true
}

// RecentlyStale reports whether the backend closed an idle connection within the last minute, before IdleTimeout or MaxRequests
// applied. A request that cannot be retried should then use a new connection.
func (c *Client) RecentlyStale() bool {
	at := c.stale.Load()
	return at != 0 && time.Since(time.Unix(0, at)) < staleMemory
}

func (c *Client) noteStale() { c.stale.Store(time.Now().UnixNano()) }

// keep makes a connection idle so that it can be reused: at once or, if silence is not 0, after the backend has sent nothing for that
// long.
func (c *Client) keep(conn *Conn, silence time.Duration) {
	own := &c.loops[conn.loop.Index()]
	limit := c.opt.IdleTimeout
	if c.closed.Load() {
		conn.closeUnused()
		return
	}
	c.makeIdleRoom(own)
	surplus := c.idle.Add(1) > int64(c.opt.MaxIdle)
	switch {
	case surplus && (silence > 0 || c.opt.MaxIdle == 0):
		c.idle.Add(-1)
		if silence > 0 {
			conn.Reset() // closing it would block its port for a minute (TIME-WAIT), and soon all ports
		}
		conn.closeUnused()
	case surplus:
		conn.state = connIdle
		own.pushIdle(conn)
		if limit == 0 {
			limit = surplusTime
		}
		conn.timer.Reset(min(limit, surplusTime))
	case silence > 0:
		conn.state = connProbation
		own.probation.push(conn)
		if limit > 0 {
			silence = min(silence, limit)
		}
		conn.timer.Reset(silence)
	default:
		conn.state = connIdle
		own.pushIdle(conn)
		if limit > 0 {
			conn.timer.Reset(limit)
		}
	}
}

// makeRoom closes an idle connection if the connection about to be dialed, which is counted already, exceeds Options.MaxConns: a backend with one worker per connection
// would not serve the new one. The dialing loop's own idle connections are all on probation, or of other clients. Those of other loops are closed
// a little later; meanwhile the new connection waits in the backend's accept queue.
func (c *Client) makeRoom(l *netloop.Loop) {
	if c.opt.MaxConns == nil {
		return
	}
	limit := int64(c.opt.MaxConns())
	for limit > 0 && c.idle.Load() > 0 && c.active.Load()+c.idle.Load() > limit {
		if c.closeIdle(l, true) {
			continue
		}
		for _, w := range c.workers {
			other := w.Loop
			if other != l {
				other.Post(netloop.TaskFunc(func() {
					if c.active.Load()+c.idle.Load() > limit {
						c.closeIdle(other, true)
					}
				}))
			}
		}
		return
	}
}

// connList is a doubly linked list of connections.
type connList struct{ first, last *Conn }

func (l *connList) push(c *Conn) {
	c.next, c.previous = l.first, nil
	if l.first != nil {
		l.first.previous = c
	} else {
		l.last = c
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
	} else {
		l.last = c.previous
	}
	c.next, c.previous = nil, nil
}

// staleMemory is how long RecentlyStale reports that a backend closed an idle connection.
const staleMemory = time.Minute

func count(counter *telemetry.Counter) {
	if counter != nil {
		counter.Inc()
	}
}

func countReused(counter *telemetry.LoopCounter, l *netloop.Loop) {
	if counter != nil {
		counter.Add(l.Index(), 1)
	}
}

// surplusTime is how long connections beyond Options.MaxIdle stay idle. Under load a connection becomes idle and is used again many times
// a second: to close it and dial another one would cost both sides more than the requests do.
const surplusTime = time.Second

const (
	// silenceLength is how long a connection stays on probation after a response without a body whose head gives a body's length, such
	// as a response to HEAD. A faulty backend that sends the body anyway may take some time to generate it.
	silenceLength = 500 * time.Millisecond
	// silenceNoLength is the same after a 204, a 304 without a length, and a response to HEAD with length 0. It is shorter because these
	// responses are frequent, and each connection on probation may cost another dial.
	silenceNoLength = 100 * time.Millisecond
)
