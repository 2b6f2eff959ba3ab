// Package http3 speaks HTTP/3 with clients (RFC 9114), strictly: what could be read in two ways as HTTP/1 towards a backend is refused. It
// makes requests of the streams of a QUIC connection, and frames of responses. QUIC itself is github.com/quic-go/quic-go.
//
// QUIC connections do not belong to an event loop: quic-go runs a goroutine for each. Those of this package wait for what blocks, reading
// from a stream and writing more than is sent at once, and hand over to the loop on which the exchange runs. A request whose head, body
// and response are small needs one goroutine until its head is read, and none afterwards.
package http3

import (
	"time"

	"lb/internal/fieldsection"
	"lb/netloop"
)

// Handler serves the requests of connections. It is called on the connection's loop and must not block.
type Handler interface {
	// Serve begins the exchange of a request, s.Request. It sets s.Exchange first, to what the events of the stream go to.
	// The exchange may end before Serve returns; see Stream.End.
	Serve(s *Stream)
	// Refused is called after a request was refused before there was an exchange for it, and when a connection is closed as a flood.
	Refused(c *Conn, r *Refusal)
	// Panicked is called with the value of a panic: in Serve, for which the client gets 500 if the response has not begun, or in a goroutine of
	// a stream, which is reset. In the latter case it is called in that goroutine.
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

// Limits bound what a client may take. Zero means no limit, but for HeaderSize, HeaderFields and the timeouts, which must be set.
type Limits struct {
	HeaderSize      int           // bytes of a request head, as the lines of HTTP/1 would have them; over it: 431
	HeaderFields    int           // fields of a request head, and of a trailer section; over it: 431
	HeaderTimeout   time.Duration // for a handshake, and for a request head
	BodySize        int64         // bytes of a request body; over it: 413
	BodyIdleTimeout time.Duration // of a stream, between two movements of a body, in each direction
	IdleTimeout     time.Duration // of a connection without streams
	BodyMinRate     int64         // bytes a second of a body either way, over each RateWindow of waiting for the client
	RateWindow      time.Duration
}

// Settings are what the connections of a listener share. They do not change.
type Settings struct {
	Limits  Limits
	Handler Handler
}

// Owner is what has accepted a connection.
type Owner interface {
	// Retiring reports whether the connection should end once the streams under way have.
	Retiring() bool
	// Closed is called last, once, on the loop, when the connection has ended.
	Closed()
}

// Worker is what the connections of one loop share. It belongs to the loop's goroutine.
type Worker struct {
	Loop *netloop.Loop

	block []byte // the field section that is being encoded
	out   []byte // the frames that are being sent
}

// Refusal is the end of a request before there was an exchange for it.
type Refusal = fieldsection.Refusal

// Labels of lb_rejected_requests_total.
const (
	LabelHeaderTimeout = fieldsection.LabelHeaderTimeout
	LabelFlood         = fieldsection.LabelFlood
)

// MostStreams is how many streams a client may have open at a time, those included whose exchange has not ended yet: as with HTTP/2.
const MostStreams = 100
