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
	"lb/config"
	"lb/filter"
	"lb/front"
	"lb/proxy"
	"lb/server/upgrade"
	"lb/staticcache"
	"lb/telemetry"
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

	handler    *proxy.Handler
	httpsPort  atomic.Pointer[string] // see httpsPort
	cache      *staticcache.Cache
	front      *front.Front
	rejections proxy.Rejections

	background context.Context // of every goroutine; ends when all traffic has
	stopAll    context.CancelFunc
	stopping   context.Context // ends when Stop begins
	beginStop  context.CancelFunc
	running    sync.WaitGroup
	ready      atomic.Bool
	taken      *upgrade.Taken // from the process before; nil: there was none
	// stickySecret signs the cookies of pools that were given none.
	stickySecret []byte
	handedOver   atomic.Bool // to the next

	changing    sync.RWMutex // locked by sendOverrides, read-locked while a backend is changed at run time
	changesHeld bool         // changing is locked; under reloading
	reloading   sync.Mutex   // one at a time
	current     atomic.Pointer[generation]
	pools       map[string]*poolRun
	sites       map[string]*siteRun
	admin       *adminRun
	lastReload  atomic.Pointer[admin.Reload]
	reloads     struct{ succeeded, failed *telemetry.Counter } // the start is none
}

// New returns a server; nothing is read, bound or started before Start.
func New(opt Options) *Server {
	return &Server{opt: opt, pools: map[string]*poolRun{}, sites: map[string]*siteRun{}, started: time.Now()}
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
	s.cache = staticcache.New(staticcache.Options{
		Memory: cfg.StaticCache.Memory, MaxFile: cfg.StaticCache.MaxFile, Scope: s.scope, Log: s.log.Named("static"),
	})
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
	s.stickySecret = secretOf(s.taken)
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
	s.front = front.New(gen.front)
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

// serve is the front's handler.
func (s *Server) serve(c *front.Conn) {
	l := c.Listener()
	in := proxy.Inbound{Secure: l.TLS, ServerName: serverName(c)}
	in.Filters = inboundFilters(in.ServerName, l.RedirectHTTPS)
	if l.RedirectHTTPS {
		in.HTTPSPort, in.OnPort80 = *s.httpsPort.Load(), portOf(l.Addr().String()) == "80"
	}
	s.handler.Serve(client{c}, in)
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
func serverName(c *front.Conn) *proxy.ServerName {
	if c.ServerName() == "" {
		return nil
	}
	name, ok := c.Attached().(*proxy.ServerName)
	if !ok {
		name = proxy.NewServerName(c.ServerName())
		c.Attach(name)
	}
	return name
}

// client is a front.Conn as the proxy wants it.
type client struct{ *front.Conn }

func (c client) Upgrade(ending func()) proxy.Stream { return c.Conn.Upgrade(ending) }

// bodyStatus sorts the front's errors for the proxy.
func bodyStatus(err error) int {
	switch {
	case errors.Is(err, front.ErrBodyTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, front.ErrBodyTimeout):
		return http.StatusRequestTimeout
	case errors.Is(err, front.ErrTrailerFields):
		return http.StatusRequestHeaderFieldsTooLarge
	case errors.Is(err, front.ErrBodyMalformed), errors.Is(err, front.ErrBodyShort):
		return http.StatusBadRequest
	}
	return 0
}

// goRun runs f until the process's work has ended; Stop waits for it.
func (s *Server) goRun(f func()) { s.running.Go(f) }

// housekeeping does what is due about every second.
func (s *Server) housekeeping() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var open, active memoryRelease
	var gc gcTuner
	for {
		select {
		case <-s.background.Done():
			return
		case <-tick.C:
			gen := s.current.Load()
			for _, run := range gen.pools {
				run.sweep()
			}
			load := s.front.Load()
			gc.tick(load.Slow)
			fewerOpen, fewerActive := open.tick(load.Open), active.tick(load.Active)
			if fewerOpen || fewerActive {
				releaseMemory()
			}
		}
	}
}

// Reopen opens the log files anew, for rotation by rename.
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
	s.reloading.Lock() // from here on nobody takes it for long: see settled
	run := s.admin
	s.reloading.Unlock()
	cfg := s.current.Load().config.Shutdown
	if s.handedOver.Load() {
		cfg.Delay = 0
		run.stop() // whoever asks the admin listener means the new process, which is ready
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
	s.running.Wait()
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
