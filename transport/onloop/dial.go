package onloop

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"lb/netloop"
	"lb/transport"
)

// noLimit is how long a TLS handshake may take where Options.Connect says nothing.
const noLimit = 24 * time.Hour

// dialTarget is an address that a name stands for.
type dialTarget = netip.AddrPort

// dial begins to connect. Its end is told later, whatever comes of it.
func (c *Conn) dial() {
	s := c.set
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

// opened handles what a call of Dial returns.
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
		d.conn.dialFailed(dialError(d.err))
	}
}

// resolving finds the addresses of a backend that has a name.
type resolving struct {
	conn  *Conn
	found []netip.AddrPort
	err   error
}

func (r *resolving) lookUp(ctx context.Context) {
	s := r.conn.set
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
	case c.state != connDialing: // it took too long, or is not wanted any more
	case r.err != nil:
		c.dialFailed(dialError(r.err))
	case len(r.found) == 0:
		c.dialFailed(dialError(errors.New("the name has no address")))
	default:
		c.targets = r.found[1:]
		c.opened(c.loop.Dial(&c.Socket, r.found[0], c))
	}
}

// dialEvent takes the events of a connection that is being made.
func (c *Conn) dialEvent(ev netloop.Events) {
	s := c.set
	switch {
	case ev&netloop.Failed != 0:
		err := c.Err()
		if len(c.targets) > 0 {
			next := c.targets[0]
			c.targets = c.targets[1:]
			c.Socket.Close()
			c.opened(c.loop.Dial(&c.Socket, next, c))
			return
		}
		c.dialFailed(dialError(err))
	case ev&netloop.Connected != 0 && s.opt.TLS != nil:
		left := noLimit
		if s.opt.Connect > 0 {
			left = max(s.opt.Connect-c.loop.Now().Sub(c.idleSince), time.Millisecond)
		}
		c.ClientTLS(s.opt.TLS, left)
	case ev&(netloop.Connected|netloop.Secured) != 0:
		c.timer.Stop()
		c.state, c.targets = connBusy, nil
		count(s.opt.Opened)
		if s.opt.ConnectTime != nil {
			s.opt.ConnectTime.Observe(c.loop.Now().Sub(c.idleSince))
		}
		c.user.Dialed(nil)
	}
}

func (c *Conn) dialFailed(err *transport.Error) {
	count(c.set.opt.Failed)
	c.closeUnused()
	c.user.Dialed(err)
}

func dialError(err error) *transport.Error {
	cause := transport.Refused
	switch {
	case causeOf(err) == transport.TimedOut:
		cause = transport.TimedOut
	case exhausted(err):
		cause = transport.Exhausted
	}
	return &transport.Error{Phase: transport.Dial, Cause: cause, Err: err}
}
