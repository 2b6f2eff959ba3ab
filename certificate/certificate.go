// Package certificate has the certificates that listeners present to clients: it chooses one for each handshake, follows the
// files that they come from, and reports their state.
package certificate

import (
	"cmp"
	"crypto/x509"
	"net"
	"net/netip"
	"time"
)

// State is the state of a certificate.
type State string

// The states, in increasing order of importance: of several that apply to a certificate, the last is reported.
const (
	Valid       State = "valid"
	Expiring    State = "expiring"      // less than a third of its lifetime is left; with ACME less than a quarter
	Pending     State = "pending"       // ACME has not obtained it yet; a placeholder is presented
	Failed      State = "failed"        // ACME could not obtain or renew it; it is tried again
	Broken      State = "broken"        // its files cannot be used; what they had before is presented
	NotYetValid State = "not_yet_valid" // clients reject it until then
	Expired     State = "expired"       // clients reject it
)

// States are all states.
var States = [...]State{Valid, Expiring, Pending, Failed, Broken, NotYetValid, Expired}

// Status describes a certificate.
type Status struct {
	Subject   string    // the common name, or else the first of Names
	Names     []string  // host names and addresses
	Issuer    string    // its common name
	NotBefore time.Time // validity begins
	NotAfter  time.Time // and ends
	File      string    // that it came from; empty with ACME
	ACME      bool
	State     State
	Error     string // why it is Broken or Failed; else empty
}

// statusOf describes a certificate at a time. It expires soon when the share-th part of its lifetime is left.
func statusOf(leaf *x509.Certificate, now time.Time, share time.Duration) Status {
	s := Status{
		Subject: subjectOf(leaf), Names: namesOf(leaf), Issuer: cmp.Or(leaf.Issuer.CommonName, leaf.Issuer.String()),
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, State: Valid,
	}
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		s.State = Expired
	case now.Before(leaf.NotBefore):
		s.State = NotYetValid
	case left < leaf.NotAfter.Sub(leaf.NotBefore)/share:
		s.State = Expiring
	}
	return s
}

// subjectOf names a certificate: its common name, or else its first host name or address.
func subjectOf(leaf *x509.Certificate) string {
	first := ""
	if names := namesOf(leaf); len(names) > 0 {
		first = names[0]
	}
	return cmp.Or(leaf.Subject.CommonName, first, leaf.Subject.String())
}

// hostOf returns the address without its port, "" for that of a Unix socket.
func hostOf(address net.Addr) string {
	ap, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return ""
	}
	return ap.Addr().Unmap().WithZone("").String()
}
