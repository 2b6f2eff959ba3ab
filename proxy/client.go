package proxy

import (
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"lb/filter"
	"lb/internal/dormant"
	"lb/message"
	"lb/route"
)

// Client is the client's connection while one request is responded to on it. The front implements it.
type Client interface {
	// Request is the request. It is another one, with the same content, after Suspend and Upgrade.
	Request() *message.Request
	// Body returns what reads the body of the request; nil if there is none.
	Body() io.Reader
	// Respond begins the final response, whose head goes out with what is sent next. Until then another one takes its place.
	Respond(r *message.Response)
	// Send sends what is left of the head and then p, the next piece of the body, of which it returns how much was sent. With patience
	// it fails with dormant.ErrPaused if the client takes nothing for so long; the rest is to be sent again then.
	Send(p []byte, patience time.Duration) (int, error)
	// Finish is Send for the last piece, behind which the trailer fields go.
	Finish(p []byte, trailers []message.Field, patience time.Duration) (int, error)
	// Append puts the last piece behind what is to be sent by Finish, which then has none. It is copied.
	Append(p []byte, trailers []message.Field)
	// SendFile is Send with n bytes of f from offset off.
	SendFile(f *os.File, off, n int64, patience time.Duration) (int64, error)
	// SendInterim sends a 1xx response, to a client that understands it; with more it may wait for what comes next. Nil
	// sends those that wait.
	SendInterim(r *message.Response, more bool) error
	// Sent returns how many bytes the socket has taken for this request.
	Sent() int64
	// Responded reports whether something of the final response was sent.
	Responded() bool
	// BodyTooLarge reports whether the head announced a body over the limit, which then cannot be read.
	BodyTooLarge() bool
	// BodyPending reports whether bytes of the request's body have not arrived yet.
	BodyPending() bool
	// BodyBytes returns how many bytes of the request's body have arrived.
	BodyBytes() int64
	// Trailers returns the trailer fields of a body that was read to its end, as far as they may be passed on.
	Trailers() []message.Field
	// HurryBody makes reads of the request's body that would wait beyond t fail with os.ErrDeadlineExceeded, and for
	// no longer than until it is called with the zero time.
	HurryBody(t time.Time)
	// DropArrivedBody drops the request's body if it is small and has come.
	DropArrivedBody()
	// StopBody makes a read of the request's body that waits in another goroutine fail.
	StopBody()
	// Await calls gone, from another goroutine, if the client leaves before EndAwait.
	Await(gone func())
	// EndAwait ends that; gone is not called any more when it returns.
	EndAwait()
	// PauseBody makes a read of the request's body that waits in another goroutine fail with dormant.ErrPaused;
	// it can be read on.
	PauseBody()
	// TakeBackPause reports true if no read has met PauseBody, nor will.
	TakeBackPause() bool
	// CanSuspend reports whether Suspend may be called.
	CanSuspend() bool
	// Suspend has the request wait without a goroutine; its handler must return. resume is called, in another, when
	// there is something to be read from the client or other, or, with room, when there is room to send to the client,
	// or an end. Other sleeps meanwhile. What Request has returned is gone by then. No Await may be in force.
	Suspend(room bool, other *dormant.Conn, resume func())
	// EndAfter has the connection end with the present response.
	EndAfter()
	// Abort ends the connection so that the response cannot be taken for whole.
	Abort()
	// Upgrade leaves HTTP: the connection, with what the client sent behind its request. ending is
	// called, from another goroutine, when the connection will be cut soon; it must not block.
	Upgrade(ending func()) Stream
	// LocalAddr is where the client came to.
	LocalAddr() net.Addr
	// Peer is the client's address; zero on a unix socket.
	Peer() netip.AddrPort
	// TLSVersion is "" on a plain connection.
	TLSVersion() string
}

// Stream is an upgraded connection.
type Stream = interface {
	net.Conn
	CloseWrite() error
}

// Inbound is what the listener tells about every request that comes by it.
type Inbound struct {
	Secure     bool             // TLS ends here
	Filters    []filter.Request // asked first
	HTTPSPort  string           // for RedirectHTTPS: of the listener with TLS, as ":8443"; "": 443, or none
	OnPort80   bool             // then: the client came by port 80
	ServerName *ServerName      // of the TLS handshake; nil if none was named
}

// ServerName is the name of a TLS handshake, with what is known of it: the requests of one connection share it, one after
// the other, so that it is looked for once and not for each of them.
type ServerName struct {
	name  []byte
	state *State // that known holds for; nil: the name has not been looked for
	known bool   // a site takes the name
}

// NewServerName returns what is known of a name before the first request.
func NewServerName(name string) *ServerName {
	return &ServerName{name: route.CleanHost(nil, []byte(name))}
}

// in reports whether a site takes the name.
func (n *ServerName) in(s *State) bool {
	if n.state != s {
		_, n.known = s.Hosts.Match(n.name)
		n.state = s
	}
	return n.known
}
