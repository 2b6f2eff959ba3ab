package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"lb/config"
	"lb/front"
)

// buildFront reads the certificates and says what the front is to do.
func (s *Server) buildFront(cfg *config.Config, g *generation) error {
	l := &cfg.Limits
	g.front = front.Options{
		Handler: s.serve, Log: s.log.Named("front"), Metrics: s.registry,
		Refused: func(c *front.Conn, r front.Refusal) {
			s.handler.Refused(c.Peer().Addr(), r.Status, r.Reason, r.RequestID, r.BytesOut)
		},
		Limits: front.Limits{
			MaxConnections: l.MaxConnections, ConnectionsPerIP: l.ConnectionsPerIP, HeaderSize: int(l.HeaderSize), HeaderFields: l.HeaderFields,
			HeaderTimeout: l.HeaderTimeout, BodySize: l.BodySize, BodyIdleTimeout: l.BodyIdleTimeout, IdleTimeout: l.IdleTimeout,
			BodyMinRate: l.BodyMinRate,
		},
	}
	for i := range cfg.Listeners {
		c := &cfg.Listeners[i]
		secure, err := frontTLS(c.TLS)
		if err != nil {
			return err
		}
		g.front.Listeners = append(g.front.Listeners, front.ListenerOptions{
			Address: c.Address, IPv6Only: c.IPv6Only, TLS: secure, ProxyProtocol: c.ProxyProtocol,
			TrustedProxies: cfg.TrustedProxies, RedirectHTTPS: c.RedirectHTTPS,
		})
	}
	return nil
}

func frontTLS(c *config.TLS) (*front.TLSOptions, error) {
	if c == nil {
		return nil, nil
	}
	o := &front.TLSOptions{MinVersion: c.MinVersion}
	for _, pair := range c.Certificates {
		certificate, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			return nil, at(pair.Pos, "cannot load the certificate", err)
		}
		o.Certificates = append(o.Certificates, certificate)
	}
	if c.ClientCA != "" {
		pem, err := os.ReadFile(c.ClientCA)
		if err != nil {
			return nil, at(c.Pos, "cannot read client_ca", err)
		}
		o.ClientCAs = x509.NewCertPool()
		if !o.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, at(c.Pos, fmt.Sprintf("client_ca %q contains no PEM certificate", c.ClientCA), nil)
		}
	}
	return o, nil
}
