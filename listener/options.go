// Package listener has the sockets that accept the connections of clients: it binds them, hands them to event loops, limits the
// connections, and does what comes before the first request, the PROXY protocol and TLS. From then on a connection is
// package http1's.
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
	"lb/netloop"
	"lb/telemetry"
)

// Options is all that a Set needs to know.
type Options struct {
	Loops     *netloop.Loops // that own the connections; they run before Serve and until Shutdown has returned
	Listeners []ListenerOptions
	Limits    Limits
	// Handler begins the exchange of a request; see http1.Handler. Conn.Info.Listener is a *Listener.
	Handler func(*http1.Stream)
	Log     hclog.Logger        // nil: silent
	Metrics *telemetry.Registry // nil: nothing is counted
	// Refused, if set, is told of each request that was refused before it came to Handler, for the access log.
	Refused func(*http1.Conn, *http1.Refusal)
	// Inherited holds sockets that are open already (handed over by another process, or by socket
	// activation), by the Address that they serve. Listen and Apply take them instead of binding.
	Inherited map[string]net.Listener
}

// ListenerOptions describe one listening socket; Address is its identity across reloads.
type ListenerOptions struct {
	// Address is "host:port", "0.0.0.0:80" (IPv4 alone), "[::]:80" or ":80" (IPv6 and IPv4 both), or "unix:/path".
	Address string
	// IPv6Only has "[::]:80" serve no IPv4. An open socket cannot change it: Apply fails then.
	IPv6Only bool
	// TLS is nil for plain HTTP.
	TLS *TLSOptions
	// ProxyProtocol demands a PROXY header, version 1 or 2, and a peer in TrustedProxies.
	ProxyProtocol bool
	// TrustedProxies may also give a request its X-Request-Id, which a refusal then bears.
	TrustedProxies []netip.Prefix
	// RedirectHTTPS is not acted on here; the handler asks for it through Listener.
	RedirectHTTPS bool
}

// TLSOptions says how a listener speaks TLS. A value is not changed once it was given away.
type TLSOptions struct {
	// Certificates are picked by the client's server name: exact, then wildcard, then any; of several, the first whose
	// kind of key the client can use.
	Certificates []tls.Certificate
	// GetCertificate, if set, is asked first; nil, nil sends the choice on to Certificates. It must not wait for anything: few
	// handshakes compute at a time.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	MinVersion     uint16         // 0: TLS 1.2
	ClientCAs      *x509.CertPool // set: a client certificate signed by one of them is required
}

// Limits protect against clients that take too much. Zero means no limit unless said otherwise, here or in withDefaults.
// HeaderTimeout bounds the PROXY header, the TLS handshake and the request head, each.
type Limits struct {
	http1.Limits
	MaxConnections   int // of all listeners; over it: 503; 0: what the descriptor limit allows, with a reserve
	ConnectionsPerIP int // over it: 429
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

// sameBehaviour compares all but certificates.
func sameBehaviour(a, b *ListenerOptions) bool {
	return a.ProxyProtocol == b.ProxyProtocol && a.RedirectHTTPS == b.RedirectHTTPS &&
		slices.Equal(a.TrustedProxies, b.TrustedProxies) &&
		(a.TLS == nil) == (b.TLS == nil) && (a.TLS == nil || a.TLS.sameTrust(b.TLS))
}

// sameTrust reports whether a client accepted under t would be under o, certificates of ours aside.
func (t *TLSOptions) sameTrust(o *TLSOptions) bool {
	if (t.ClientCAs == nil) != (o.ClientCAs == nil) || t.MinVersion != o.MinVersion {
		return false
	}
	return t.ClientCAs == nil || t.ClientCAs.Equal(o.ClientCAs)
}
