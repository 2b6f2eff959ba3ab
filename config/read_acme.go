package config

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func readACME(b *block) *ACME {
	a := defaultACME()
	a.Pos = b.pos(b.at)
	b.texts("domains", "clock.example.com", &a.Domains, hostName)
	b.text("email", &a.Email, emailAddress)
	a.Directories = append(a.Directories, readDirectory(b))
	for _, f := range b.all("fallback", "") {
		d := readDirectory(f)
		f.require("directory", d.Directory, "https://acme.example.com/directory")
		f.end()
		a.Directories = append(a.Directories, d)
	}
	if a.Directories[0].Directory == "" {
		a.Directories[0].Directory = LetsEncrypt
	}
	b.text("storage", &a.Storage, noNUL, storageKind)
	b.readChallenges(&a)
	if o := b.one("on_demand"); o != nil {
		o.text("ask", &a.Ask, httpURL)
		o.require("ask", a.Ask, "http://127.0.0.1:5000/may-have-a-certificate")
		o.end()
	}
	b.end()
	if !strings.Contains(a.Storage, "://") {
		a.Storage = under(filepath.Dir(b.at.Filename), a.Storage)
		b.checkStorage(a.Storage)
	}
	if len(a.Domains) == 0 && len(b.find("on_demand")) == 0 {
		b.fail(b.place("domains"), "acme needs domains", `Write: domains = ["clock.example.com"]`)
	}
	for _, name := range a.Domains {
		b.checkDomain(&a, name)
	}
	return &a
}

// readDirectory reads what a server needs, from the acme block or one of its fallback blocks.
func readDirectory(b *block) ACMEDirectory {
	d := ACMEDirectory{Pos: b.pos(b.at)}
	b.text("directory", &d.Directory, directoryURL)
	b.file("ca", &d.CA)
	b.checkRoots("ca", d.CA)
	b.text("profile", &d.Profile)
	if e := b.one("eab"); e != nil {
		d.EAB = &EAB{}
		e.text("kid", &d.EAB.KID)
		e.secret("hmac", &d.EAB.HMAC, base64URL)
		e.require("kid", d.EAB.KID, "the key identifier of your account at the authority")
		e.require("hmac", string(d.EAB.HMAC), "its key in base64url")
		e.end()
	}
	return d
}

func (b *block) readChallenges(a *ACME) {
	var list []string
	b.texts("challenges", "http-01", &list, oneOf("http-01", "tls-alpn-01", "dns-01"))
	d := b.one("dns")
	if d != nil {
		d.file("exec", &a.DNSExec)
		var notServed string
		d.text("provider", &notServed)
		d.secret("token", (*Secret)(&notServed))
		d.checkReadable("exec", a.DNSExec)
		d.require("exec", a.DNSExec, "/etc/lb/dns-01")
		d.end()
		a.Challenges = []string{"dns-01"}
	}
	if len(list) > 0 {
		a.Challenges = list
	}
	switch byDNS := slices.Contains(list, "dns-01"); {
	case byDNS && len(list) > 1:
		b.fail(b.place("challenges"), "dns-01 beside other challenges", `With dns-01 the others are not used. Write: challenges = ["dns-01"]`)
	case byDNS && len(b.find("dns")) == 0:
		b.fail(b.place("challenges"), "dns-01 without a dns block", "Add inside acme: dns { … } with exec = \"/etc/lb/dns-01\", a program that sets the record.")
	case len(b.find("dns")) > 0 && len(list) > 0 && !byDNS:
		b.fail(b.place("challenges"), "a dns block without the challenge dns-01", `Write challenges = ["dns-01"], or remove the dns block.`)
	}
}

