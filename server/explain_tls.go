package server

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"lb/admin"
	"lb/certificate"
	"lb/config"
)

// candidates returns the certificates that clients which ask for a name may get from a listener, the preferred one first. named says
// whether they are for that name.
type candidates func(l *config.Listener, name string, now time.Time) (list []certificate.Status, named bool, err error)

// arrivals adds what a client agrees on with each listener before the request. configured are their addresses in the configuration.
func (a *asked) arrivals(listeners []admin.ExplainedListener, configured []string, cfg *config.Config, find candidates) {
	for i := range listeners {
		at := slices.IndexFunc(cfg.Listeners, func(l config.Listener) bool { return l.Address == configured[i] })
		if at < 0 { // a reload is replacing it
			continue
		}
		l, to := &cfg.Listeners[at], &listeners[i]
		to.Protocols = protocolsOf(l)
		if l.TLS == nil {
			continue
		}
		name := a.url.Hostname()
		list, named, err := find(l, name, time.Now())
		for _, c := range list {
			to.Certificates = append(to.Certificates, shownCertificate(c))
		}
		switch {
		case err != nil:
			to.CertificateWhy = err.Error()
		case named:
			to.CertificateWhy = "by the name " + name
		case l.TLS.ACME != nil && l.TLS.ACME.Ask != "":
			to.CertificateWhy = fmt.Sprintf("none has the name %s; one is obtained on demand if %s agrees", name, l.TLS.ACME.Ask)
		default:
			to.CertificateWhy = fmt.Sprintf("none has the name %s, so that clients reject it", name)
		}
	}
}

// protocolsOf returns the protocols of a listener by their ALPN names, which are also used without TLS.
func protocolsOf(l *config.Listener) (list []string) {
	switch {
	case l.TLS != nil && l.TLS.HTTP2:
		return []string{"h2", "http/1.1"}
	case l.HTTP2:
		return []string{"http/1.1", "h2 (prior knowledge)"}
	}
	return []string{"http/1.1"}
}

// candidates implements the type of that name for the certificates in force.
func (c *certificates) candidates(l *config.Listener, name string, now time.Time) (list []certificate.Status, named bool, err error) {
	set := c.byListener[l.Address]
	if set == nil {
		return nil, false, errors.New("the certificates are not known")
	}
	list, named = set.Candidates(name, now)
	return list, named, nil
}

// candidatesOf implements candidates for a configuration that is not in force: of certificates by ACME it knows only the names.
func candidatesOf(l *config.Listener, name string, now time.Time) (list []certificate.Status, named bool, err error) {
	var files []*certificate.File
	for _, pair := range l.TLS.Certificates {
		f, failure := certificate.Open(pair.Cert, pair.Key)
		if failure != nil {
			err = errors.Join(err, fmt.Errorf("cannot load the certificate %q: %w", pair.Cert, failure))
			continue
		}
		files = append(files, f)
	}
	list, named = certificate.NewSet(files, nil).Candidates(name, now)
	if l.TLS.ACME == nil || named {
		return list, named, err
	}
	for _, domain := range l.TLS.ACME.Domains {
		if certificate.Covers(domain, name) {
			return []certificate.Status{{Subject: domain, Names: []string{domain}, ACME: true}}, true, err
		}
	}
	return list, false, err
}
