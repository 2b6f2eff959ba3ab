package http1

import (
	"net/netip"
	"time"

	"lb/netloop"
)

// Handler serves the requests of connections. It is called on the connection's loop and must not block.
type Handler interface {
	// Serve begins the exchange of the request s.Request. It must first set s.Exchange, which gets the events of the stream. The
	// exchange may end before Serve returns; see Stream.End.
	Serve(s *Stream)
	// Refused is called after a request was refused before there was an exchange for it.
	Refused(c *Conn, r *Refusal)
	// Panicked is called with the value of a panic in Serve. The client has got 500, if no response had begun.
	Panicked(v any)
}

// Exchange gets the events of a stream, on the loop, and never from within a method of the stream.
type Exchange interface {
	// Moved is called when the slices of the request have moved in memory: once, at the latest when Handler.Serve has returned.
	Moved()
	// BodyReady is called when Stream.Read, after it returned netloop.ErrWouldBlock, should be called again.
	BodyReady()
	// Flushed is called when everything has been written to the client's socket, after a method that sends has returned false.
	Flushed()
	// Disconnected is called once, when the client has disconnected or reads too slowly: nothing can be sent any more. The exchange must end.
	Disconnected(err error)
}

// Upgraded gets the events of an upgraded connection.
type Upgraded = interface {
	ClientReady(ev netloop.Events)
	// Ending is called when the connection will be closed soon.
	Ending()
}

// Limits limit the resources of a client. Zero means no limit, except for HeaderSize, which must be set.
type Limits struct {
	HeaderSize      int           // bytes of a request head; if exceeded: 431
	HeaderFields    int           // fields of a request head, and of a trailer section; if exceeded: 431
	HeaderTimeout   time.Duration // for a request head, and for the first byte of the first one; if exceeded: 408
	BodySize        int64         // bytes of a request body; if exceeded: 413
	BodyIdleTimeout time.Duration // between two reads or two writes that transfer bytes
	IdleTimeout     time.Duration // between two requests
	BodyMinRate     int64         // bytes a second of a body either way, over each RateWindow of waiting for the client
	RateWindow      time.Duration
}

// Settings are what the connections of a listener share. They do not change.
type Settings struct {
	Limits  Limits
	Handler Handler
	// TrustsPeer reports whether the X-Request-Id of a peer's requests is used; nil: of no peer.
	TrustsPeer func(peer netip.AddrPort) bool
}

// Info is what is known about a connection before its first request.
type Info struct {
	Peer     netip.AddrPort // the client; zero on a unix socket
	Listener any            // identifies the listener to the handler
	TLS      *TLS           // nil: no TLS
}

// TLS is the result of a handshake.
type TLS struct {
	Version    string // like "TLSv1.3"
	ALPN       string // the protocol that was negotiated, like "h2"; "": none
	ServerName string // sent by the client, at most 255 bytes; "": none
	ClientCert []byte // the verified client certificate as the value of Client-Cert (RFC 9440 section 2.2); nil: none
	Attached   any    // for the handler's use in later requests of the connection
}

// Owner is what opened a connection.
type Owner interface {
	// Retiring reports whether the connection should close after the current response.
	Retiring() bool
	// Ending reports whether the connection must also close as soon as no request is in progress, with a short grace for a request in
	// transit. If Ending holds, so does Retiring.
	Ending() bool
	// Linger is called when the connection has sent its last byte, just before the client sees the end. It reports whether the
	// connection may wait for the client to close.
	Linger() bool
	// Closed is called once, just before the socket is closed. Nothing is called after it. The client may then connect again at
	// once.
	Closed()
}