// checkDomain checks what a server needs to issue a certificate for a name.
func (b *block) checkDomain(a *ACME, name string) {
	_, err := netip.ParseAddr(name)
	isAddress := err == nil
	byDNS := slices.Contains(a.Challenges, "dns-01")
	switch {
	case strings.HasPrefix(name, "*.") && !byDNS:
		b.fail(b.place("domains"), fmt.Sprintf("a certificate for %q needs the challenge dns-01", name),
			"Write each name without a star, or add inside acme: dns { … } with exec = \"/etc/lb/dns-01\"")
	case isAddress && byDNS:
		b.fail(b.place("domains"), fmt.Sprintf("a certificate for the address %q cannot be obtained by dns-01", name),
			"Put it into a listener of its own with the challenge http-01 or tls-alpn-01.")
	case isAddress && a.Directories[0].Directory == LetsEncrypt && a.Directories[0].Profile != "shortlived":
		b.fail(b.place("domains"), fmt.Sprintf("Let's Encrypt issues a certificate for the address %q only with its profile for short lifetimes", name),
			`Add inside acme: profile = "shortlived"`)
	}
}

// checkReach warns if no ACME server can reach this machine to validate a name.
func (r *reader) checkReach(listeners []Listener) {
	ports, plain := map[string]bool{}, false
	for i := range listeners {
		l := &listeners[i]
		plain = plain || l.TLS == nil && portOf(l.Address) != ""
		ports[portOf(l.Address)+map[bool]string{true: "/tls", false: ""}[l.TLS != nil]] = true
	}
	for i := range listeners {
		l := &listeners[i]
		if l.TLS == nil || l.TLS.ACME == nil {
			continue
		}
		a := l.TLS.ACME
		byHTTP, byTLS := slices.Contains(a.Challenges, "http-01"), slices.Contains(a.Challenges, "tls-alpn-01")
		if !byHTTP && !byTLS || byHTTP && ports["80"] || byTLS && ports["443/tls"] {
			continue
		}
		if !byTLS && !plain {
			r.fail(r.acme[a], "the challenge http-01 needs a listener without tls", `Add listen ":80" { redirect_https = true }, or remove challenges.`)
			continue
		}
		r.warn(r.acme[a], "ACME servers cannot reach lb to validate the domains: they connect to port 80 (http-01) or 443 (tls-alpn-01), and no listener is there",
			`Add listen ":80" { redirect_https = true }, or have ports 80 and 443 of the domains forwarded to the listeners.`)
	}
}

func portOf(address string) string {
	if strings.HasPrefix(address, "unix:") {
		return ""
	}
	return address[strings.LastIndexByte(address, ':')+1:]
}

// checkStorage warns about a directory that cannot be written to.
func (b *block) checkStorage(path string) {
	if b.withoutFiles || path == "" {
		return
	}
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		b.fail(b.place("storage"), fmt.Sprintf("cannot keep certificates in %q: it is not a directory", path), "Write the path of a directory.")
		return
	}
	existing := path
	for err != nil && existing != filepath.Dir(existing) { // what is missing is created
		existing = filepath.Dir(existing)
		_, err = os.Stat(existing)
	}
	if err = unix.Access(existing, unix.W_OK); err != nil {
		b.warn(b.place("storage"), fmt.Sprintf("cannot keep certificates in %q: this user cannot write to %q: %v", path, existing, err),
			"Create the directory for the user that lb runs as, or write storage = \"…\" with another one.")
	}
}

func storageKind(s string) (problem, remedy string) {
	if kind, _, ok := strings.Cut(s, "://"); ok {
		return fmt.Sprintf("cannot be kept in %s in this version", kind), `Write a directory: storage = "/var/lib/lb/acme"`
	}
	if s == "" {
		return "is empty", `Write a directory: storage = "/var/lib/lb/acme"`
	}
	return "", ""
}

func httpURL(s string) (problem, remedy string) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Sprintf("is not a URL: %q", s), `Write: "https://host/path"`
	}
	return "", ""
}

// directoryURL requires the URL of an ACME directory, which must be https (RFC 8555 section 6.1).
func directoryURL(s string) (problem, remedy string) {
	if s == "" {
		return "", ""
	}
	if problem, remedy = httpURL(s); problem == "" && !strings.HasPrefix(s, "https://") {
		return fmt.Sprintf("is not https: %q", s), "ACME servers are asked over TLS alone. For a private server, ca names the file with its authority."
	}
	return problem, remedy
}

func base64URL(s string) (problem, remedy string) {
	if _, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "=")); err != nil {
		return "is not base64url", "Copy it as the authority shows it: letters, digits, - and _"
	}
	return "", ""
}
