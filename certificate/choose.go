package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A Set is the certificates of a listener.
type Set struct {
	files []*File
	acme  *ACME // or nil
	index atomic.Pointer[index]
}

// index finds certificates by name. It is not changed once it was made.
type index struct {
	all    []*tls.Certificate
	byName map[string][]*tls.Certificate // wildcards as "*.example.org", addresses as x509.Certificate has them
}

// NewSet returns the set of the files' certificates, and of those by ACME, which may be nil.
func NewSet(files []*File, acme *ACME) *Set {
	s := &Set{files: files, acme: acme}
	s.Update()
	return s
}

// Update makes the set present what its files have by now.
func (s *Set) Update() {
	x := &index{byName: map[string][]*tls.Certificate{}}
	for _, f := range s.files {
		cert := f.Certificate()
		x.all = append(x.all, cert)
		for _, name := range namesOf(cert.Leaf) {
			x.byName[name] = append(x.byName[name], cert)
		}
	}
	s.index.Store(x)
}

// Get returns the first certificate that the client can use: of those for the name that it asks for, exact ones before
// wildcards, or else of all. Where the client can use none, the handshake fails with the first of them. Without a name the
// address that the client has connected to is the name. A certificate on demand may have to be waited for.
func (s *Set) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	x, name := s.index.Load(), nameAsked(hello)
	exact, wildcards := x.find(name)
	if s.acme != nil {
		wildcards = append(wildcards[:len(wildcards):len(wildcards)], s.acme.find(name)...)
		if len(exact)+len(wildcards) == 0 && hello.ServerName != "" && !s.acme.manages(name) {
			if cert := s.acme.onDemand(hello, name); cert != nil {
				return cert, nil
			}
		}
	}
	usable := *hello
	usable.ServerName = "" // names were compared; what is left is the kind of the key
	for _, certs := range [...][]*tls.Certificate{exact, wildcards, x.all} {
		for _, cert := range certs {
			if usable.SupportsCertificate(cert) == nil {
				return cert, nil
			}
		}
	}
	if list := slices.Concat(exact, wildcards, x.all); len(list) > 0 {
		return list[0], nil
	}
	if s.acme != nil {
		return s.acme.fallback(), nil
	}
	return nil, errors.New("the listener has no certificate")
}

// Candidates describes the certificates of which Get chooses for a client that asks for a name, in the same order. named is false if none
// has that name; they are then what Get falls back to. Nothing is obtained.
func (s *Set) Candidates(name string, now time.Time) (list []Status, named bool) {
	name = cleanName(name)
	var exact, wildcards, all []Status
	add := func(status Status, plain *[]Status) {
		switch all = append(all, status); {
		case slices.Contains(status.Names, name):
			*plain = append(*plain, status)
		case slices.ContainsFunc(status.Names, func(pattern string) bool { return Covers(pattern, name) }):
			wildcards = append(wildcards, status)
		}
	}
	for _, f := range s.files {
		add(f.Status(now), &exact)
	}
	if s.acme != nil {
		files := len(all) > 0
		for _, status := range s.acme.Status(now) {
			add(status, &wildcards)
		}
		if files { // without a name a certificate of a file is presented
			all = all[:len(s.files)]
		}
	}
	if list = slices.Concat(exact, wildcards); len(list) > 0 {
		return list, true
	}
	return all, false
}

// Covers reports whether a name in a certificate, which may be a wildcard, covers a name of a host, as Get compares them.
func Covers(pattern, name string) bool {
	pattern, name = cleanName(pattern), cleanName(name)
	_, parent, ok := strings.Cut(name, ".")
	return pattern == name || ok && pattern == "*."+parent
}

func cleanName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func (x *index) find(name string) (exact, wildcards []*tls.Certificate) {
	exact = x.byName[name]
	if _, parent, ok := strings.Cut(name, "."); ok {
		wildcards = x.byName["*."+parent]
	}
	return exact, wildcards
}

// nameAsked returns the name that the client wants a certificate for.
func nameAsked(hello *tls.ClientHelloInfo) string {
	if hello.ServerName == "" && hello.Conn != nil {
		return hostOf(hello.Conn.LocalAddr())
	}
	return cleanName(hello.ServerName)
}

// namesOf returns the names that a certificate is for.
func namesOf(leaf *x509.Certificate) []string {
	var names []string
	for _, name := range leaf.DNSNames {
		names = append(names, strings.ToLower(name))
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = append(names, strings.ToLower(leaf.Subject.CommonName))
	}
	return names
}
