package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"lb/internal/proxyprotocol"
	"lb/netloop"
)

const (
	// noLimit is how long a TLS handshake may take if Options.Connect is 0.
	noLimit = 24 * time.Hour
	// triedLast is for how long an address that could not be connected to is tried after the other addresses of its name.
	triedLast = time.Minute
	// nextAddress is how long an address is waited for, if Options.Connect is 0, before the next one is tried.
	nextAddress = 5 * time.Second
)

// unreachable is an address that could not be connected to.
type unreachable struct {
	address netip.AddrPort
	at      time.Time
}

// dial starts to connect. The result, success or failure, is always reported later by User.Dialed.
func (c *Conn) dial() {
	s := c.client
	c.state = connDialing
	c.idleSince = c.loop.Now() // when the dial began
	c.timer.Init(c.loop, c)
	if s.opt.Connect > 0 {
		c.timer.Reset(s.opt.Connect)
	}
	switch {
	case s.path != "":
		c.opened(c.loop.DialUnix(&c.Socket, s.path, c))
	case s.address.IsValid():
		c.opened(c.loop.Dial(&c.Socket, s.address, c))
	default:
		r := &resolving{conn: c}
		c.loop.Go(r.lookUp, r)
	}
}

// opened handles the result of Loop.Dial.
func (c *Conn) opened(err error) {
	if err != nil {
		c.loop.Later(&dialRefused{c, err})
	}
}

type dialRefused struct {
	conn *Conn
	err  error
}

func (d *dialRefused) Run() {
	if d.conn.state == connDialing {
		d.conn.attemptFailed(dialError(context.Background(), d.err))
	}
}

// timeLeft returns how much of Options.Connect is left; ok is false if there is no limit.
func (c *Conn) timeLeft() (d time.Duration, ok bool) {
	limit := c.client.opt.Connect
	return max(limit-c.loop.Now().Sub(c.idleSince), time.Millisecond), limit > 0
}

// dialNext connects to the first of the remaining addresses. It has an equal share of the time that is left, so that one that
// does not respond does not use up that of the others.
func (c *Conn) dialNext() {
	share, limited := c.timeLeft()
	switch {
	case limited:
		c.timer.Reset(share / time.Duration(len(c.targets)))
	case len(c.targets) > 1:
		c.timer.Reset(nextAddress)
	default:
		c.timer.Stop()
	}
	c.opened(c.loop.Dial(&c.Socket, c.targets[0], c))
}

// attemptFailed goes on with the next address, or ends the dial if there is none.
func (c *Conn) attemptFailed(err *Error) {
	if len(c.targets) < 2 {
		c.dialFailed(err)
		return
	}
	c.client.unreachable.Store(&unreachable{c.targets[0], c.loop.Now()})
	c.targets = c.targets[1:]
	c.Socket.Close()
	c.dialNext()
}

// resolving looks up the addresses of a backend that is configured by name.
type resolving struct {
	conn  *Conn
	found []netip.AddrPort
	err   error
}

func (r *resolving) lookUp(ctx context.Context) {
	s := r.conn.client
	host, port, err := net.SplitHostPort(s.name)
	if err != nil {
		r.err = err
		return
	}
	if s.opt.Connect > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opt.Connect)
		defer cancel()
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		n, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
		if err != nil {
			r.err = err
			return
		}
		number = uint64(n)
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	r.err = err
	for _, a := range addresses {
		r.found = append(r.found, netip.AddrPortFrom(a.Unmap(), uint16(number)))
	}
}

func (r *resolving) Run() {
	c := r.conn
	switch {
	case c.state != connDialing: // timed out or no longer wanted
	case r.err != nil:
		c.dialFailed(dialError(context.Background(), r.err))
	case len(r.found) == 0:
		c.dialFailed(dialError(context.Background(), errors.New("the name has no address")))
	default:
		c.targets = r.found
		if last := c.client.unreachable.Load(); last != nil && c.loop.Now().Sub(last.at) < triedLast {
			if i := slices.Index(r.found, last.address); i >= 0 {
				c.targets = append(slices.Delete(r.found, i, i+1), last.address)
			}
		}
		c.dialNext()
	}
}

// dialEvent handles the events of a connection that is being established.
func (c *Conn) dialEvent(ev netloop.Events) {
	s := c.client
	switch {
	case ev&netloop.Failed != 0:
		c.attemptFailed(dialError(context.Background(), c.Err()))
	case ev&netloop.Connected != 0 && s.opt.ProxyProtocol != proxyprotocol.None && !c.sendHeader():
	case ev&netloop.Connected != 0 && s.opt.TLS != nil:
		left, limited := c.timeLeft()
		if !limited {
			left = noLimit
		}
		c.ClientTLS(s.opt.TLS, left)
	case ev&(netloop.Connected|netloop.Secured) != 0:
		c.timer.Stop()
		c.state, c.targets = connBusy, nil
		if c.announced != nil {
			c.announced.header = nil
		}
		count(s.opt.Opened)
		if s.opt.ConnectTime != nil {
			s.opt.ConnectTime.Observe(c.loop.Now().Sub(c.idleSince))
		}
		c.user.Dialed(nil)
	}
}

func (c *Conn) dialFailed(err *Error) {
	count(c.client.opt.Failed)
	c.closeUnused()
	c.user.Dialed(err)
}
