package server

import (
	"crypto/x509"
	"fmt"
	"os"

	"lb/certificate"
	"lb/config"
	"lb/http1"
	"lb/http2"
	"lb/http3"
	"lb/listener"
)

// buildFront reads the certificates and says what the front is to do.
func (s *Server) buildFront(cfg *config.Config, g *generation) error {
	l := &cfg.Limits
	g.front = listener.Options{
		Loops: s.loops, Handler: s.serve, HTTP2Handler: s.serveHTTP2, HTTP3Handler: s.serveHTTP3, Log: s.log.Named("front"), Metrics: s.registry,
		Refused: func(c *http1.Conn, r *http1.Refusal) {
			s.handler.Refused(c.Info.Peer.Addr(), r.Status, r.Reason, r.RequestID, r.BytesOut)
		},
		HTTP2Refused: func(c *http2.Conn, r *http2.Refusal) {
			s.handler.Refused(c.Info.(*http1.Info).Peer.Addr(), r.Status, r.Reason, r.RequestID, r.BytesOut)
		},
		HTTP3Refused: func(c *http3.Conn, r *http3.Refusal) {
			s.handler.Refused(c.Info.(*http1.Info).Peer.Addr(), r.Status, r.Reason, r.RequestID, r.BytesOut)
		},
		Limits: listener.Limits{
			MaxConnections: l.MaxConnections, ConnectionsPerIP: l.ConnectionsPerIP,
			Limits: http1.Limits{
				HeaderSize: int(l.HeaderSize), HeaderFields: l.HeaderFields,
				HeaderTimeout: l.HeaderTimeout, BodySize: l.BodySize, BodyIdleTimeout: l.BodyIdleTimeout, IdleTimeout: l.IdleTimeout,
				BodyMinRate: l.BodyMinRate,
			},
		},
	}
	for i := range cfg.Listeners {
		c := &cfg.Listeners[i]
		secure, err := s.buildTLS(c.TLS, g)
		if err != nil {
			return err
		}
		if secure != nil {
			g.certificates.byListener[c.Address] = g.certificates.sets[len(g.certificates.sets)-1]
		}
		if c.TLS != nil {
			user, err := newTicketUser(c.Address, c.TLS)
			if err != nil {
				return err
			}
			g.tickets = append(g.tickets, user)
		}
		g.front.Listeners = append(g.front.Listeners, listener.ListenerOptions{
			Address: c.Address, IPv6Only: c.IPv6Only, HTTP2: c.HTTP2 || c.TLS != nil && c.TLS.HTTP2, HTTP3: c.HTTP3, TLS: secure, ProxyProtocol: c.ProxyProtocol,
			TrustedProxies: cfg.TrustedProxies, RedirectHTTPS: c.RedirectHTTPS,
		})
	}
	if len(g.acme) > 0 {
		for i := range g.front.Listeners {
			if o := g.front.Listeners[i].TLS; o != nil {
				o.Challenge = certificate.TLSChallenge
			}
		}
	}
	return nil
}

// buildTLS loads the certificates of a listener.
func (s *Server) buildTLS(c *config.TLS, g *generation) (*listener.TLSOptions, error) {
	if c == nil {
		return nil, nil
	}
	var acme *certificate.ACME
	if c.ACME != nil {
		run, err := s.acme(c.ACME, g)
		if err != nil {
			return nil, err
		}
		acme = run.ACME
	}
	set, err := g.certificates.open(c, acme)
	if err != nil {
		return nil, err
	}
	o := &listener.TLSOptions{GetCertificate: set.Get, MinVersion: c.MinVersion}
	if c.ECHKeys != "" {
		file := newECHFile(c.ECHKeys)
		if err := file.read(); err != nil {
			return nil, at(c.Pos, "cannot use ech_keys", err)
		}
		g.ech = append(g.ech, file)
		o.ECHKeys = file.current
	}
	if c.ClientCA != "" {
		pem, err := os.ReadFile(c.ClientCA)
		if err != nil {
			return nil, at(c.Pos, "cannot read client_ca", err)
		}
		o.ClientCAs, o.ClientOptional = x509.NewCertPool(), c.ClientVerify == "optional"
		if !o.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, at(c.Pos, fmt.Sprintf("client_ca %q contains no PEM certificate", c.ClientCA), nil)
		}
	}
	return o, nil
}
