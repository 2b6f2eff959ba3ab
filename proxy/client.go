package proxy

import (
	"net/netip"
	"os"

	"lb/filter"
	"lb/message"
	"lb/netloop"
	"lb/route"
)

// Client is the client's side of one exchange, for any protocol: one stream of a connection. Its methods are called on the loop and do
// not block.
type Client interface {
	// Request returns the head of the request. Its slices may move after the event in which the exchange began, and when Read is called.
	Request() *message.Request
	// Local is the address that the client connected to; not valid on a Unix socket.
	Local() netip.AddrPort
	// Read returns the next piece of the request's body, the last one with io.EOF. If it returns netloop.ErrWouldBlock,
	// Exchange.BodyReady is called when there is more.
	Read() ([]byte, error)
	// Trailers returns the trailer fields of a body that was read to its end, without those that must not be forwarded.
	Trailers() []message.Field
	// BodyTooLarge reports whether the head announced a body over the limit, which then cannot be read.
	BodyTooLarge() bool
	// BodyPending reports whether bytes of the request's body have not been read yet.
	BodyPending() bool
	// BodyBytes returns how many bytes of the request's body have been read.
	BodyBytes() int64
	// DropArrived discards the request's body if it is small and has been received.
	DropArrived()
	// SendContinue sends 100 (Continue).
	SendContinue()

	// SendInterim sends a 1xx response to a client that understands it. It reports whether everything has been sent, as Respond does.
	SendInterim(r *message.Response) (flushed bool)
	// Respond sends the head of the final response and the first piece of its body; last says that it is the whole body. What cannot be sent
	// at once is copied, unless the piece is stable. Respond reports whether everything has been sent; if not, Exchange.Flushed or
	// Exchange.Disconnected follows, and nothing may be sent before that.
	Respond(r *message.Response, piece []byte, stable, last bool) (flushed bool)
	// Send sends the next piece in the same way. The trailers follow the last piece.
	Send(piece []byte, last bool, trailers []message.Field) (flushed bool)
	// SendFile sends n bytes of f from offset in the same way.
	SendFile(f *os.File, offset, n int64) (flushed bool)
	// Begun reports whether the final response has begun.
	Begun() bool
	// Sent returns how many bytes have been sent for this exchange.
	Sent() int64

	// Close makes the connection close after the response.
	Close()
	// Abort ends the stream so that the client cannot mistake the response for a complete one.
	Abort()
	// Upgrade ends the use of HTTP: u gets the events of the stream. unread was received after the request.
	Upgrade(u Upgraded) (stream netloop.Stream, unread []byte)
	// End ends the exchange. The client must not be used afterwards.
	End()
}

// Upgraded handles the events of a client's connection after an upgrade.
type Upgraded = interface {
	ClientReady(ev netloop.Events)
	Ending()
}

// Inbound describes the connection on which a request was received.
type Inbound struct {
	Peer       netip.AddrPort   // the client's address; zero on a unix socket
	TLSVersion string           // "" without TLS
	ALPN       string           // the protocol that TLS negotiated; "": none
	Secure     bool             // TLS is terminated here
	Filters    []filter.Request // of the listener; they run first
	HTTPSPort  string           // for RedirectHTTPS: the port of the TLS listener, as ":8443"; "": 443, or there is none
	OnPort80   bool             // for RedirectHTTPS: the client connected to port 80
	ClientCert []byte           // the value of Client-Cert (RFC 9440 section 2.2); nil without a verified client certificate
	// Challenge, if set, returns the response body for a request below /.well-known/acme-challenge/, or nil for requests that
	// are not part of a validation (RFC 8555 section 8.3).
	Challenge  func(host, path string) []byte
	AltSvc     []byte      // the value of Alt-Svc in responses that have none; nil: there is none to be added
	ServerName *ServerName // of the TLS handshake; nil if the client sent none
}

// ServerName is the server name of a TLS handshake with the result of its lookup, which the requests of a connection share so that
// the name is not looked up for each of them.
type ServerName struct {
	name  []byte
	state *State // the state in which the name was looked up; nil: not yet
	known bool   // a site has the name
}

// NewServerName returns a ServerName that has not been looked up yet.
func NewServerName(name string) *ServerName {
	return &ServerName{name: route.CleanHost(nil, []byte(name))}
}

// in reports whether a site has the name.
func (n *ServerName) in(s *State) bool {
	if n.state != s {
		_, n.known = s.Hosts.Match(n.name)
		n.state = s
	}
	return n.known
}
