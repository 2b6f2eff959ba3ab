package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"lb/balancer"
	"lb/internal/limits"
)

func readPools(root *block) []Pool {
	var list []Pool
	pools := newNames("pool")
	for _, b := range root.all("pool", "its name") {
		if b.label == "" {
			b.fail(b.labelAt, "the name of the pool is empty", `Give it a name: pool "app" { … }`)
		}
		pools.claim(b.reader, b.label, b.labelAt, "Rename one of them, or merge the two.")
		list = append(list, readPool(b))
	}
	root.checkPools(pools)
	root.checkStreaming(list)
	root.checkAsked(list)
	root.checkCalls(list)
	return list
}

func readPool(b *block) Pool {
	p := defaultPool()
	p.Pos, p.Name = b.pos(b.at), b.label
	b.text("balance", &p.Balance, oneOf(balancer.Names()...))
	b.text("hash_key", &p.HashKey, clientKey("client_ip", "path", "uri"))
	b.text("protocol", &p.Protocol, backendProtocol)
	p.Backends = readBackends(b)
	for _, d := range b.all("discover", "its kind") {
		p.Discover = append(p.Discover, readDiscover(d))
	}
	health := b.one("health")
	p.Health = readHealth(health)
	health.checkProbePort(p.Health, p.Backends)
	readEject(b.one("eject"), &p.Eject)
	readRetry(b.one("retry"), &p)
	readQueue(b.one("queue"), &p.Queue)
	b.duration("slow_start", &p.SlowStart, 0)
	b.share("panic_threshold", &p.PanicThreshold)
	b.size("response_header_size", &p.ResponseHeaderSize, limits.MinHeaderSize, limits.MaxHeaderSize)
	b.text("proxy_protocol", &p.ProxyProtocol, optional(oneOf("v1", "v2")))
	readTimeouts(b.one("timeouts"), &p.Timeouts)
	readKeepAlive(b.one("keepalive"), &p.KeepAlive)
	p.TLS = readBackendTLS(b.one("tls"), nil)
	p.Sticky = readSticky(b.one("sticky"))
	b.end()
	checkProtocol(b, &p)
	if len(b.find("backend")) == 0 && len(b.find("discover")) == 0 {
		b.fail(b.at, fmt.Sprintf("pool %q has no backend", b.label), `Add one inside: backend "127.0.0.1:5000" {}`)
	}
	return p
}

func backendProtocol(s string) (fault, remedy string) {
	switch s {
	case "http2", "grpc":
		return fmt.Sprintf("cannot be %q", s), `Write "h2" for HTTP/2 with TLS, or "h2c" for HTTP/2 without TLS.`
	}
	return oneOf("http1", "h2", "h2c")(s)
}

// checkProtocol checks what the protocol of a pool's backends does not go with.
func checkProtocol(b *block, p *Pool) {
	if p.Health != nil {
		p.Health.HTTP2 = p.Protocol != "http1"
	}
	switch {
	case p.Protocol == "h2" && p.TLS == nil:
		b.fail(b.place("protocol"), `protocol = "h2" needs TLS to the backends`, `Add tls {} to the pool, or, for HTTP/2 without TLS, write: protocol = "h2c"`)
	case p.Protocol == "h2c" && p.TLS != nil:
		b.fail(b.place("protocol"), `protocol = "h2c" is HTTP/2 without TLS, but the pool has a tls block`, `Write: protocol = "h2"`)
	}
	if p.Protocol != "http1" && p.ProxyProtocol != "" {
		b.fail(b.place("proxy_protocol"), "clients share connections of HTTP/2, so that no PROXY header can name one",
			"Remove proxy_protocol. Backends find the client's address in X-Forwarded-For.")
	}
}

func readBackends(pool *block) []Backend {
	var list []Backend
	addresses := newNames("backend")
	var idle []*block // with weight 0
	blocks := pool.all("backend", "its address")
	for _, b := range blocks {
		m := defaultBackend()
		m.Pos, m.Address = b.pos(b.at), b.label
		good := b.passes("backend", m.Address, b.labelAt, []textCheck{peerAddress})
		b.number("weight", &m.Weight, 0, limits.MaxConfiguredWeight)
		b.number("max_conns", &m.MaxConns, 0, unlimited)
		b.flag("backup", &m.Backup)
		b.end()
		if m.Weight == 0 {
			idle = append(idle, b)
		}
		if good && addresses.claim(b.reader, strings.ToLower(m.Address), b.labelAt, "Keep one of them; weight = 2 gives it a double share.") {
			list = append(list, m)
		}
	}
	if len(idle) > 0 && len(idle) == len(blocks) && len(pool.find("discover")) == 0 {
		pool.warn(pool.at, fmt.Sprintf("every backend of pool %q has weight 0", pool.label), "Give those that should serve a weight: weight = 1")
		return list
	}
	for _, b := range idle {
		b.warn(b.place("weight"),
			fmt.Sprintf("weight = 0 leaves backend %q out of pool %q: it is not used, checked or shown", b.label, pool.label),
			fmt.Sprintf("Remove the block. To stop requests to a backend that stays in the pool: lb drain %s/%s", pool.label, b.label))
	}
	return list
}

