package listener

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
)

// chooser finds the certificate for a server name.
type chooser struct {
	first  func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	all    []*tls.Certificate
	byName map[string][]*tls.Certificate // wildcards as "*.example.org"
}

func newChooser(o *TLSOptions) *chooser {
	ch := &chooser{first: o.GetCertificate, byName: map[string][]*tls.Certificate{}}
	for i := range o.Certificates {
		cert := &o.Certificates[i]
		ch.all = append(ch.all, cert)
		for _, name := range certificateNames(cert) {
			ch.byName[name] = append(ch.byName[name], cert)
		}
	}
	return ch
}

// choose returns the first certificate that the client can use: of those for the name that it asks for, exact ones before
// wildcards, or else of all. Where the client can use none, the handshake fails with the first of them.
func (ch *chooser) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if ch.first != nil {
		if cert, err := ch.first(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	if len(ch.all) == 0 {
		return nil, errors.New("no certificate for that name")
	}
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	exact, wildcards := ch.byName[name], []*tls.Certificate(nil)
	if _, parent, ok := strings.Cut(name, "."); ok {
		wildcards = ch.byName["*."+parent]
	}
	usable := *hello
	usable.ServerName = "" // names were compared above; what is left is the kind of the key
	for _, certs := range [...][]*tls.Certificate{exact, wildcards, ch.all} {
		for _, cert := range certs {
			if usable.SupportsCertificate(cert) == nil {
				return cert, nil
			}
		}
	}
	return slices.Concat(exact, wildcards, ch.all)[0], nil
}

func certificateNames(cert *tls.Certificate) []string {
	leaf := leafOf(cert)
	if leaf == nil {
		return nil
	}
	var names []string
	for _, name := range leaf.DNSNames {
		names = append(names, strings.ToLower(name))
	}
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = append(names, strings.ToLower(leaf.Subject.CommonName))
	}
	return names
}

func leafOf(cert *tls.Certificate) *x509.Certificate {
	if cert.Leaf != nil || len(cert.Certificate) == 0 {
		return cert.Leaf
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}
