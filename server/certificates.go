package server

import (
	"slices"
	"sync"
	"time"

	"lb/admin"
	"lb/certificate"
	"lb/config"
	"lb/telemetry"
)

// certificates are what the listeners of one configuration present to clients.
type certificates struct {
	files []*certificate.File
	acme  []*certificate.ACME
	sets  []*certificate.Set
	// byListener are the sets by the addresses of the listeners in the configuration.
	byListener map[string]*certificate.Set

	mu      sync.Mutex
	scope   *telemetry.Scope // the series of each of them; nil: not in force yet
	retired bool
}

func newCertificates() *certificates {
	return &certificates{byListener: map[string]*certificate.Set{}}
}

// open loads the certificate files of a tls block, which may have certificates by ACME too.
func (c *certificates) open(t *config.TLS, acme *certificate.ACME) (*certificate.Set, error) {
	var files []*certificate.File
	for _, pair := range t.Certificates {
		f, err := certificate.Open(pair.Cert, pair.Key)
		if err != nil {
			return nil, at(pair.Pos, "cannot load the certificate", err)
		}
		files = append(files, f)
	}
	set := certificate.NewSet(files, acme)
	c.files = append(c.files, files...)
	c.sets = append(c.sets, set)
	if acme != nil && !slices.Contains(c.acme, acme) {
		c.acme = append(c.acme, acme)
	}
	return set, nil
}

// status returns the state of each certificate, those that end first before others.
func (c *certificates) status(now time.Time) (list []certificate.Status) {
	for _, f := range c.files {
		list = append(list, f.Status(now))
	}
	for _, a := range c.acme {
		list = append(list, a.Status(now)...)
	}
	slices.SortStableFunc(list, func(a, b certificate.Status) int { return a.NotAfter.Compare(b.NotAfter) })
	return list
}

// showCertificates makes the series of the certificates say what they are now.
func (s *Server) showCertificates(c *certificates) {
	list := c.status(time.Now())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired {
		return
	}
	scope := s.registry.NewScope()
	shown := map[string]bool{}
	for _, status := range list {
		if !shown[status.Subject] && !status.NotAfter.IsZero() { // of several for one subject the one that ends first
			shown[status.Subject] = true
			end := float64(status.NotAfter.Unix())
			scope.Gauge("lb_tls_certificate_expiry_timestamp_seconds", func() float64 { return end }, "subject", status.Subject)
		}
	}
	if c.scope != nil {
		c.scope.Close()
	}
	c.scope = scope
}

// retire removes the series of c.
func (c *certificates) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
	c.scope.Close()
}

// countCertificates updates the metrics of how many certificates are in each state.
func (s *Server) countCertificates() {
	for _, state := range certificate.States {
		s.scope.Gauge("lb_certificates", func() float64 {
			n := 0
			if g := s.current.Load(); g != nil {
				for _, status := range g.certificates.status(time.Now()) {
					if status.State == state {
						n++
					}
				}
			}
			return float64(n)
		}, "state", string(state))
	}
}

// watchCertificates uses certificate files and session keys that were replaced.
func (s *Server) watchCertificates() {
	log := s.log.Named("certificates")
	s.every(certificate.LookInterval, func() {
		g := s.current.Load()
		c := g.certificates
		s.watchTickets(g, log)
		for _, f := range g.ech {
			f.look(log)
		}
		changed := false
		for _, f := range c.files {
			if f.Look(log, time.Now()) {
				changed = true
			}
		}
		if changed {
			for _, set := range c.sets {
				set.Update()
			}
		}
		for _, a := range c.acme {
			changed = a.Look(log, time.Now()) || changed
		}
		if changed {
			s.showCertificates(c)
		}
	})
}

// certificateStatus is what the status shows of the certificates.
func (s *Server) certificateStatus(g *generation) (list []admin.Certificate) {
	for _, c := range g.certificates.status(time.Now()) {
		list = append(list, shownCertificate(c))
	}
	return list
}

func shownCertificate(c certificate.Status) admin.Certificate {
	return admin.Certificate{
		Subject: c.Subject, Names: c.Names, Issuer: c.Issuer, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		File: c.File, ACME: c.ACME, State: string(c.State), Error: c.Error,
	}
}
