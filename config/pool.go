package config

import "time"

// Pool is a named set of equivalent backends.
type Pool struct {
	Pos     Pos
	Name    string
	Balance string // the name of one of balancer.Algorithms
	HashKey string // for an algorithm that needs a key: client_ip, path, uri, header:NAME or cookie:NAME

	// Protocol is what the backends speak: "http1", "h2" (HTTP/2 with TLS) or "h2c" (HTTP/2 without TLS).
	Protocol string

	Backends []Backend
	Discover []Discover

	Health *Health // nil: no active checks, every backend counts as up
	Eject  Eject
	Retry  Retry
	Queue  Queue

	// SlowStart is how long a backend that came up takes to get its full share. 0: at once.
	SlowStart time.Duration
	// PanicThreshold: if a smaller share is usable, but at least one backend, all are used. 0: never.
	PanicThreshold float64

	// ResponseHeaderSize is the largest response head in bytes.
	ResponseHeaderSize int64

	Timeouts  Timeouts
	KeepAlive KeepAlive

	// ProxyProtocol is the version of the PROXY header with which connections to the backends begin: "v1" or "v2"; empty: none.
	ProxyProtocol string

	TLS    *BackendTLS // nil: plain HTTP to the backends
	Sticky *Sticky     // nil: no affinity
}

// Backend is one configured member of a pool.
type Backend struct {
	Pos      Pos
	Address  string // "host:port" or "unix:PATH"
	Weight   int    // 0 to limits.MaxConfiguredWeight; 0 leaves the backend out
	MaxConns int    // requests at a time; 0: no limit
	Backup   bool   // used only when no other is usable
}

// Discover is a source of backends. Exactly one of its fields besides Pos is not nil.
type Discover struct {
	Pos    Pos
	DNS    *DiscoverDNS
	File   *DiscoverFile
	Docker *DiscoverDocker
	Consul *DiscoverConsul
}

// DiscoverDNS resolves a name periodically.
type DiscoverDNS struct {
	Name     string
	Port     int           // of type A; SRV records bring their own
	Type     string        // "A" (IPv6 addresses too) or "SRV"
	Interval time.Duration // between two lookups
	Resolver string        // "host:port"; empty: the system's
}

// DiscoverFile watches a file of lines "address [weight=N] [backup]".
type DiscoverFile struct {
	Path string // need not exist yet
}

// DiscoverDocker takes the containers with a label.
type DiscoverDocker struct {
	Label  string // "name" or "name=value"
	Port   int    // 0: the only TCP port that a container exposes
	Socket string
}

// DiscoverConsul takes the healthy instances of a service.
type DiscoverConsul struct {
	Service string
	Address string // of the agent's HTTP API
	Tag     string // that an instance must have; empty: any
	Token   Secret
}

// Health is the active check of each backend.
type Health struct {
	Pos          Pos
	Type         string // http, tcp or grpc
	Port         int    // 0: that of the backend's address
	Path         string
	Method       string
	Host         string // the Host field; empty: the backend's address
	Status       StatusSet
	Service      string        // of type grpc; empty: the whole server
	Body         string        // must be in the first 64 KiB of the response body; empty: not checked
	Interval     time.Duration // between two probes of a backend
	FastInterval time.Duration // the same while its state is changing
	Timeout      time.Duration // of one probe
	Jitter       float64       // the share of the interval that is random, 0 to 1
	HTTP2        bool          // by the protocol of the pool
	Rise         int           // passes in a row that make it up
	Fall         int           // failures in a row that make it down

	TLS   *BackendTLS // nil: the pool's, unless Plain
	Plain bool        // without TLS, whatever the pool has
}

// Eject is the passive check, from the results of requests.
type Eject struct {
	Pos        Pos
	Failures   int           // in a row; 0: never eject
	Duration   time.Duration // times the number of ejections in a row
	MaxPercent int           // of the pool's backends that may be ejected at a time
}

// Retry says which requests are retried on another backend.
type Retry struct {
	Pos      Pos
	Attempts int      // after the first try; 0: none
	Budget   float64  // retries as a share of the pool's requests, 0 to 1
	On       []string // of connect, reset, timeout, 502, 503, 504, unavailable
	Body     int64    // bytes; a larger request body is sent once
}

// Queue holds requests while every backend is at its MaxConns.
type Queue struct {
	Pos     Pos
	Limit   int // 0: none waits
	Timeout time.Duration
	// WhileDown is for how long requests wait while a pool has no usable backend. 0: none waits.
	WhileDown time.Duration
}

// Timeouts bound the backends' side. Each is renewed by progress.
type Timeouts struct {
	Pos      Pos
	Connect  time.Duration // TCP and TLS
	Response time.Duration // from the request sent to the response head
	Idle     time.Duration // between two reads or writes of a body
	Tunnel   time.Duration // without a byte either way on an upgraded connection; 0: no limit
}

// KeepAlive is how connections to backends are kept.
type KeepAlive struct {
	Pos         Pos
	MaxIdle     int           // of each backend; 0: none is kept
	IdleTimeout time.Duration // below what the backends allow
	MaxRequests int           // on one connection; 0: no limit
}

// BackendTLS is the TLS configuration for https to backends.
type BackendTLS struct {
	Pos        Pos
	CA         string // a PEM file; empty: the system's roots
	Cert       string // the client certificate; empty: none
	Key        string
	ServerName string // empty: the host of the backend's address
	Verify     bool
}

// Sticky keeps a client on its backend by a signed cookie.
type Sticky struct {
	Pos    Pos
	Cookie string
	Secret Secret
	TTL    time.Duration // 0: a session cookie
}
