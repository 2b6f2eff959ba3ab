// Package listener owns the listening sockets: it binds them, lets event loops accept connections, limits the connections, and handles
// the PROXY protocol and TLS. Package http1 handles a connection from its first request on.
package listener

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/http1"
	"lb/http2"
	"lb/http3"
	"lb/netloop"
	"lb/telemetry"
)

// Options are the options of a Set.
type Options struct {
	Loops     *netloop.Loops // own the connections; they must run before Serve and until Shutdown has returned
	Listeners []ListenerOptions
	Limits    Limits
	// Handler begins the exchange of a request; see http1.Handler. Conn.Info.Listener is a *Listener.
	Handler func(*http1.Stream)
	// HTTP2Handler is the same for HTTP/2. The Info of a stream's connection is a *http1.Info.
	HTTP2Handler func(*http2.Stream)
	// HTTP3Handler is the same for HTTP/3.
	HTTP3Handler func(*http3.Stream)
	Log          hclog.Logger        // nil: silent
	Metrics      *telemetry.Registry // nil: no metrics
	// Refused, if set, is called after a request was refused before it reached Handler, for the access log.
	Refused func(*http1.Conn, *http1.Refusal)
	// HTTP2Refused is the same for HTTP/2.
	HTTP2Refused func(*http2.Conn, *http2.Refusal)
	// HTTP3Refused is the same for HTTP/3.
	HTTP3Refused func(*http3.Conn, *http3.Refusal)
	// Inherited contains sockets that are already open (passed by another process or by socket activation), by their Address. Listen
	// and Apply use them instead of binding.
	Inherited map[string]net.Listener
	// InheritedPackets contains in the same way the UDP sockets of HTTP/3 that another process has passed.
	InheritedPackets map[string]*PacketSocket
}

// ListenerOptions describe one listening socket; Address identifies it across reloads.
type ListenerOptions struct {
	// Address is "host:port", "0.0.0.0:80" (only IPv4), "[::]:80" or ":80" (IPv4 and IPv6), or "unix:/path".
	Address string
	// IPv6Only makes "[::]:80" serve only IPv6. It cannot be changed for an open socket: Apply fails then.
	IPv6Only bool
	// HTTP2 enables HTTP/2: with TLS by ALPN, without it for clients that begin with its preface (prior knowledge).
	HTTP2 bool
	// HTTP3 enables HTTP/3 on the UDP port of the same number. It needs TLS, and an address with a port.
	HTTP3 bool
	// TLS is nil for plain HTTP.
	TLS *TLSOptions
	// ProxyProtocol requires a PROXY header, version 1 or 2, from a peer in TrustedProxies.
	ProxyProtocol bool
	// TrustedProxies are also trusted to set X-Request-Id.
	TrustedProxies []netip.Prefix
	// RedirectHTTPS is for the handler, which reads it from Listener.
	RedirectHTTPS bool
}

// TLSOptions says how a listener speaks TLS. A value is not changed once it was given away.
type TLSOptions struct {
	// GetCertificate chooses the certificate for a handshake. It must not wait for anything: few handshakes compute at a time.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Challenge, if set, returns the certificate for a handshake by which an ACME server validates a name (tls-alpn-01, RFC 8737);
	// nil, nil if there is none.
	Challenge func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ECHKeys, if set, returns the keys by which ClientHellos may be encrypted (RFC 9849). Connections go on if they change.
	ECHKeys    func(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error)
	MinVersion uint16         // 0: TLS 1.2
	ClientCAs  *x509.CertPool // set: a client certificate must be signed by one of them
	// ClientOptional also lets clients in that have no certificate. It has no effect without ClientCAs.
	ClientOptional bool
}

// Limits limit the resources of clients. Zero means no limit, except where stated here or in withDefaults. HeaderTimeout applies to the
// PROXY header, the TLS handshake and the request head separately.
type Limits struct {
	http1.Limits
	MaxConnections   int // of all listeners; if exceeded: 503; 0: what the descriptor limit allows, with a reserve
	ConnectionsPerIP int // if exceeded: 429
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	l := &o.Limits
	if l.MaxConnections <= 0 {
		l.MaxConnections = connectionsAllowed()
	}
	setDefault(&l.HeaderSize, 16<<10)
	setDefault(&l.HeaderFields, 100)
	setDefault(&l.HeaderTimeout, 10*time.Second)
	setDefault(&l.BodyIdleTimeout, 60*time.Second)
	setDefault(&l.IdleTimeout, 75*time.Second)
	setDefault(&l.RateWindow, time.Minute)
	return o
}

func setDefault[T int | time.Duration](value *T, usual T) {
	if *value <= 0 {
		*value = usual
	}
}

// sameBehaviour compares everything except certificates.
func sameBehaviour(a, b *ListenerOptions) bool {
	return a.ProxyProtocol == b.ProxyProtocol && a.HTTP2 == b.HTTP2 && a.RedirectHTTPS == b.RedirectHTTPS &&
		slices.Equal(a.TrustedProxies, b.TrustedProxies) &&
		(a.TLS == nil) == (b.TLS == nil) && (a.TLS == nil || a.TLS.sameTrust(b.TLS))
}

// sameTrust reports whether a client accepted under t would be under o, certificates of ours aside.
func (t *TLSOptions) sameTrust(o *TLSOptions) bool {
	if (t.ClientCAs == nil) != (o.ClientCAs == nil) || t.MinVersion != o.MinVersion {
		return false
	}
	return t.ClientCAs == nil || t.ClientOptional == o.ClientOptional && t.ClientCAs.Equal(o.ClientCAs)
}
