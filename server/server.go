// Package server puts the parts together: it builds everything from a configuration, starts it,
// goes over to another one on reload, and drains on stop.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"

	"lb/admin"
	"lb/cache"
	"lb/certificate"
	"lb/config"
	"lb/filter"
	"lb/filter/auth"
	"lb/http1"
	"lb/http2"
	"lb/internal/coding"
	"lb/listener"
	"lb/netloop"
	"lb/proxy"
	"lb/server/upgrade"
	"lb/staticcache"
	"lb/telemetry"
	"lb/transport"
)

// Options are what a Server needs to know.
type Options struct {
	// Load reads the configuration, at the start and at each reload.
	Load func() (*config.Config, config.Diagnostics)
	// Source names what Load reads, for the status. May be empty.
	Source  string
	Version string
	// Command is the program, by its absolute path, and the arguments with which HandOver starts it
	// anew. Empty: it cannot.
	Command []string
	// StandardLog is the logger that libraries print through by themselves, log.Default(): Start makes what
	// they print warnings in the operations log. Nil leaves it alone.
	StandardLog *log.Logger
	// ACME has intervals that tests shorten. Zero: the usual ones.
	ACME certificate.Intervals
}

// Server is one running balancer.
type Server struct {
	opt Options
	log *telemetry.Log
	// logConfig is what the log was opened by, which lasts as long as the process.
	logConfig config.Log
	registry  *telemetry.Registry
	scope     *telemetry.Scope // what lives as long as the process
	events    admin.Events
	started   time.Time

	handler        *proxy.Handler
	httpsPort      atomic.Pointer[string] // see httpsPort
	cache          *staticcache.Cache
	encoders       coding.Encoders // of all routes with compress
	responses      *cache.Cache    // stored responses of backends
	front          *listener.Set
	loops          *netloop.Loops
	stopLoops      context.CancelFunc
	workers        []*proxy.Worker     // by the index of their loop
	backendWorkers []*transport.Worker // likewise; nil where nothing is served
	rejections     proxy.Rejections
	protocols      [protocols]*telemetry.LoopCounter // of lb_http_requests_total

	background context.Context // of every goroutine; ends when all traffic has
	stopAll    context.CancelFunc
	stopping   context.Context // ends when Stop begins
	beginStop  context.CancelFunc
	running    sync.WaitGroup
	ready      atomic.Bool
	taken      *upgrade.Taken // from the process before; nil: there was none
	// stickySecret signs the cookies of pools that were given none.
	stickySecret []byte
	tickets      tickets
	handedOver   atomic.Bool // to the next

	changing    sync.RWMutex // locked by sendOverrides, read-locked while a backend is changed at run time
	changesHeld bool         // changing is locked; under reloading
	reloading   sync.Mutex   // one at a time
	current     atomic.Pointer[generation]
	pools       map[string]*poolRun
	sites       map[string]*siteRun
	limitStates *limitStates
	authClient  *proxy.AuthClient
	checks      *auth.Checks // nil: no route has needed it yet; under reloading
	retiring    []func()     // end what replaced generations have left; see retireBackends
	admin       *adminRun
	lastReload  atomic.Pointer[admin.Reload]
	reloads     struct{ succeeded, failed *telemetry.Counter } // the start is none
}

// New returns a server; nothing is read, bound or started before Start.
func New(opt Options) *Server {
	return &Server{opt: opt, pools: map[string]*poolRun{}, sites: map[string]*siteRun{}, limitStates: newLimitStates(), authClient: proxy.NewAuthClient(), started: time.Now()}
}

// Diagnosed is an error in the configuration, with all its diagnostics.
type Diagnosed struct{ Diagnostics config.Diagnostics }

func (e *Diagnosed) Error() string {
	return "the configuration has errors:\n" + e.Diagnostics.String()
}

