package transport

import (
	"crypto/tls"
	"time"

	"lb/internal/proxyprotocol"
	"lb/telemetry"
)

// Options say how to reach one backend.
type Options struct {
	Address string // "host:port" or "unix:/path"

	Connect time.Duration // to connect, TLS handshake included; 0: no limit
	Timeouts

	HeadSize int // bytes of a response head, each interim one too; 0: 32 KiB

	MaxIdle     int           // idle connections; 0: none
	IdleTimeout time.Duration // how long a connection may be idle; 0: no limit
	MaxRequests int           // on one connection; 0: no limit
	// MaxConns returns how many concurrent requests the backend accepts. No limit if it is nil or returns 0.
	MaxConns func() int

	TLS *tls.Config // nil: no TLS
	// HTTP2 makes the connections speak HTTP/2: with TLS, whose configuration must offer it by ALPN, or with prior knowledge.
	HTTP2 bool

	// ProxyProtocol is the version of the PROXY header with which each connection begins, before TLS. A connection is then reused only for
	// requests of the same client connection.
	ProxyProtocol proxyprotocol.Version

	// Counters of connections by result; nil: not counted.
	Opened, Failed *telemetry.Counter
	Reused         *telemetry.LoopCounter
	// ConnectTime records how long successful dials took. May be nil.
	ConnectTime *telemetry.Histogram
}

// Timeouts bound the waits of an exchange.
type Timeouts struct {
	Response time.Duration // from the end of the request to the response head; 0: no limit
	Idle     time.Duration // between two reads or writes of a body; 0: no limit
}
