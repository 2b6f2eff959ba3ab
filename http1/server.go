package http1

import (
	"net/netip"
	"time"

	"lb/netloop"
)

// Handler serves the requests of connections. It is called on the connection's loop and must not block.
type Handler interface {
	// Serve begins the exchange of a request, s.Request. It sets s.Exchange first, to what the events of the stream go to.
	// The exchange may end before Serve returns; see Stream.End.
	Serve(s *Stream)
	// Refused is told of each request that was refused before there was an exchange for it.
	Refused(c *Conn, r *Refusal)
	// Panicked is told what Serve has panicked with. The client has got 500, if that could still be said.
	Panicked(v any)
}

// Exchange gets the events of a stream, on the loop, and never from within a method of the stream.
type Exchange interface {
	// Moved is called when the slices of the request lie elsewhere: once, at the latest when Handler.Serve has returned.
	Moved()
	// BodyReady is called when Stream.Read, having returned netloop.ErrWouldBlock, may return something else.
	BodyReady()
	// Flushed is called when the client's socket has taken all that was sent, after a method that sends has
	// reported that it had not.
	Flushed()
	// Gone is called once, when the client has disconnected or taken too long to read: nothing can be sent any more. The
	// exchange must end with it.
	Gone(err error)
}

// Upgraded gets the events of a connection that has left HTTP.
type Upgraded = interface {
	ClientReady(ev netloop.Events)
	// Ending is called when the connection will be cut soon.
	Ending()
}

// Limits bound what a client may take. Zero means no limit, but for HeaderSize, which must be set.
type Limits struct {
	HeaderSize      int           // bytes of a request head; over it: 431
	HeaderFields    int           // fields of a request head, and of a trailer section; over it: 431
	HeaderTimeout   time.Duration // for a request head, and for the first byte of the first one; over it: 408
	BodySize        int64         // bytes of a request body; over it: 413
	BodyIdleTimeout time.Duration // between two reads or two writes that move bytes
	IdleTimeout     time.Duration // between two requests
	BodyMinRate     int64         // bytes a second of a body either way, over each RateWindow of waiting for the client
	RateWindow      time.Duration
}

// Settings are what the connections of a listener share. They do not change.
type Settings struct {
	Limits  Limits
	Handler Handler
	// TrustsPeer says whether a peer may give its requests an X-Request-Id; nil: none may.
	TrustsPeer func(peer netip.AddrPort) bool
}

// Info is what is known of a connection before its first request.
type Info struct {
	Peer     netip.AddrPort // the client; zero on a unix socket
	Listener any            // what the handler knows the listener by
	TLS      *TLS           // nil: a plain connection
}

// TLS is what a handshake has shown.
type TLS struct {
	Version    string // like "TLSv1.3"
	ServerName string // that the client asked for, of at most 255 bytes; "": none
	Attached   any    // the handler's own, for the later requests of the connection
}

// Owner is what has opened a connection.
type Owner interface {
	// Retiring reports whether the connection should end with the response under way.
	Retiring() bool
	// Ending reports whether it must end, too, as soon as no request is in progress, and with little patience for one that is
	// on its way. Where Ending holds, so does Retiring.
	Ending() bool
	// Linger is called when the connection has sent its last byte, just before the client sees the end, and reports whether it
	// may wait for the client to close.
	Linger() bool
	// Closed is called last, once, just before the socket is closed: upon that the client may connect again at once.
	Closed()
}
