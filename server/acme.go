package server

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"

	"lb/certificate"
	"lb/config"
	"lb/listener"
)

// acmeRun is what obtains the certificates of an acme block. It lasts as long as some listener has such a block.
type acmeRun struct {
	*certificate.ACME
	config  config.ACME // without places
	started bool
	ports   certificate.Ports
}

// acme returns the run of a block: that of the same block before, or a new one.
func (s *Server) acme(c *config.ACME, g *generation) (*acmeRun, error) {
	plain := *c
	plain.Pos = config.Pos{}
	plain.Directories = slices.Clone(c.Directories)
	for i := range plain.Directories {
		plain.Directories[i].Pos = config.Pos{}
	}
	same := func(run *acmeRun) bool { return reflect.DeepEqual(run.config, plain) }
	if i := slices.IndexFunc(g.acme, same); i >= 0 {
		return g.acme[i], nil
	}
	if old := s.current.Load(); old != nil {
		if i := slices.IndexFunc(old.acme, same); i >= 0 {
			g.acme = append(g.acme, old.acme[i])
			return old.acme[i], nil
		}
	}
	o := certificate.ACMEOptions{
		Domains: c.Domains, Email: c.Email, Storage: c.Storage, DNSExec: c.DNSExec, Ask: c.Ask,
		HTTP01: slices.Contains(c.Challenges, "http-01"), TLSALPN01: slices.Contains(c.Challenges, "tls-alpn-01"),
		Log: s.log.Named("acme"), Intervals: s.opt.ACME,
	}
	for i := range c.Directories {
		d, err := acmeDirectory(&c.Directories[i])
		if err != nil {
			return nil, err
		}
		o.Directories = append(o.Directories, d)
	}
	a, err := certificate.NewACME(o)
	if err != nil {
		return nil, at(c.Pos, "cannot prepare acme", err)
	}
	run := &acmeRun{ACME: a, config: plain}
	g.acme = append(g.acme, run)
	g.undo = append(g.undo, a.Stop)
	a.Load()
	return run, nil
}

func acmeDirectory(c *config.ACMEDirectory) (certificate.Directory, error) {
	d := certificate.Directory{URL: c.Directory, Profile: c.Profile}
	if c.EAB != nil {
		d.KeyID, d.MACKey = c.EAB.KID, string(c.EAB.HMAC)
	}
	if c.CA == "" {
		return d, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return d, at(c.Pos, "cannot read ca", err)
	}
	if d.Roots, err = x509.SystemCertPool(); err != nil {
		d.Roots = x509.NewCertPool() // the authority's own is what matters
	}
	if !d.Roots.AppendCertsFromPEM(pem) {
		return d, at(c.Pos, fmt.Sprintf("ca %q contains no PEM certificate", c.CA), nil)
	}
	return d, nil
}

// startACME has certificates obtained, with challenges that the listeners respond to as they are now.
func (s *Server) startACME(g *generation) {
	ports := challengePorts(s.front.Listeners())
	for _, run := range g.acme {
		switch {
		case !run.started:
			run.Start(ports)
		case run.ports != ports:
			run.UsePorts(ports)
		}
		run.started, run.ports = true, ports
	}
}

// challengePorts returns where ACME servers are responded to: on the ports that they connect to, or on others that these are
// forwarded to.
func challengePorts(listeners []*listener.Listener) (ports certificate.Ports) {
	var hosts [2]string
	for _, l := range listeners {
		host, text, err := net.SplitHostPort(l.Addr().String())
		port, _ := strconv.Atoi(text)
		if err != nil || port == 0 {
			continue // a Unix socket
		}
		to, usual, i := &ports.HTTP, 80, 0
		if l.TLS {
			to, usual, i = &ports.TLS, 443, 1
		}
		if *to == 0 || port == usual {
			*to, hosts[i] = port, host
		}
	}
	if hosts[0] == hosts[1] || hosts[0] == "" {
		ports.Host = hosts[1]
	} else if hosts[1] == "" {
		ports.Host = hosts[0]
	}
	if ip := net.ParseIP(ports.Host); ip != nil && ip.IsUnspecified() {
		ports.Host = ""
	}
	return ports
}
