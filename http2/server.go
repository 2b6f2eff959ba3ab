// Package http2 speaks HTTP/2 with clients (RFC 9113), strictly: what could be read in two ways as HTTP/1 towards a backend is
// refused. It makes requests of the streams of a connection, and frames of responses; nothing else knows of frames.
//
// Frames are read and written by golang.org/x/net/http2's Framer, but for DATA, which is passed on without a copy. What is written within
// one batch of events leaves by one system call.
package http2

import (
	"time"

	"lb/netloop"
)

// Handler serves the requests of connections. It is called on the connection's loop and must not block.
type Handler interface {
	// Serve begins the exchange of a request, s.Request. It sets s.Exchange first, to what the events of the stream go to.
	// The exchange may end before Serve returns; see Stream.End.
	Serve(s *Stream)
	// Refused is called after a request was refused before there was an exchange for it, and when a connection is closed as a flood.
	Refused(c *Conn, r *Refusal)
	// Panicked is called with the value of a panic in Serve. The client gets 500, if the response has not begun.
	Panicked(v any)
}

// Exchange gets the events of a stream, on the loop, and never from within a method of the stream.
type Exchange interface {
	// BodyReady is called when Stream.Read, having returned netloop.ErrWouldBlock, may return something else.
	BodyReady()
	// Flushed is called when all that was sent is on its way, after a method that sends has reported that it was not.
	Flushed()
	// Disconnected is called once, when the client has cancelled the stream, disconnected, or taken too long to read: nothing can be sent any
	// more. The exchange must end with it.
	Disconnected(err error)
}

// Upgraded gets the events of a stream that has left HTTP, see Stream.Upgrade.
type Upgraded = interface {
	ClientReady(ev netloop.Events)
	// Ending is called when the connection will be cut soon.
	Ending()
}

// Limits bound what a client may take. Zero means no limit, but for HeaderSize and HeaderFields, which must be set.
type Limits struct {
	HeaderSize      int           // bytes of a request head, as the lines of HTTP/1 would have them; over it: 431
	HeaderFields    int           // fields of a request head, and of a trailer section; over it: 431
	HeaderTimeout   time.Duration // for the first frame of a connection, and for a request head
	BodySize        int64         // bytes of a request body; over it: 413
	BodyIdleTimeout time.Duration // of a stream, between two frames that move bytes of a body, in each direction
	IdleTimeout     time.Duration // of a connection without streams
	BodyMinRate     int64         // bytes a second of a body either way, over each RateWindow of waiting for the client
	RateWindow      time.Duration
}

// Settings are what the connections of a listener share. They do not change.
type Settings struct {
	Limits  Limits
	Handler Handler
}

// Owner is what has opened a connection.
type Owner interface {
	// Retiring reports whether the connection should end once the streams under way have.
	Retiring() bool
	// Ending reports whether it must end, too, and with little patience for requests that are on their way. Where
	// Ending holds, so does Retiring.
	Ending() bool
	// Linger is called when the connection has sent its last byte, just before the client sees the end, and reports whether it
	// may wait for the client to close.
	Linger() bool
	// Closed is called last, once, just before the socket is closed.
	Closed()
}

// mostStreams is how many streams a client may have open at a time (SETTINGS_MAX_CONCURRENT_STREAMS): what browsers and
// gRPC clients expect at least (RFC 9113 section 6.5.2).
const mostStreams = 100
