// Package transport is the backend's side of an exchange: it dials, keeps, reuses and retires
// connections, writes requests and reads responses. It knows nothing of pools or retries.
package transport

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"lb/internal/limits"
	"lb/telemetry"
)

// Options say how to reach one backend.
type Options struct {
	Address string // "host:port" or "unix:/path"

	Connect time.Duration // to connect, TLS handshake included; 0: no limit
	Timeouts

	HeadSize int // bytes of a response head, each interim one too; 0: 32 KiB

	MaxIdle     int           // connections kept; 0: none
	IdleTimeout time.Duration // how long a connection is kept unused; 0: without limit
	MaxRequests int           // on one connection; 0: any number
	// MaxConns says how many requests at a time the backend takes; 0, and a nil func: any number.
	MaxConns func() int

	TLS *tls.Config // nil: plain

	// Counters of connections by how they came; nil ones are not counted.
	Opened, Reused, Failed *telemetry.Counter
	// ConnectTime takes the time that a successful dial needed. May be nil.
	ConnectTime *telemetry.Histogram
}

// Timeouts bound the waits of an exchange.
type Timeouts struct {
	Response time.Duration // from the end of the request to the response head; 0: no limit
	Idle     time.Duration // between two reads or writes of a body; 0: no limit
}

// Client holds the connections to one backend. It is safe for concurrent use.
type Client struct {
	opt     Options
	network string
	address string
	dialer  net.Dialer

	idle   *idleStack
	aside  atomic.Pointer[idleStack] // see setAside
	active atomic.Int64
	closed atomic.Bool
	start  time.Time
	died   atomic.Int64 // since start: when the backend was last found to have ended a kept connection; 0: never
}

// New returns a client without connections; nothing is dialled before the first Get.
func New(opt Options) *Client {
	c := &Client{
		opt: opt, network: "tcp", address: opt.Address,
		// Keep-alive probes would find nothing that the timeouts do not find before.
		dialer: net.Dialer{Timeout: opt.Connect, KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1},
		idle:   newIdleStack(opt.MaxIdle),
		start:  time.Now(),
	}
	if c.opt.HeadSize == 0 {
		c.opt.HeadSize = limits.ResponseHeaderSize
	}
	if path, ok := strings.CutPrefix(opt.Address, "unix:"); ok {
		c.network, c.address = "unix", path
	}
	return c
}

// Counts returns the connections in use and those kept for requests to come, which may be set aside for now.
func (c *Client) Counts() (active, idle int) {
	return int(c.active.Load()), int(c.idle.count.Load() + c.asideCount())
}

// Get returns a kept connection that is still alive or, if there is none or fresh
// is set, a new one. Every error is an *Error of phase Dial.
func (c *Client) Get(ctx context.Context, fresh bool) (*Conn, error) {
	for !fresh {
		conn, aside := c.idle.pop(), false
		if conn == nil {
			conn, aside = c.takeSilent(), true
		}
		if conn == nil {
			break
		}
		if c.expired(conn) {
			conn.nc.Close()
			continue
		}
		if !conn.alive() {
			if !aside { // what came on one that was set aside is most likely a body
				c.noteDeath()
			}
			conn.nc.Close()
			continue
		}
		c.active.Add(1)
		conn.begin(true)
		count(c.opt.Reused)
		return conn, nil
	}
	c.makeRoom()
	begin := time.Now()
	nc, err := c.dial(ctx, func(nc net.Conn) net.Conn { return &socket{Conn: nc} })
	if err != nil {
		count(c.opt.Failed)
		return nil, err
	}
	if c.opt.ConnectTime != nil {
		c.opt.ConnectTime.Observe(time.Since(begin))
	}
	count(c.opt.Opened)
	c.active.Add(1)
	conn := newConn(c, nc)
	conn.begin(false)
	return conn, nil
}

// Dial makes a new connection, through TLS where that is configured, that the client
// does not keep or count: health checks use it. Every error is an *Error of phase Dial.
func (c *Client) Dial(ctx context.Context) (net.Conn, error) {
	if c.opt.TLS == nil {
		if nc, ok, err := c.dialPlain(ctx); ok {
			if err != nil {
				return nil, dialError(ctx, err)
			}
			return nc, nil
		}
	}
	return c.dial(ctx, func(nc net.Conn) net.Conn { return nc })
}

// dial is Dial with what TLS is to see as its socket.
func (c *Client) dial(ctx context.Context, under func(net.Conn) net.Conn) (net.Conn, error) {
	if c.opt.Connect > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.opt.Connect)
		defer cancel()
	}
	nc, err := c.dialer.DialContext(ctx, c.network, c.address)
	if err != nil {
		return nil, dialError(ctx, err)
	}
	if c.opt.TLS == nil {
		return nc, nil
	}
	secure := tls.Client(under(nc), c.opt.TLS)
	if err := secure.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, dialError(ctx, err)
	}
	return secure, nil
}

func dialError(ctx context.Context, err error) *Error {
	cause := Refused
	switch {
	case ctx.Err() == context.DeadlineExceeded || causeOf(err) == TimedOut:
		cause = TimedOut
	case exhausted(err):
		cause = Exhausted
	}
	return &Error{Phase: Dial, Cause: cause, Err: err}
}

// Sweep closes the connections that have been idle for longer than IdleTimeout. Call it
// about once a second.
func (c *Client) Sweep() {
	c.idle.sweep(c.expired, func(conn *Conn) { conn.nc.Close() })
	c.sweepAside(c.expired)
}

// Close closes the idle connections; those in use are closed when they are given back.
func (c *Client) Close() error {
	c.closed.Store(true)
	all := func(*Conn) bool { return true }
	c.idle.sweep(all, func(conn *Conn) { conn.nc.Close() })
	c.sweepAside(all)
	return nil
}

// keep takes back a connection that is fit for another request, at once or, if silence is not 0, when it has been silent
// for so long.
func (c *Client) keep(conn *Conn, silence time.Duration) {
	now := time.Since(c.start)
	conn.idleSince.Store(int64(now))
	if silence > 0 {
		c.setAside(conn, now+silence)
		return
	}
	if c.closed.Load() || !c.idle.push(conn) {
		conn.nc.Close()
		return
	}
	if c.closed.Load() {
		c.Close() // it began between the look and the push
	}
}

func (c *Client) expired(conn *Conn) bool {
	return c.opt.IdleTimeout > 0 && int64(time.Since(c.start))-conn.idleSince.Load() > int64(c.opt.IdleTimeout)
}

// wary is how long a backend is remembered for ending a kept connection.
const wary = time.Minute

// EndsKept reports whether the backend was lately found to have ended a kept connection unannounced, before
// IdleTimeout and MaxRequests had us end it. A request that cannot be sent twice had better not use one then.
func (c *Client) EndsKept() bool {
	at := c.died.Load()
	return at != 0 && time.Since(c.start)-time.Duration(at) < wary
}

func (c *Client) noteDeath() { c.died.Store(int64(time.Since(c.start))) }

func count(counter *telemetry.Counter) {
	if counter != nil {
		counter.Inc()
	}
}
