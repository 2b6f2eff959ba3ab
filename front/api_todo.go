package front

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
)

// What reading a request body can fail with, to be found with errors.Is.
var (
	ErrBodyTooLarge  = errors.New("request body over the limit")               // answer 413
	ErrBodyTimeout   = errors.New("request body stalled")                      // answer 408
	ErrBodyMalformed = errors.New("request body is not validly chunked")       // answer 400
	ErrClientGone    = errors.New("client closed the connection in a request") // no one is left to answer
)

// Front is the client's side of the balancer.
type Front struct{}

func New(o Options) *Front { panic("todo") }

// Listen binds all listeners or none.
func (f *Front) Listen() error { panic("todo") }

// Serve accepts connections until Shutdown; nil after one. Listen comes first.
func (f *Front) Serve() error { panic("todo") }

// Apply goes over to new options; on an error nothing has changed.
func (f *Front) Apply(o Options) error { panic("todo") }

// Shutdown stops accepting and ends all connections, at the latest when ctx ends.
func (f *Front) Shutdown(ctx context.Context) error { panic("todo") }

// Draining reports whether Shutdown has begun.
func (f *Front) Draining() bool { panic("todo") }

// Files returns duplicates of the listening sockets by address, to be handed to another process.
func (f *Front) Files() (map[string]*os.File, error) { panic("todo") }

// Listeners returns the listeners in force.
func (f *Front) Listeners() []*Listener { panic("todo") }

// Listener is what a request may know of the socket that it came by.
type Listener struct {
	Address       string // as configured
	TLS           bool
	RedirectHTTPS bool
}

// Addr is the bound address: with port 0, the real one.
func (l *Listener) Addr() net.Addr { panic("todo") }

// Conn is a client's connection while a request is answered on it.
type Conn struct{}

// Send writes head and then body with one system call if the socket takes them.
// It returns when all is written, or when no byte moved for Limits.BodyIdleTimeout.
// An answer may take several Sends: what follows the head is body as it goes on the wire, chunk framing included.
func (c *Conn) Send(head, body []byte) (int64, error) { panic("todo") }

// SendInterim writes an interim (1xx, not 101) head; the final answer is still owed.
func (c *Conn) SendInterim(head []byte) error { panic("todo") }

// SendFile writes head and then n bytes of f from offset off, which stays untouched: many may send from one f at once.
func (c *Conn) SendFile(head []byte, f *os.File, off, n int64) (int64, error) { panic("todo") }

// Sent returns the bytes of this request's answer that the socket has taken, interim heads included.
func (c *Conn) Sent() int64 { panic("todo") }

// Answered reports whether a byte of the final answer was sent.
func (c *Conn) Answered() bool { panic("todo") }

// BodyPending reports whether bytes of the request's body have not arrived yet. An answer given
// while that is so should announce Connection: close.
func (c *Conn) BodyPending() bool { panic("todo") }

// BodyBytes returns the bytes of this request's body that have arrived, without chunk framing.
func (c *Conn) BodyBytes() int64 { panic("todo") }

// Draining reports whether the connection should end with this answer, which should then say Connection: close.
func (c *Conn) Draining() bool { panic("todo") }

// Abort ends the connection so that the client cannot take the answer for whole:
// a reset on TCP, no close_notify on TLS.
func (c *Conn) Abort() { panic("todo") }

// Upgrade leaves HTTP after the handler sent its 101 (or the 200 of an HTTP/1.0-style tunnel): the returned connection
// reads what the client sent after its request and carries no deadline. The handler relays until both sides are done
// and then returns; the connection ends with it.
func (c *Conn) Upgrade() Stream { panic("todo") }

// Stream is an upgraded connection.
type Stream interface {
	net.Conn
	CloseWrite() error // tells the client that nothing more comes
}

// Peer is the client's address: the TCP peer, or the source that the PROXY header names. Zero on a unix socket.
func (c *Conn) Peer() netip.AddrPort { panic("todo") }

// Listener is the one that accepted the connection.
func (c *Conn) Listener() *Listener { panic("todo") }

// ServerName is the name that the client asked for in the TLS handshake; "" without.
func (c *Conn) ServerName() string { panic("todo") }

// TLSVersion is "" on a plain connection, else like "TLSv1.3".
func (c *Conn) TLSVersion() string { panic("todo") }