func readDiscover(b *block) Discover {
	d := Discover{Pos: b.pos(b.at)}
	kinds := []string{"dns", "file", "docker", "consul"}
	switch b.label {
	case "dns":
		d.DNS = readDiscoverDNS(b)
	case "file":
		d.File = &DiscoverFile{}
		b.file("path", &d.File.Path)
		b.require("path", d.File.Path, "/etc/lb/app.backends")
		b.checkAwaited("path", d.File.Path)
	case "docker":
		d.Docker = readDiscoverDocker(b)
	case "consul":
		d.Consul = readDiscoverConsul(b)
	default:
		b.passes("discover", b.label, b.labelAt, []textCheck{oneOf(kinds...)})
		return d // its attributes depend on the kind
	}
	b.end()
	return d
}

func readDiscoverDNS(b *block) *DiscoverDNS {
	d := defaultDiscoverDNS()
	b.text("name", &d.Name, optional(func(s string) (string, string) {
		if !validName(s) {
			return fmt.Sprintf("is not a name: %q", s), `Write a name without a port: name = "app.internal"`
		}
		return "", ""
	}))
	b.require("name", d.Name, "app.internal")
	b.text("type", &d.Type, oneOf("A", "SRV"))
	b.number("port", &d.Port, 1, 65535)
	if d.Port == 0 && !b.written("port") && d.Type == "A" {
		b.fail(b.at, "discover \"dns\" of type A needs port", "Write: port = 5000")
	}
	if d.Type == "SRV" && b.written("port") {
		b.warn(b.place("port"), "port has no effect with type SRV", "Remove it: each SRV record has its own port.")
	}
	b.duration("interval", &d.Interval, 100*time.Millisecond)
	b.text("resolver", &d.Resolver, optional(func(s string) (string, string) {
		if strings.HasPrefix(s, "unix:") {
			return "cannot be a socket", `Write: resolver = "127.0.0.1:53"`
		}
		problem, _ := peerAddress(s)
		return problem, `Write the resolver's address with its port: resolver = "127.0.0.1:53"`
	}))
	return &d
}

func readDiscoverDocker(b *block) *DiscoverDocker {
	d := defaultDiscoverDocker()
	b.text("label", &d.Label)
	b.require("label", d.Label, "lb.pool=app")
	b.number("port", &d.Port, 1, 65535)
	b.file("socket", &d.Socket)
	return &d
}

func readDiscoverConsul(b *block) *DiscoverConsul {
	d := defaultDiscoverConsul()
	b.text("service", &d.Service)
	b.require("service", d.Service, "app")
	b.text("address", &d.Address, peerAddress)
	b.text("tag", &d.Tag)
	b.secret("token", &d.Token, headerValue)
	return &d
}

func readHealth(b *block) *Health {
	if b == nil {
		return nil
	}
	h := defaultHealth()
	h.Pos = b.pos(b.at)
	b.text("type", &h.Type, oneOf("http", "tcp", "grpc"))
	b.number("port", &h.Port, 0, 65535)
	b.text("service", &h.Service, serviceName)
	b.text("path", &h.Path, absolutePath)
	b.text("method", &h.Method, method)
	b.text("host", &h.Host, optional(hostField))
	status := h.Status.String()
	b.text("status", &status, func(s string) (string, string) {
		if _, err := parseStatusSet(s); err != nil {
			return fmt.Sprintf("is not a range of statuses: %v", err), `Write statuses from 100 to 599: "200-399", or "200,204,300-399"`
		}
		return "", ""
	})
	h.Status, _ = parseStatusSet(status)
	b.text("body", &h.Body)
	const least = 10 * time.Millisecond
	b.duration("interval", &h.Interval, least)
	b.duration("fast_interval", &h.FastInterval, least)
	b.duration("timeout", &h.Timeout, leastTimeout)
	b.share("jitter", &h.Jitter)
	b.number("rise", &h.Rise, 1, 1000)
	b.number("fall", &h.Fall, 1, 1000)
	h.TLS, h.Plain = readHealthTLS(b.one("tls"))
	b.end()
	b.checkGRPC(&h)
	if h.Method == "HEAD" && h.Body != "" {
		b.fail(b.place("body"), "a response to HEAD has no body to check", `Write: method = "GET"`)
	}
	return &h
}

func readEject(b *block, e *Eject) {
	if b == nil {
		return
	}
	e.Pos = b.pos(b.at)
	b.number("failures", &e.Failures, 0, unlimited)
	b.duration("duration", &e.Duration, leastTimeout)
	b.number("max_percent", &e.MaxPercent, 0, 100)
	b.end()
}

