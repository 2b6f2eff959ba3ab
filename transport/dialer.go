package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"lb/internal/proxyprotocol"
)

// dialer makes blocking connections to one backend, for health checks and the like.
type dialer struct {
	network string
	address string        // the path of a unix socket, without "unix:"
	connect time.Duration // 0: no limit
	tls     *tls.Config   // nil: no TLS
	http2   bool          // the TLS handshake must agree to HTTP/2
	header  []byte        // the PROXY header, which names no client; nil: none
	net     net.Dialer
}

func newDialer(opt *Options) dialer {
	d := dialer{
		network: "tcp", address: opt.Address, connect: opt.Connect, tls: opt.TLS, http2: opt.HTTP2,
		header: proxyprotocol.AppendLocal(nil, opt.ProxyProtocol),
		// The timeouts detect a dead peer before TCP keep-alive would.
		net: net.Dialer{Timeout: opt.Connect, KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1},
	}
	if path, ok := strings.CutPrefix(opt.Address, "unix:"); ok {
		d.network, d.address = "unix", path
	}
	return d
}

// dial makes a connection, with TLS if that is configured. Every error is an *Error of phase Dial.
func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	if d.connect > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.connect)
		defer cancel()
	}
	nc, ok, err := d.dialPlain(ctx)
	if !ok {
		nc, err = d.net.DialContext(ctx, d.network, d.address)
	}
	if err != nil {
		return nil, dialError(ctx, err)
	}
	if d.header != nil {
		if _, err := nc.Write(d.header); err != nil { // which does not block on a new connection
			_ = nc.Close()
			return nil, dialError(ctx, err)
		}
	}
	if d.tls == nil {
		return nc, nil
	}
	secure := tls.Client(nc, d.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, dialError(ctx, err)
	}
	if d.http2 && secure.ConnectionState().NegotiatedProtocol != "h2" {
		_ = secure.Close()
		return nil, &Error{Phase: Dial, Cause: Protocol, Err: errNoHTTP2}
	}
	return secure, nil
}

// Dial makes a new connection, with TLS if that is configured, which the client neither keeps nor counts. Health checks use it. It
// blocks and must not be called on a loop. Every error is an *Error of phase Dial.
func (c *Client) Dial(ctx context.Context) (net.Conn, error) { return c.dialer.dial(ctx) }

// Connect makes a connection as Client.Dial does, by the Address, Connect, TLS and ProxyProtocol of opt alone.
func Connect(ctx context.Context, opt *Options) (net.Conn, error) {
	d := newDialer(opt)
	return d.dial(ctx)
}

// Refusal dials the backend and returns the error if it refuses the connection, else nil. It blocks and must not be called on a loop.
func (c *Client) Refusal() error {
	nc, err := c.dialer.dial(context.Background())
	if err == nil {
		reset(nc) // closing it would leave its port in TIME-WAIT, and there are many when all backends reset connections
		return nil
	}
	var e *Error
	if errors.As(err, &e) && e.Cause == Refused {
		return e
	}
	return nil
}

// reset closes a connection with a RST.
func reset(nc net.Conn) {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	if l, ok := nc.(interface{ SetLinger(seconds int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = nc.Close()
}

// dialError classifies the error of a failed dial.
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
