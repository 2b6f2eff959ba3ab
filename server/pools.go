package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"lb/balancer"
	"lb/config"
	"lb/health"
	"lb/internal/ciphers"
	"lb/internal/proxyprotocol"
	"lb/pool"
	"lb/proxy"
	"lb/transport"
)

// poolRun is a pool with its health checks and discovery. It outlives reloads as long as the pool's name stays in the
// configuration.
type poolRun struct {
	pool   *pool.Pool
	prober atomic.Pointer[prober]

	mu        sync.Mutex
	checker   *health.Checker // nil: no active checks
	dials     string          // see poolPlan.dials; of the plan in force
	discovery map[string]*discoveryRun
}

// poolPlan is a pool's validated configuration.
type poolPlan struct {
	config    *config.Pool
	algorithm balancer.Algorithm
	options   pool.Options
	sources   []source
	sticky    *proxy.Sticky
	prober    *prober
	dials     string // identifies the settings by which health checks connect
	fresh     bool   // the pool is new
}

// hashKey is what keeps the pool's requests together; zero for an algorithm that needs no key.
func (plan *poolPlan) hashKey() proxy.HashKey {
	if !plan.algorithm.NeedsKey {
		return proxy.HashKey{}
	}
	return proxy.NewHashKey(plan.config.HashKey)
}

func (s *Server) buildPool(c *config.Pool, g *generation) error {
	tlsConfig, fingerprint, err := backendSecurity(c)
	if err != nil {
		return err
	}
	prober, dials, err := newProber(c, tlsConfig)
	if err != nil {
		return err
	}
	algorithm, err := balancer.Lookup(c.Balance)
	if err != nil {
		return at(c.Pos, "cannot balance the pool", err)
	}
	run := s.pools[c.Name]
	fresh := run == nil
	if fresh {
		run = &poolRun{discovery: map[string]*discoveryRun{}}
	}
	plan := &poolPlan{config: c, algorithm: algorithm, fresh: fresh, prober: prober, dials: fingerprint + dials, options: pool.Options{
		Name: c.Name, Balance: c.Balance, NewPicker: algorithm.NewPicker,
		Connect:      connector(c, tlsConfig, s.backendWorkers),
		Dial:         accepts,
		TransportKey: transportKey(c, fingerprint),
		HealthChecks: c.Health != nil, PanicThreshold: c.PanicThreshold, SlowStart: c.SlowStart,
		Eject:      pool.Eject{Failures: c.Eject.Failures, Duration: c.Eject.Duration, MaxPercent: c.Eject.MaxPercent},
		QueueLimit: c.Queue.Limit, QueueTimeout: c.Queue.Timeout, WhileDown: c.Queue.WhileDown, RetryBudget: c.Retry.Budget,
		CheckNow: run.checkNow,
		OnJoin:   run.join, OnLeave: run.leave, OnAdmin: run.adminChanged,
		OnEvent: func(e pool.Event) { s.events.Publish("backend", e) },
		Log:     s.log.Named("pool"), Telemetry: s.registry,
	}}
	if plan.sticky = s.sticky(c.Sticky); plan.sticky != nil {
		plan.options.Sticky = &pool.Sticky{
			Value: func(address string) string { return plan.sticky.Value(c.Name, address) },
			Key:   string(plan.sticky.Secret),
		}
	}
	for _, b := range c.Backends {
		if b.Weight == 0 {
			continue // a backend without weight has no share
		}
		plan.options.Members = append(plan.options.Members,
			pool.Member{Address: b.Address, Weight: b.Weight, MaxConns: b.MaxConns, Backup: b.Backup})
	}
	plan.sources = sources(c.Discover)
	for _, src := range plan.sources {
		plan.options.Sources = append(plan.options.Sources, src.name)
	}
	if fresh {
		run.pool = pool.New(plan.options)
		g.undo = append(g.undo, run.pool.Close)
	}
	g.pools[c.Name], g.poolPlans[c.Name] = run, plan
	return nil
}

// sticky returns nil where clients need not return to their backend.
func (s *Server) sticky(c *config.Sticky) *proxy.Sticky {
	if c == nil {
		return nil
	}
	secret := []byte(c.Secret)
	if len(secret) == 0 {
		secret = s.stickySecret
	}
	return &proxy.Sticky{Cookie: c.Cookie, Secret: secret, MaxAge: c.TTL}
}

// transportKey represents all settings of connections to the pool's backends. It does not contain places in the file,
// so that a line added above replaces no backend.
func transportKey(c *config.Pool, tlsFingerprint string) string {
	timeouts, keepAlive := c.Timeouts, c.KeepAlive
	timeouts.Pos, keepAlive.Pos = config.Pos{}, config.Pos{}
	timeouts.Tunnel = 0 // the proxy's
	return fmt.Sprint(timeouts, keepAlive, c.ResponseHeaderSize, tlsFingerprint, c.ProxyProtocol)
}

// proxyProtocols are the versions of the PROXY header by their names in the configuration.
var proxyProtocols = map[string]proxyprotocol.Version{"v1": proxyprotocol.V1, "v2": proxyprotocol.V2}