func readRetry(b *block, p *Pool) {
	if b == nil {
		return
	}
	t := &p.Retry
	t.Pos = b.pos(b.at)
	b.number("attempts", &t.Attempts, 0, 100)
	b.share("budget", &t.Budget)
	readRetryOn(b, "on", &t.On)
	if slices.Contains(t.On, unavailable) {
		b.calls = append(b.calls, use{p.Name, b.place("on")})
	}
	b.size("body", &t.Body, 0, 1<<30)
	b.end()
}

// unavailable is a status of gRPC after which calls are retried.
const unavailable = "unavailable"

// checkCalls reports pools whose backends cannot speak gRPC.
func (r *reader) checkCalls(pools []Pool) {
	for _, u := range r.calls {
		for i := range pools {
			if p := &pools[i]; p.Name == u.name && p.Protocol == "http1" {
				r.fail(u.at, fmt.Sprintf("%q is a status of gRPC, which the backends of pool %q cannot speak", unavailable, p.Name),
					`Remove it, or write in the pool: protocol = "h2c", or "h2" with tls {}`)
			}
		}
	}
}

// readRetryOn reads after which failures requests are retried.
func readRetryOn(b *block, name string, to *[]string) {
	b.texts(name, "connect", to, oneOf("connect", "reset", "timeout", "502", "503", "504", unavailable))
	slices.Sort(*to)
	*to = slices.Compact(*to)
}

func readQueue(b *block, q *Queue) {
	if b == nil {
		return
	}
	q.Pos = b.pos(b.at)
	b.number("limit", &q.Limit, 0, unlimited)
	b.duration("timeout", &q.Timeout, leastTimeout)
	b.duration("while_down", &q.WhileDown, 0)
	b.end()
}

func readTimeouts(b *block, t *Timeouts) {
	if b == nil {
		return
	}
	t.Pos = b.pos(b.at)
	b.duration("connect", &t.Connect, leastTimeout)
	b.duration("response", &t.Response, leastTimeout)
	b.duration("idle", &t.Idle, leastTimeout)
	b.duration("tunnel", &t.Tunnel, 0)
	b.end()
}

func readKeepAlive(b *block, k *KeepAlive) {
	if b == nil {
		return
	}
	k.Pos = b.pos(b.at)
	b.number("max_idle", &k.MaxIdle, 0, unlimited)
	b.duration("idle_timeout", &k.IdleTimeout, leastTimeout)
	b.number("max_requests", &k.MaxRequests, 0, math.MaxInt32)
	b.end()
}

// readBackendTLS reads a tls block, which has a switch if enabled is not nil.
func readBackendTLS(b *block, enabled *bool) *BackendTLS {
	if b == nil {
		return nil
	}
	t := defaultBackendTLS()
	t.Pos = b.pos(b.at)
	if enabled != nil {
		b.flag("enabled", enabled)
	}
	b.file("ca", &t.CA)
	b.checkRoots("ca", t.CA)
	b.file("cert", &t.Cert)
	b.file("key", &t.Key)
	b.text("server_name", &t.ServerName, optional(func(s string) (string, string) {
		if !validHost(s) {
			return fmt.Sprintf("is not a host name: %q", s), `Write a name without a port: "app.internal"`
		}
		return "", ""
	}))
	b.flag("verify", &t.Verify)
	b.end()
	switch {
	case t.Cert != "" && t.Key == "" && !b.broken("key"):
		b.fail(b.place("cert"), "tls has a cert without its key", `Write: key = "/etc/lb/client.key"`)
	case t.Key != "" && t.Cert == "" && !b.broken("cert"):
		b.fail(b.place("key"), "tls has a key without its cert", `Write: cert = "/etc/lb/client.pem"`)
	}
	b.checkPair(t.Cert, t.Key)
	return &t
}

func readSticky(b *block) *Sticky {
	if b == nil {
		return nil
	}
	s := defaultSticky()
	s.Pos = b.pos(b.at)
	b.text("cookie", &s.Cookie, func(s string) (string, string) {
		if !isToken(s) {
			return fmt.Sprintf("is not a cookie name: %q", s), `Write letters, digits, hyphens: "lb"`
		}
		return "", ""
	})
	b.secret("secret", &s.Secret)
	b.duration("ttl", &s.TTL, 0)
	b.end()
	if s.Secret == "" && !b.broken("secret") {
		b.warn(b.at, "sticky has no secret: clients lose their backend when lb restarts, and several balancers do not agree",
			`Write: secret = env("LB_STICKY_SECRET")`)
	} else if len(s.Secret) < limits.MinSecret && !b.broken("secret") {
		b.warn(b.place("secret"), fmt.Sprintf("the secret is shorter than %d characters and can be guessed", limits.MinSecret), "Generate one: openssl rand -hex 32")
	}
	return &s
}
