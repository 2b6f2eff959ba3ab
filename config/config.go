package config

import (
	"net/netip"
	"time"
)

// Config is one complete, checked configuration with every default filled in.
//
// Blocks whose absence means something (tls, health, maintenance, an action of a
// route …) are pointers; all others are values that hold their defaults.
type Config struct {
	Listeners []Listener
	Admin     Admin
	// TrustedProxies are the peers whose X-Forwarded-* and PROXY headers are believed.
	TrustedProxies []netip.Prefix
	Log            Log
	AccessLog      AccessLog
	Limits         Limits
	StaticCache    StaticCache
	Shutdown       Shutdown
	Sites          []Site
	Pools          []Pool
}

// Listener is one address that clients connect to.
type Listener struct {
	Pos Pos
	// Address is "host:port", or "unix:PATH" with an absolute path. "0.0.0.0" is all IPv4 addresses; an empty host,
	// and "[::]" unless IPv6Only is set, includes IPv6.
	Address string
	// IPv6Only excludes IPv4 from "[::]".
	IPv6Only bool
	// TLS is nil on a plain listener.
	TLS *TLS
	// ProxyProtocol requires a PROXY header, version 1 or 2, from trusted proxies.
	ProxyProtocol bool
	// HTTP2 serves clients that begin with the preface of HTTP/2 (prior knowledge). It is never set together with TLS.
	HTTP2 bool
	// HTTP3 serves HTTP/3 on the UDP port of the same number. It is set together with TLS only.
	HTTP3 bool
	// RedirectHTTPS redirects every request to https with 308. It is never set together with TLS.
	RedirectHTTPS bool
}

// TLS is the TLS configuration of a listener.
type TLS struct {
	Pos Pos
	// Certificates are chosen by the server name of the handshake; the first
	// is the default.
	Certificates []Certificate
	// MinVersion is tls.VersionTLS12 (the default) or tls.VersionTLS13.
	MinVersion uint16
	// ClientCA is a PEM file; if it is not empty, a client certificate signed
	// by one of its authorities is required: see ClientVerify.
	ClientCA string
	// ClientVerify is "require", or "optional": clients may have no certificate. It has no effect without ClientCA.
	ClientVerify string
	// SessionKeys is a file of keys of session tickets, the one in use first; empty: lb has random ones.
	SessionKeys string
	// ECHKeys is a PEM file with keys of encrypted ClientHellos (RFC 9849); empty: there are none.
	ECHKeys string
	// HTTP2 offers HTTP/2 by ALPN.
	HTTP2 bool
	// ACME is nil if certificates come from files alone.
	ACME *ACME
}

// Certificate is a pair of PEM files that have been checked to match.
type Certificate struct {
	Pos  Pos
	Cert string
	Key  string
}

// Admin is the second listener: API, dashboard and metrics.
type Admin struct {
	Pos Pos
	// Listen is "host:port" or "unix:PATH"; empty if the configuration says "off".
	Listen string
	// Token is never empty when Listen is not a loopback address or a socket.
	Token Secret
}

// Log is the operations log.
type Log struct {
	Pos    Pos
	Level  string // trace, debug, info, warn or error
	Format string // text or json
	File   string // a path, or "-" for the standard error stream
}

// AccessLog is the log of requests.
type AccessLog struct {
	Pos    Pos
	Format string  // json, combined or off
	File   string  // a path, or "-" for the standard output stream
	Sample float64 // the share that is logged, 0 to 1; 5xx and those with an error always are
}

// Limits protect the balancer from its clients.
type Limits struct {
	Pos              Pos
	MaxConnections   int           // 0: what the descriptor limit allows, with a reserve
	ConnectionsPerIP int           // 0: no limit
	HeaderSize       int64         // bytes of a request head; over it: 431
	HeaderFields     int           // of a request head, and of its trailer section; over it: 431
	HeaderTimeout    time.Duration // for the whole head, and for the TLS handshake: 408
	BodySize         int64         // bytes; 0: no limit; over it: 413
	BodyIdleTimeout  time.Duration // between two reads of a body
	BodyMinRate      int64         // bytes a second of a body either way, over each minute of waiting for the client; 0: none
	IdleTimeout      time.Duration // of a kept-alive connection
}

// StaticCache bounds the memory that holds static files.
type StaticCache struct {
	Pos     Pos
	Memory  int64 // bytes of all cached bodies, compressed variants included
	MaxFile int64 // bytes; larger files are streamed from disk
}

// Shutdown is how the process ends.
type Shutdown struct {
	Pos   Pos
	Grace time.Duration // how long requests in flight may take to finish
	Delay time.Duration // how long to serve on, no longer ready, before closing the listeners
}