// connector returns the function that makes a backend's connections.
func connector(c *config.Pool, tlsConfig *tls.Config, workers []*transport.Worker) func(*pool.Backend) pool.Connections {
	return func(b *pool.Backend) pool.Connections {
		opt := transport.Options{
			Address: b.Address(), Connect: c.Timeouts.Connect, Timeouts: transport.Timeouts{Response: c.Timeouts.Response, Idle: c.Timeouts.Idle},
			MaxIdle: c.KeepAlive.MaxIdle, IdleTimeout: c.KeepAlive.IdleTimeout, MaxRequests: c.KeepAlive.MaxRequests,
			MaxConns: b.MaxConns, HeadSize: int(c.ResponseHeaderSize), HTTP2: c.Protocol != "http1",
			Opened: b.Metrics.Opened, Reused: b.Metrics.Reused, Failed: b.Metrics.Failed,
			ConnectTime: b.Pool().Metrics().Connect, ProxyProtocol: proxyProtocols[c.ProxyProtocol],
		}
		opt.TLS = namedTLS(tlsConfig, b.Address())
		return transport.New(opt, workers)
	}
}

// namedTLS returns the settings for one backend, whose certificate must have the name of its address if c has none. c may be nil.
func namedTLS(c *tls.Config, address string) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	if c.ServerName == "" {
		c.ServerName = hostOf(address)
	}
	return c
}

// hostOf returns the name that a backend's certificate must match.
func hostOf(address string) string {
	if strings.HasPrefix(address, "unix:") {
		return "localhost"
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// backendTLS returns the settings for https to backends, nil for http, and a fingerprint of them and of the files
// that they name.
func backendTLS(c *config.BackendTLS) (*tls.Config, string, error) {
	if c == nil {
		return nil, "", nil
	}
	conf := &tls.Config{ServerName: c.ServerName, InsecureSkipVerify: !c.Verify, MinVersion: tls.VersionTLS12, CipherSuites: ciphers.Suites()}
	plain := *c
	plain.Pos = config.Pos{}
	fingerprint := fmt.Sprint(plain)
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, "", at(c.Pos, "cannot read the backends' CA", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, "", at(c.Pos, fmt.Sprintf("%q contains no PEM certificate", c.CA), nil)
		}
		fingerprint += fmt.Sprintf("%x", sha256.Sum256(pem))
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, "", at(c.Pos, "cannot load the certificate for the backends", err)
		}
		conf.Certificates = []tls.Certificate{pair}
		fingerprint += fmt.Sprintf("%x", sha256.Sum256(pair.Certificate[0]))
	}
	return conf, fingerprint, nil
}

// apply puts a plan in force. It cannot fail.
func (run *poolRun) apply(s *Server, plan *poolPlan) {
	run.applyHealth(s, plan)
	plan.options.Restarted = run.endDiscovery(plan.sources)
	if plan.fresh {
		run.pool.Start(s.background)
	} else {
		run.pool.Apply(plan.options)
		run.recheck(plan)
	}
	run.dials = plan.dials
	run.startDiscovery(s, plan.sources)
}

// recheck has the backends probed at once if the settings of the probes' connections have changed, since their states may not be right any
// more.
func (run *poolRun) recheck(plan *poolPlan) {
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.checker != nil && run.dials != plan.dials {
		run.checker.Restart()
	}
}

// applyHealth starts, changes or stops the active checks. It comes before the pool's own change, so that backends
// which join then are probed by the new rules.
func (run *poolRun) applyHealth(s *Server, plan *poolPlan) {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.prober.Store(plan.prober)
	switch c := plan.config.Health; {
	case c == nil && run.checker != nil:
		run.checker.Stop()
		run.checker = nil
	case c != nil && run.checker != nil:
		run.checker.Reconfigure(healthConfig(c))
	case c != nil:
		run.checker = health.New(health.Options{
			Config: healthConfig(c), Pool: run.pool, Dial: run.probe, Version: s.opt.Version, Log: s.log.Named("health"),
		})
		run.checker.Start(s.background)
		if !plan.fresh {
			for _, b := range run.pool.Backends() {
				run.checker.Join(b)
			}
		}
	}
}

func dial(ctx context.Context, b *pool.Backend) (net.Conn, error) {
	return pool.Conns[*transport.Client](b).Dial(ctx)
}

// accepts returns nil if a backend accepts a connection.
func accepts(ctx context.Context, b *pool.Backend) error {
	conn, err := dial(ctx, b)
	if err != nil {
		return err
	}
	return conn.Close()
}

func healthConfig(c *config.Health) health.Config {
	h := health.Config{
		Type: c.Type, Port: c.Port, Path: c.Path, Method: c.Method, Host: c.Host, Body: c.Body, Service: c.Service,
		Interval: c.Interval, FastInterval: c.FastInterval, Timeout: c.Timeout, Jitter: c.Jitter,
		Rise: c.Rise, Fall: c.Fall, HTTP2: c.HTTP2,
	}
	for _, r := range c.Status {
		h.Status = append(h.Status, health.StatusRange{From: r.From, To: r.To})
	}
	return h
}

func (run *poolRun) join(b *pool.Backend) {
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.checker != nil {
		run.checker.Join(b)
	}
}

func (run *poolRun) leave(b *pool.Backend) {
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.checker != nil {
		run.checker.Leave(b)
	}
}

func (run *poolRun) adminChanged(b *pool.Backend) {
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.checker != nil {
		run.checker.AdminChanged(b)
	}
}

func (run *poolRun) checkNow(b *pool.Backend) {
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.checker != nil {
		run.checker.CheckNow(b)
	}
}

// close takes the pool out of use; its requests in flight continue.
func (run *poolRun) close() {
	run.endDiscovery(nil)
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.checker != nil {
		run.checker.Stop()
		run.checker = nil
	}
	run.pool.Close()
}

// wait returns when the pool's own goroutines have ended.
func (run *poolRun) wait() {
	run.mu.Lock()
	checker := run.checker
	run.mu.Unlock()
	if checker != nil {
		checker.Stop()
	}
	run.pool.Wait()
}
