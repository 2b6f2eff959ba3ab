// Package admin is lb's second listener: the metrics, a JSON API, the dashboard and the profiler,
// for people and programs that operate lb; and the client that lb's own commands use.
//
// It is not on the request path, and so it is net/http.
package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/internal/limits"
	"lb/pool"
	"lb/telemetry"
)

const (
	headTimeout  = 5 * time.Second  // to read a request's head
	bodyTimeout  = 10 * time.Second // to read its body
	writeTimeout = 30 * time.Second // to make and send a response; events and profiles have their own
	idleTimeout  = 75 * time.Second
	stopTimeout  = 2 * time.Second // for unfinished responses when Serve ends
	maxHead      = 32 << 10
	maxBody      = 64 << 10
)

// Options are what the server shows and controls. Without a func its endpoint is missing and responds with 404.
type Options struct {
	// Listen is the address as configured; requests may name its host even if it is no loopback name.
	Listen string
	// Token, if set, is required everywhere but on /metrics, /healthz and /readyz. If other machines can reach the
	// listener, it has at least limits.MinSecret bytes.
	Token string

	Registry *telemetry.Registry
	Log      hclog.Logger
	Events   *Events // what /api/v1/events shows

	Pools  func() []*pool.Pool // those in force, in order
	Status func() Status
	Ready  func() bool // nil: always

	// Reload reads the configuration again and applies it, or returns an error and changes nothing. The diagnostics,
	// including warnings, are for people and may have many lines.
	Reload func(ctx context.Context) (diagnostics string, err error)
	// Config returns the configuration in force, secrets masked, as something that encodes as JSON.
	Config func() any
	// Change runs do, which changes a backend, or returns why backends cannot be changed now. nil: do is always run.
	Change func(do func()) error
	Bans   *Bans // nil: there are none
	// Purge removes stored responses and returns how many. An error means that the request is wrong.
	Purge func(Purge) (removed int, err error)
	// Explain returns what would happen to a request. An error means that the question is wrong.
	Explain func(Question) (*Explanation, error)
}

// Server serves the admin listener.
type Server struct {
	options Options
	access  access
	page    page
	handler http.Handler
}

// New returns a server that is not yet listening: see Serve.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if o.Registry == nil {
		o.Registry = telemetry.NewRegistry()
	}
	if o.Pools == nil {
		o.Pools = func() []*pool.Pool { return nil }
	}
	if o.Change == nil {
		o.Change = func(do func()) error { do(); return nil }
	}
	s := &Server{options: o, access: newAccess(o), page: newPage(o.Token != "")}
	s.handler = s.routes()
	return s
}

// Serve serves connections of the listener until ctx ends, and closes it. Unfinished responses have two seconds then.
// The error is nil if ctx ended it. Without a token, or with a short one, it refuses a listener that other machines
// can reach. Sessions end with it.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if token := s.options.Token; len(token) < limits.MinSecret && !isLocal(ln.Addr()) {
		ln.Close()
		if token == "" {
			return fmt.Errorf("cannot serve the admin API on %s without a token: other machines can reach it", ln.Addr())
		}
		return fmt.Errorf("cannot serve the admin API on %s with a token of less than %d characters: other machines can guess it", ln.Addr(), limits.MinSecret)
	}
	defer s.access.failures.stop()
	defer s.access.sessions.endAll()
	silent := newSilent()
	server := &http.Server{
		ConnState:         silent.note,
		ConnContext:       silent.name,
		Handler:           silent.received(s.access.guard(ln.Addr(), s.handler)),
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHead,
		// Long requests, such as event streams, end with ctx.
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    s.options.Log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		// No WriteTimeout: the profiler refuses a profile that is longer. Each handler sets a deadline.
	}
	closing := context.AfterFunc(ctx, func() { ln.Close() })
	err := server.Serve(ln)
	if closing() {
		server.Close()
		return fmt.Errorf("cannot serve the admin API on %s: %w", ln.Addr(), err)
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	server.SetKeepAlivesEnabled(false)
	silent.end(silentGrace)
	if server.Shutdown(grace) != nil {
		server.Close()
	}
	return nil
}

// isLocal reports whether only this machine can reach the address.
func isLocal(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	}
	return false
}
