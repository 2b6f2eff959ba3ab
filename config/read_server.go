package config

import (
	"crypto/tls"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"lb/internal/limits"
)

// leastTimeout is the shortest timeout that cannot be turned off.
const leastTimeout = time.Millisecond

// readConfig reads the whole configuration.
func readConfig(b *block) *Config {
	c := defaultConfig()
	b.prefixes("trusted_proxies", &c.TrustedProxies)
	readAdmin(b.one("admin"), &c.Admin)
	c.Listeners = readListeners(b, c)
	b.checkReach(c.Listeners)
	readLog(b.one("log"), &c.Log)
	readAccessLog(b.one("access_log"), &c.AccessLog)
	readLimits(b.one("limits"), &c.Limits)
	readStaticCache(b.one("static_cache"), &c.StaticCache)
	readShutdown(b.one("shutdown"), &c.Shutdown)
	c.Sites = readSites(b)
	b.checkCacheMemory(&c.StaticCache)
	b.checkNames(c.Sites)
	c.Pools = readPools(b)
	b.end()
	return c
}

func readListeners(root *block, c *Config) []Listener {
	var list []Listener
	places := make(map[string]Pos) // by address
	for _, b := range root.all("listen", "an address") {
		l := readListener(b, len(c.TrustedProxies) > 0 || root.written("trusted_proxies"))
		if !b.passes("listen", l.Address, b.labelAt, []textCheck{listenAddress}) {
			continue
		}
		for _, earlier := range list {
			if l.Address == earlier.Address {
				b.fail(b.labelAt, fmt.Sprintf("listen %q appears twice", l.Address),
					fmt.Sprintf("The first is at %v. Keep one of them, or choose another port.", places[earlier.Address]))
				break
			}
			if sameSocket(l, earlier) {
				b.fail(b.labelAt, fmt.Sprintf("listen %q and listen %q use the same address", l.Address, earlier.Address),
					fmt.Sprintf("The other is at %v. Keep one of them, or choose another port; %s.", places[earlier.Address], widest(l, earlier)))
				break
			}
		}
		if c.Admin.Listen != "" && sameSocket(l, Listener{Address: c.Admin.Listen}) {
			b.fail(b.labelAt, fmt.Sprintf("listen %q uses the address of the admin listener, %q", l.Address, c.Admin.Listen),
				`Choose another port, or move the admin listener: admin { listen = "127.0.0.1:9901" }`)
		}
		b.checkSocketPlace(b.labelAt, l.Address)
		places[l.Address] = b.pos(b.labelAt)
		list = append(list, l)
	}
	if len(root.find("listen")) == 0 {
		root.fail(root.at, "there is no listen block", `Add one: listen ":8080" {}`)
	}
	return list
}

func readListener(b *block, anyTrusted bool) Listener {
	l := Listener{Pos: b.pos(b.at), Address: b.label}
	b.flag("http2", &l.HTTP2)
	b.flag("http3", &l.HTTP3)
	b.flag("ipv6_only", &l.IPv6Only)
	b.flag("proxy_protocol", &l.ProxyProtocol)
	b.flag("redirect_https", &l.RedirectHTTPS)
	hasTLS := len(b.find("tls")) > 0
	if t := b.one("tls"); t != nil {
		l.TLS = readTLS(t)
	}
	b.end()
	if l.IPv6Only && !takesIPv6Only(l.Address) {
		b.fail(b.place("ipv6_only"), fmt.Sprintf("ipv6_only on %q, which is not an IPv6 address", l.Address),
			`It is for all IPv6 addresses: listen "[::]:80". All IPv4 addresses are "0.0.0.0:80".`)
	}
	if b.written("http2") && hasTLS {
		b.fail(b.place("http2"), "http2 on a listener with tls, where it belongs into the tls block",
			"Move it there: tls { http2 = false }. With TLS, HTTP/2 is on by default.")
	}
	if l.RedirectHTTPS && hasTLS {
		b.fail(b.place("redirect_https"), "redirect_https on a listener with tls",
			`Move it to the listener without tls: listen ":80" { redirect_https = true }`)
	}
	b.checkHTTP3(&l, hasTLS)
	if l.ProxyProtocol && !anyTrusted {
		b.warn(b.place("proxy_protocol"), "proxy_protocol without trusted_proxies: no peer is trusted to send the header",
			`Add the proxies' networks: trusted_proxies = ["10.0.0.0/8"]`)
	}
	return l
}

// checkHTTP3 refuses http3 on a listener that cannot serve it.
func (b *block) checkHTTP3(l *Listener, hasTLS bool) {
	if !l.HTTP3 {
		return
	}
	at := b.place("http3")
	switch {
	case strings.HasPrefix(l.Address, "unix:"):
		b.fail(at, "http3 on a Unix socket", `HTTP/3 uses UDP. Add it to a listener with a port: listen ":443" { http3 = true }`)
	case l.ProxyProtocol:
		b.fail(at, "http3 together with proxy_protocol, which is for TCP alone",
			"Remove http3 here, or let clients that use HTTP/3 connect to another listener, without a proxy between.")
	case !hasTLS:
		b.fail(at, "http3 on a listener without tls", "HTTP/3 is always encrypted. Add a tls block with a certificate, or remove http3.")
	}
}

