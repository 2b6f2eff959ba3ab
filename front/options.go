// Package front is the client's side: it listens, accepts, speaks TLS and the PROXY protocol, limits
// connections, refuses every request that two parsers could read differently, and hands the rest
// to one handler.
package front

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/internal/limits"
	"lb/telemetry"
)

// Handler responds to the present request of c; see Conn.Request.
//
// It must send exactly one final response (interim ones aside) before it returns: [Conn.Respond], then
// [Conn.Finish] in the end. After [Conn.EndAfter] the connection ends when the handler returns, which the response says
// if that was called before Respond. The body, if any, comes from [Conn.Body], whose errors tell the reason:
// [ErrBodyTooLarge] (see [Conn.BodyTooLarge] too), [ErrBodyTimeout], [ErrBodyMalformed], [ErrBodyShort], else the
// client has gone. What it leaves of the body is read and dropped if that is little, else the connection ends.
//
// The Conn must not be used after the handler has returned.
type Handler func(c *Conn)

// Options is all that a Front needs to know.
type Options struct {
	Listeners []ListenerOptions
	Limits    Limits
	Handler   Handler
	Log       hclog.Logger        // nil: silent
	Metrics   *telemetry.Registry // nil: nothing is counted
	// Refused, if set, is told of each request that the front responded to itself, for the access log.
	Refused func(c *Conn, r Refusal)
	// Inherited holds sockets that are open already (handed over by another process, or by socket
	// activation), by the Address that they serve. Listen and Apply take them instead of binding.
	Inherited map[string]net.Listener
}

// Refusal is a response that the front gave itself.
type Refusal struct {
	Status    int
	Reason    string
	RequestID []byte
	BytesOut  int64
}

// ListenerOptions describes one listening socket; Address is its identity across reloads.
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
	// RedirectHTTPS is not acted on here; the handler asks for it through Conn.Listener.
	RedirectHTTPS bool
}

// TLSOptions says how a listener speaks TLS. A value is not changed once it was given away.
type TLSOptions struct {
	// Certificates are picked by the client's server name: exact, then wildcard, then any; of several, the first whose
	// kind of key the client can use.
	Certificates []tls.Certificate
	// GetCertificate, if set, is asked first; nil, nil sends the choice on to Certificates.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	MinVersion     uint16         // 0: TLS 1.2
	ClientCAs      *x509.CertPool // set: a client certificate signed by one of them is required
}

// Limits protects against clients that take too much. Zero means no limit unless said otherwise.
type Limits struct {
	MaxConnections   int           // 0: what the descriptor limit allows, with a reserve
	ConnectionsPerIP int           // over it: 429
	HeaderSize       int           // bytes of a request head; 0: 16 KiB; over it: 431
	HeaderFields     int           // fields of a request head, and of a trailer section; 0: 100; over it: 431
	HeaderTimeout    time.Duration // PROXY header, TLS handshake and request head, each; 0: 10 s
	BodySize         int64         // bytes of a request body; over it: 413
	BodyIdleTimeout  time.Duration // between two reads or two writes that move bytes; 0: 60 s
	IdleTimeout      time.Duration // between two requests; 0: 75 s
	BodyMinRate      int64         // bytes a second of a body either way, over each RateWindow of waiting for the client
	RateWindow       time.Duration // 0: a minute
}

func (o Options) withDefaults() Options {
	l := &o.Limits
	if l.MaxConnections <= 0 {
		l.MaxConnections = connectionsAllowed()
	}
	if l.HeaderSize <= 0 {
		l.HeaderSize = limits.HeaderSize
	}
	if l.HeaderFields <= 0 {
		l.HeaderFields = limits.HeaderFields
	}
	if l.HeaderTimeout <= 0 {
		l.HeaderTimeout = limits.HeaderTimeout
	}
	if l.BodyIdleTimeout <= 0 {
		l.BodyIdleTimeout = limits.BodyIdleTimeout
	}
	if l.IdleTimeout <= 0 {
		l.IdleTimeout = limits.IdleTimeout
	}
	if l.RateWindow <= 0 {
		l.RateWindow = time.Minute
	}
	return o
}

// sameTrust reports whether a client accepted under t would be under o, certificates of ours aside.
func (t *TLSOptions) sameTrust(o *TLSOptions) bool {
	if (t.ClientCAs == nil) != (o.ClientCAs == nil) || t.MinVersion != o.MinVersion {
		return false
	}
	return t.ClientCAs == nil || t.ClientCAs.Equal(o.ClientCAs)
}
