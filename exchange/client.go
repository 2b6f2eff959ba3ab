package exchange

import (
	"net/netip"
	"os"

	"lb/filter"
	"lb/message"
	"lb/netloop"
	"lb/route"
)

// Client is the client's side of one exchange, whatever the protocol: one stream of a connection. Its methods are called on the
// loop and do not block.
type Client interface {
	// Request is the head of the request. Its slices may move when the event in which it began is over, or Read is called.
	Request() *message.Request
	// Read returns the next piece of the request's body that has come, with io.EOF the last one. With netloop.ErrWouldBlock,
	// Exchange.BodyReady is called when there is more.
	Read() ([]byte, error)
	// Trailers returns the trailer fields of a body that was read to its end, as far as they may be passed on.
	Trailers() []message.Field
	// BodyTooLarge reports whether the head announced a body over the limit, which then cannot be read.
	BodyTooLarge() bool
	// BodyPending reports whether bytes of the request's body have not been read yet.
	BodyPending() bool
	// BodyBytes returns how many bytes of the request's body have been read.
	BodyBytes() int64
	// DropArrived drops the request's body if it is small and has come.
	DropArrived()
	// SendContinue asks the client for the body that it has announced.
	SendContinue()

	// SendInterim sends a 1xx response to a client that understands it.
	SendInterim(r *message.Response)
	// Respond sends the head of the final response and a first piece of its body, with last all of it. The piece is copied as far as it
	// is not sent at once, unless it is stable. It reports whether all has been sent; if not, Exchange.Flushed or
	// Exchange.Gone follows, and nothing may be sent before.
	Respond(r *message.Response, piece []byte, stable, last bool) (flushed bool)
	// Send sends the next piece in the same way; trailers go behind the last.
	Send(piece []byte, last bool, trailers []message.Field) (flushed bool)
	// SendFile sends n bytes of f from an offset on in the same way.
	SendFile(f *os.File, offset, n int64) (flushed bool)
	// Begun reports whether the final response has begun.
	Begun() bool
	// Sent returns how many bytes have been sent for this exchange.
	Sent() int64

	// Close has the connection end with the response.
	Close()
	// Abort ends the stream so that the response cannot be taken for whole.
	Abort()
	// Upgrade leaves HTTP: u gets the events of the socket. unread came behind the request.
	Upgrade(u Upgraded) (socket *netloop.Socket, unread []byte)
	// End ends the exchange. Nothing of it may be used afterwards.
	End()
}

// Upgraded takes the events of a client's connection that has left HTTP.
type Upgraded = interface {
	ClientReady(ev netloop.Events)
	Ending()
}

// Inbound is what is known of the connection by which a request came.
type Inbound struct {
	Peer       netip.AddrPort   // the client; zero on a unix socket
	Local      netip.AddrPort   // where it came to; zero on a unix socket
	TLSVersion string           // "" on a plain connection
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
