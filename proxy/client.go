package proxy

import (
	"net"
	"net/netip"
	"os"
	"time"

	"lb/internal/dormant"
	"lb/route"
)

// Client is the client's connection while one request is answered on it. The front
// implements it; answers are the exact bytes handed to Send.
type Client interface {
	// Send writes head and then body, as one where the socket allows.
	Send(head, body []byte) (int64, error)
	// SendOrPause is Send, but it fails with dormant.ErrPaused if the client takes nothing for so long.
	SendOrPause(head, body []byte, patience time.Duration) (int64, error)
	// SendInterim writes a 1xx head; the final answer is still owed.
	SendInterim(head []byte) error
	// SendFile writes head and then n bytes of f from offset off.
	SendFile(head []byte, f *os.File, off, n int64) (int64, error)
	// SendFileOrPause is SendFile in the same way.
	SendFileOrPause(head []byte, f *os.File, off, n int64, patience time.Duration) (int64, error)
	// Sent returns how many bytes the socket has taken for this request.
	Sent() int64
	// Answered reports whether a byte of the final answer was sent.
	Answered() bool
	// BodyTooLarge reports whether the head announced a body over the limit, which then cannot be read.
	BodyTooLarge() bool
	// BodyPending reports whether bytes of the request's body have not arrived yet.
	BodyPending() bool
	// BodyBytes returns how many bytes of the request's body have arrived.
	BodyBytes() int64
	// Trailer returns the trailer lines of a chunked body that was read to its end; nil if there are none.
	Trailer() []byte
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
	// MidChunks tells whether the next bytes handed to Send begin with a chunk's size.
	MidChunks(yes bool)
	// PauseBody makes a read of the request's body that waits in another goroutine fail with dormant.ErrPaused;
	// it can be read on.
	PauseBody()
	// TakeBackPause reports true if no read has met PauseBody, nor will.
	TakeBackPause() bool
	// CanSuspend reports whether Suspend may be called.
	CanSuspend() bool
	// Suspend has the request wait without a goroutine; its handler must return. resume is called, in another, when
	// there is something to be read from the client or other, or, with room, when there is room to send to the client,
	// or an end. Other sleeps meanwhile. What the request's head was read into is gone by then. No Await may be in force.
	Suspend(room bool, other *dormant.Conn, resume func())
	// EndAfter has the connection end with the present answer.
	EndAfter()
	// Draining reports whether the connection should end with this answer.
	Draining() bool
	// Abort ends the connection so that the answer cannot be taken for whole.
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
	Secure        bool        // TLS ends here
	RedirectHTTPS bool        // every request is sent to https
	HTTPSPort     string      // then: of the listener with TLS, as ":8443"; "": 443, or none
	OnPort80      bool        // then: the client came by port 80
	ServerName    *ServerName // of the TLS handshake; nil if none was named
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