// Start reads the configuration, binds the listeners and serves. On an error
// nothing is left running.
func (s *Server) Start() error {
	cfg, diags := s.opt.Load()
	if diags.HasErrors() {
		return &Diagnosed{diags}
	}
	var err error
	s.logConfig = cfg.Log
	if s.log, err = telemetry.NewLogger(telemetry.LogOptions{Level: cfg.Log.Level, Format: cfg.Log.Format, File: cfg.Log.File}); err != nil {
		return err
	}
	if std := s.opt.StandardLog; std != nil {
		std.SetFlags(0)
		std.SetOutput(s.log.Named("library").StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn}))
	}
	s.log.Info("starting", "version", s.opt.Version, "configuration", cmp.Or(s.opt.Source, "flags"), "pid", os.Getpid())
	s.logWarnings(diags)
	s.background, s.stopAll = context.WithCancel(context.Background())
	s.stopping, s.beginStop = context.WithCancel(s.background)
	s.registry = telemetry.NewRegistry()
	s.registry.BuildInfo(s.opt.Version)
	s.scope = s.registry.NewScope()
	s.reloads.succeeded = s.scope.Counter("lb_config_reloads_total", "result", "success")
	s.reloads.failed = s.scope.Counter("lb_config_reloads_total", "result", "failure")
	s.rejections = proxy.NewRejections(s.scope)
	s.handler = proxy.NewHandler(s.rejections, bodyStatus)
	for i, protocol := range [...]string{onHTTP10: "http/1.0", onHTTP11: "http/1.1", onHTTP2: "h2", onHTTP3: "h3"} {
		s.protocols[i] = s.scope.LoopCounter("lb_http_requests_total", "protocol", protocol)
	}
	s.handler.Panicked = func(v any, stack []byte) { s.front.Panicked(v, stack) }
	s.cache = staticcache.New(staticcache.Options{
		Memory: cfg.StaticCache.Memory, MaxFile: cfg.StaticCache.MaxFile, Scope: s.scope, Log: s.log.Named("static"),
	})
	s.responses = cache.New(s.cache, s.scope)
	if err := s.startLoops(); err != nil {
		return err
	}
	if err := s.startParts(cfg, diags); err != nil {
		s.stopAll()
		s.wait()
		return err
	}
	s.ready.Store(true)
	s.serveAdmin()
	s.taken.Done()
	for _, l := range s.front.Listeners() {
		s.log.Info("listening", "address", l.Address, "tls", l.TLS)
	}
	s.goRun(s.watchdog)
	s.notify(daemon.SdNotifyReady)
	return nil
}

func (s *Server) startParts(cfg *config.Config, diags config.Diagnostics) error {
	var err error
	if s.taken, err = upgrade.TakeOver(); err != nil {
		return err
	}
	s.stickySecret, s.tickets.keys = secretsOf(s.taken)
	gen, err := s.build(cfg)
	if err != nil {
		return err
	}
	inherited, err := s.inherit(gen.front.Listeners)
	if err != nil {
		gen.discard()
		return err
	}
	gen.front.Inherited = inherited
	if gen.front.InheritedPackets, err = s.inheritPackets(gen.front.Listeners); err != nil {
		gen.discard()
		return err
	}
	s.front = listener.New(gen.front)
	if err := s.front.Listen(); err != nil {
		gen.discard()
		return s.bindErrors(cfg, err)
	}
	if err := s.prepareAdmin(cfg, gen); err != nil {
		gen.discard()
		return errors.Join(err, s.closeFront())
	}
	s.taken.CloseRest()
	s.cache.Start(s.background)
	s.goRun(s.housekeeping)
	s.commit(gen)
	s.countCertificates()
	s.goRun(s.watchCertificates)
	s.goRun(s.watchAccess)
	if s.taken != nil {
		s.awaitFirstProbes()
		s.restoreOverrides()
	}
	s.goRun(func() {
		if err := s.front.Serve(); err != nil {
			s.log.Error("cannot serve", "error", err)
		}
	})
	s.reloaded(nil, diags)
	return nil
}

func (s *Server) closeFront() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := s.front.Shutdown(ctx)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// The protocols of lb_http_requests_total, which are named as in ALPN.
const (
	onHTTP10 = iota
	onHTTP11
	onHTTP2
	onHTTP3
	protocols
)

// serve begins the exchange of a request.
func (s *Server) serve(stream *http1.Stream) {
	c := stream.Conn()
	loop := c.Worker().Loop.Index()
	if stream.Request().Interim {
		s.protocols[onHTTP11].Add(loop, 1)
	} else {
		s.protocols[onHTTP10].Add(loop, 1)
	}
	s.handler.Serve(s.workers[loop], stream, s.inbound(&c.Info), func(x *proxy.Exchange) { stream.Exchange = x })
}

// serveHTTP2 is serve for HTTP/2.
func (s *Server) serveHTTP2(stream *http2.Stream) {
	c := stream.Conn()
	loop := c.Worker().Loop.Index()
	s.protocols[onHTTP2].Add(loop, 1)
	s.handler.Serve(s.workers[loop], stream, s.inbound(c.Info.(*http1.Info)), func(x *proxy.Exchange) { stream.Exchange = x })
}

// inbound describes the connection on which a request was received.
func (s *Server) inbound(info *http1.Info) proxy.Inbound {
	l := info.Listener.(*listener.Listener)
	in := proxy.Inbound{Peer: info.Peer, Secure: l.TLS, AltSvc: l.AltSvc()}
	if info.TLS != nil {
		in.TLSVersion, in.ALPN = info.TLS.Version, info.TLS.ALPN
		in.ServerName, in.ClientCert = serverName(info.TLS), info.TLS.ClientCert
	}
	in.Filters = inboundFilters(in.ServerName, l.RedirectHTTPS)
	if l.RedirectHTTPS {
		in.HTTPSPort, in.OnPort80 = *s.httpsPort.Load(), portOf(l.Addr().String()) == "80"
	}
	if len(s.current.Load().acme) > 0 {
		in.Challenge = certificate.HTTPChallenge
	}
	return in
}

