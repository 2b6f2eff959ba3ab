package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// soonExpires is how long before the end of an authority's certificate a warning is given, or a third of its lifetime if that
// is shorter. Of other certificates it is always a third: automatic renewal happens before.
const soonExpires = 14 * 24 * time.Hour

// servedLeaf is a certificate for clients, to compare with the sites when they are known.
type servedLeaf struct {
	leaf *x509.Certificate
	path string
	at   hcl.Range
}

// checkTimes warns about certificates of a file that are not valid now, or expire soon.
func (b *block) checkTimes(path string, pair tls.Certificate, now time.Time) {
	for i, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			continue // LoadX509KeyPair has parsed the first one; the others belong to the authorities
		}
		what, soon := fmt.Sprintf("the certificate of %s in %q", subjectOf(c), path), c.NotAfter.Sub(c.NotBefore)/3
		if i > 0 {
			soon = min(soon, soonExpires)
			what = fmt.Sprintf("the authority's certificate of %s in %q", subjectOf(c), path)
		}
		left := c.NotAfter.Sub(now)
		switch {
		case left <= 0:
			b.warn(b.place("cert"), fmt.Sprintf("%s expired %s ago, on %s", what, span(-left), date(c.NotAfter)), "Peers reject it. Renew it, and reload.")
		case now.Before(c.NotBefore):
			b.warn(b.place("cert"), fmt.Sprintf("%s is not valid for %s yet, until %s", what, span(c.NotBefore.Sub(now)), date(c.NotBefore)),
				"Peers reject it until then. Wait, or check the clock of this machine.")
		case left < soon:
			b.warn(b.place("cert"), fmt.Sprintf("%s expires in %s, on %s", what, span(left), date(c.NotAfter)), "Renew it, and reload.")
		}
	}
}

// subjectOf names a certificate: its common name, or else its first host name.
func subjectOf(c *x509.Certificate) string {
	first := ""
	if len(c.DNSNames) > 0 {
		first = c.DNSNames[0]
	}
	return cmp.Or(c.Subject.CommonName, first, c.Subject.String(), "nobody")
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// span formats a duration in the largest unit of which it has at least two.
func span(d time.Duration) string {
	for _, unit := range [...]struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}} {
		if d >= 2*unit.length {
			return fmt.Sprintf("%d %s", d/unit.length, unit.name)
		}
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}

// checkNames warns about certificates for none of the sites' hosts. If a site accepts every host, any certificate may
// be right.
func (r *reader) checkNames(sites []Site) {
	var hosts []string
	for i := range sites {
		if len(sites[i].Hosts) == 0 {
			return
		}
		hosts = append(hosts, sites[i].Hosts...)
	}
	for _, s := range r.served {
		if len(hosts) > 0 && !coversAny(s.leaf, hosts) {
			r.warn(s.at, fmt.Sprintf("the certificate of %s in %q matches none of the sites' hosts", subjectOf(s.leaf), s.path),
				"Use a certificate for a host that a site has, or add the host to a site.")
		}
	}
}

func coversAny(c *x509.Certificate, hosts []string) bool {
	names := c.DNSNames
	if len(names) == 0 {
		names = []string{c.Subject.CommonName}
	}
	for _, host := range hosts {
		for _, name := range names {
			if strings.EqualFold(name, host) || underWildcard(name, host) || underWildcard(host, name) {
				return true
			}
		}
		if c.VerifyHostname(host) == nil { // an IP address
			return true
		}
	}
	return false
}

// underWildcard reports whether name is one label below pattern's "*.".
func underWildcard(pattern, name string) bool {
	parent, ok := strings.CutPrefix(pattern, "*.")
	_, rest, below := strings.Cut(name, ".")
	return ok && below && strings.EqualFold(parent, rest)
}
