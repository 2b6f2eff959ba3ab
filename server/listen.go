package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"

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

// inheritedListeners returns the sockets that the service manager opened, by the configured
// address that each serves. One that no listener wants is an error: its clients would hang.
func inheritedListeners(wanted []front.ListenerOptions) (map[string]net.Listener, error) {
	sockets, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("cannot take over the sockets of the service manager: %w", err)
	}
	inherited := map[string]net.Listener{}
	for _, socket := range sockets {
		if socket == nil {
			continue
		}
		address, err := matching(socket, wanted)
		if err != nil {
			return nil, err
		}
		inherited[address] = socket
	}
	return inherited, nil
}

// matching returns the configured address that a socket is bound to.
func matching(socket net.Listener, wanted []front.ListenerOptions) (string, error) {
	bound := socket.Addr()
	var misfit error
	for _, w := range wanted {
		if path, ok := strings.CutPrefix(w.Address, "unix:"); ok {
			if bound.Network() == "unix" && bound.String() == path {
				return w.Address, nil
			}
			continue
		}
		tcp, ok := bound.(*net.TCPAddr)
		want, err := net.ResolveTCPAddr("tcp", w.Address)
		if !ok || err != nil || tcp.Port != want.Port {
			continue
		}
		anyHost := want.IP == nil || want.IP.IsUnspecified()
		if !want.IP.Equal(tcp.IP) && !(anyHost && tcp.IP.IsUnspecified()) {
			continue
		}
		if err := front.CheckFamilies(socket, w.Address, w.IPv6Only); err != nil {
			misfit = fmt.Errorf("%w: see BindIPv6Only and ListenStream in systemd.socket(5)", err)
			continue
		}
		return w.Address, nil
	}
	if misfit != nil {
		return "", misfit
	}
	return "", fmt.Errorf("the service manager passed a socket for %s, which no listen block has", bound)
}