func readTLS(b *block) *TLS {
	t := defaultTLS()
	t.Pos = b.pos(b.at)
	for _, cb := range b.all("certificate", "") {
		c := Certificate{Pos: cb.pos(cb.at)}
		cb.file("cert", &c.Cert)
		cb.file("key", &c.Key)
		cb.require("cert", c.Cert, "/etc/lb/site.pem")
		cb.require("key", c.Key, "/etc/lb/site.key")
		cb.end()
		if leaf := cb.checkPair(c.Cert, c.Key); leaf != nil {
			b.served = append(b.served, servedLeaf{leaf, c.Cert, cb.place("cert")})
		}
		t.Certificates = append(t.Certificates, c)
	}
	version := "1.2"
	b.text("min_version", &version, oneOf("1.2", "1.3"))
	if version == "1.3" {
		t.MinVersion = tls.VersionTLS13
	}
	b.file("client_ca", &t.ClientCA)
	b.checkRoots("client_ca", t.ClientCA)
	b.text("client_verify", &t.ClientVerify, oneOf("require", "optional"))
	if t.ClientVerify == "optional" && !b.written("client_ca") {
		b.fail(b.place("client_verify"), "client_verify without client_ca", `Add the authority of the clients' certificates: client_ca = "/etc/lb/clients.pem"`)
	}
	b.file("session_keys", &t.SessionKeys)
	b.checkSessionKeys(t.SessionKeys)
	b.file("ech_keys", &t.ECHKeys)
	b.checkECHKeys(t.ECHKeys)
	b.flag("http2", &t.HTTP2)
	hasACME := len(b.find("acme")) > 0
	if ab := b.one("acme"); ab != nil {
		t.ACME = readACME(ab)
		b.acme[t.ACME] = ab.at
	}
	b.end()
	if len(t.Certificates) == 0 && !hasACME {
		b.fail(b.at, "tls has no certificate", "Add inside: certificate { … } with cert = \"/etc/lb/site.pem\" and key = \"/etc/lb/site.key\"")
	}
	return &t
}

func readAdmin(b *block, a *Admin) {
	if b == nil {
		return
	}
	a.Pos = b.pos(b.at)
	b.adminListen(a)
	b.adminToken(a)
	b.end()
	b.checkSocketPlace(b.place("listen"), a.Listen)
	switch {
	case a.Listen == "" || loopback(a.Listen):
	case a.Token == "":
		b.fail(b.place("listen"), "admin is reachable from other machines and has no token",
			`Add a token: token = env("LB_ADMIN_TOKEN"), or write: listen = "127.0.0.1:9900"`)
	case len(a.Token) < limits.MinSecret:
		b.fail(b.place("token"), fmt.Sprintf("admin is reachable from other machines, and its token is shorter than %d characters: it can be guessed", limits.MinSecret),
			"Generate one: openssl rand -hex 32")
	}
}

func (b *block) adminListen(a *Admin) {
	b.text("listen", &a.Listen, func(s string) (string, string) {
		if s == "off" {
			return "", ""
		}
		return listenAddress(s)
	})
	if a.Listen == "off" {
		a.Listen = ""
	}
}

func (b *block) adminToken(a *Admin) { b.secret("token", &a.Token, headerValue) }

func readLog(b *block, l *Log) {
	if b == nil {
		return
	}
	l.Pos = b.pos(b.at)
	b.text("level", &l.Level, oneOf("trace", "debug", "info", "warn", "error"))
	b.text("format", &l.Format, oneOf("text", "json"))
	b.logFile("file", &l.File)
	b.end()
}

func readAccessLog(b *block, l *AccessLog) {
	if b == nil {
		return
	}
	l.Pos = b.pos(b.at)
	b.text("format", &l.Format, oneOf("json", "combined", "off"))
	b.logFile("file", &l.File)
	b.share("sample", &l.Sample)
	b.end()
}

// logFile reads a file name or "-".
func (b *block) logFile(name string, to *string) {
	b.text(name, to, noNUL, func(s string) (string, string) {
		if s == "" {
			return "is empty", `Write a path, or "-" for the terminal.`
		}
		return "", ""
	})
	if *to != "-" {
		*to = under(filepath.Dir(b.at.Filename), *to)
		b.checkFolder(name, filepath.Dir(*to))
		b.checkNoFolder(name, *to)
	}
}

func readLimits(b *block, l *Limits) {
	if b == nil {
		return
	}
	l.Pos = b.pos(b.at)
	b.number("max_connections", &l.MaxConnections, 0, unlimited)
	b.number("connections_per_ip", &l.ConnectionsPerIP, 0, unlimited)
	b.size("header_size", &l.HeaderSize, limits.MinHeaderSize, limits.MaxHeaderSize)
	b.number("header_fields", &l.HeaderFields, 1, 10_000)
	b.duration("header_timeout", &l.HeaderTimeout, leastTimeout)
	b.size("body_size", &l.BodySize, 0, math.MaxInt64)
	b.duration("body_idle_timeout", &l.BodyIdleTimeout, leastTimeout)
	b.size("body_min_rate", &l.BodyMinRate, 0, 1<<40)
	b.duration("idle_timeout", &l.IdleTimeout, leastTimeout)
	b.end()
}

func readStaticCache(b *block, s *StaticCache) {
	if b == nil {
		return
	}
	s.Pos = b.pos(b.at)
	b.size("memory", &s.Memory, 0, 1<<50)
	b.size("max_file", &s.MaxFile, 0, 1<<30)
	b.end()
	if s.MaxFile > s.Memory && s.Memory > 0 && b.written("max_file") {
		b.warn(b.place("max_file"), "max_file is larger than the memory of the cache", "Write less than memory, which is "+formatSize(s.Memory)+".")
	}
}

func readShutdown(b *block, s *Shutdown) {
	if b == nil {
		return
	}
	s.Pos = b.pos(b.at)
	b.duration("grace", &s.Grace, 0)
	b.duration("delay", &s.Delay, 0)
	b.end()
}
