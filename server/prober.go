package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/http2"

	"lb/config"
	"lb/health"
	"lb/internal/proxyprotocol"
	"lb/pool"
	"lb/transport"
)

// prober connects to backends for health checks that do not connect as requests do. It does not change.
type prober struct {
	port    int         // 0: that of the backend
	tls     *tls.Config // nil: no TLS
	proxy   proxyprotocol.Version
	connect time.Duration
}

// newProber returns nil if health checks connect as requests do, with poolTLS, which is nil for http. dials identifies the settings, with
// the content of the files that they name, as far as they are not those of requests.
func newProber(c *config.Pool, poolTLS *tls.Config) (p *prober, dials string, err error) {
	h := c.Health
	if h == nil || h.Port == 0 && h.TLS == nil && !h.Plain && h.Type != health.GRPC {
		return nil, "", nil
	}
	p = &prober{port: h.Port, tls: poolTLS, connect: c.Timeouts.Connect}
	if h.TLS != nil || h.Plain {
		if p.tls, dials, err = backendTLS(h.TLS); err != nil {
			return nil, "", err
		}
	}
	if (h.Type == health.GRPC || h.Type == health.HTTP && h.HTTP2) && p.tls != nil {
		p.tls = p.tls.Clone()
		p.tls.NextProtos = []string{http2.NextProtoTLS}
	}
	if h.Port == 0 { // another port is hardly one that expects a PROXY header
		p.proxy = proxyProtocols[c.ProxyProtocol]
	}
	return p, fmt.Sprint(dials, h.Port, h.Plain, h.Type, h.HTTP2), nil
}

// probe connects to a backend for a health check.
func (run *poolRun) probe(ctx context.Context, b *pool.Backend) (net.Conn, error) {
	p := run.prober.Load()
	if p == nil {
		return dial(ctx, b)
	}
	address := health.Address(b.Address(), p.port)
	return transport.Connect(ctx, &transport.Options{
		Address: address, Connect: p.connect, TLS: namedTLS(p.tls, address), ProxyProtocol: p.proxy,
	})
}