// inboundFilters returns the filters of all requests that come by a listener.
func inboundFilters(name *proxy.ServerName, redirectHTTPS bool) []filter.Request {
	switch {
	case redirectHTTPS:
		return redirectFilters
	case name != nil:
		return namedFilters
	}
	return nil
}

var (
	redirectFilters = []filter.Request{proxy.Misdirected, proxy.RedirectHTTPS}
	namedFilters    = redirectFilters[:1]
)

// serverName returns what the requests of a connection share about the name in its TLS handshake; nil without one.
func serverName(c *http1.TLS) *proxy.ServerName {
	if c.ServerName == "" {
		return nil
	}
	name, ok := c.Attached.(*proxy.ServerName)
	if !ok {
		name = proxy.NewServerName(c.ServerName)
		c.Attached = name
	}
	return name
}

// bodyStatus sorts the errors of reading a body for the proxy. Those of HTTP/3 are those of HTTP/2.
func bodyStatus(err error) int {
	switch {
	case errors.Is(err, http1.ErrBodyTooLarge), errors.Is(err, http2.ErrBodyTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, http1.ErrBodyTimeout), errors.Is(err, http2.ErrBodyTimeout):
		return http.StatusRequestTimeout
	case errors.Is(err, http1.ErrTrailerFields), errors.Is(err, http2.ErrTrailerFields):
		return http.StatusRequestHeaderFieldsTooLarge
	case errors.Is(err, http1.ErrBodyMalformed), errors.Is(err, http1.ErrBodyShort):
		return http.StatusBadRequest
	}
	return 0
}

// goRun runs f until the process's work has ended; Stop waits for it.
func (s *Server) goRun(f func()) { s.running.Go(f) }

// every calls f again and again at the interval, until the process's work ends.
func (s *Server) every(interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-s.background.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// housekeeping does what is due about every second.
func (s *Server) housekeeping() {
	var open memoryRelease
	var growth memoryGrowth
	s.every(time.Second, func() {
		n := s.front.Open()
		if closed, grown := open.tick(n), growth.tick(n); closed || grown {
			releaseMemory()
		}
	})
}

// Reopen reopens the log files, for rotation by rename.
func (s *Server) Reopen() {
	err := s.log.Reopen()
	if l := s.current.Load().accessLog; l != nil {
		err = errors.Join(err, l.log.Reopen())
	}
	if err != nil {
		s.log.Error("cannot reopen the log files", "error", err)
		return
	}
	s.log.Info("log files reopened")
}

// Stop drains and ends: no longer ready, for shutdown.delay still serving, then no new
// connections, at most shutdown.grace for the requests in flight. hurry ends the waiting. After
// HandOver another process serves, so that there is no delay. A reload under way is waited for, and a new process that
// does not serve yet is ended.
func (s *Server) Stop(hurry context.Context) error {
	s.beginStop()
	s.reloading.Lock() // from here on it is not held for long: see settled
	run := s.admin
	s.reloading.Unlock()
	cfg := s.current.Load().config.Shutdown
	if s.handedOver.Load() {
		cfg.Delay = 0
		run.stop() // requests to the admin listener are for the new process, which is ready
	} else {
		s.notify(daemon.SdNotifyStopping)
		s.ready.Store(false)
	}
	s.log.Info("stopping", "delay", cfg.Delay.String(), "grace", cfg.Grace.String())
	if cfg.Delay > 0 {
		delay := time.NewTimer(cfg.Delay)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-hurry.Done():
		}
	}
	ctx, cancel := context.WithTimeout(hurry, cfg.Grace)
	defer cancel()
	err := s.front.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
		s.log.Warn("some requests did not end within the grace period and were cut")
	}
	s.stopLoops()
	s.loops.Wait() // first: a request that was cut while a goroutine worked for it is logged when that has returned
	s.stopAll()
	s.wait()
	if err != nil {
		return errors.Join(fmt.Errorf("cannot stop cleanly: %w", err), s.log.Close())
	}
	s.log.Info("stopped")
	return s.log.Close()
}

// wait returns when everything that was started has ended.
func (s *Server) wait() {
	for _, run := range s.pools {
		run.wait()
	}
	if gen := s.current.Load(); gen != nil {
		for _, run := range gen.acme {
			run.Stop()
		}
	}
	s.running.Wait()
	s.stopLoops()
	s.loops.Wait()
	s.authClient.Close()
	s.cache.Wait()
	if gen := s.current.Load(); gen != nil && gen.accessLog != nil {
		_ = gen.accessLog.log.Wait()
	}
}

// Ready reports whether the balancer takes traffic.
func (s *Server) Ready() bool { return s.ready.Load() }

// Addrs returns the addresses that the listeners are bound to, in the configuration's order.
func (s *Server) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, l := range s.front.Listeners() {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}
