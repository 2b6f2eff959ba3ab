package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"lb/admin"
	"lb/config"
	"lb/listener"
)

// adminRun is the admin listener with what ends it.
type adminRun struct {
	config   config.Admin
	listener net.Listener
	cancel   context.CancelFunc // nil: not started
}

// prepareAdmin takes the admin listener there is, if its settings stay, or binds a new one.
func (s *Server) prepareAdmin(cfg *config.Config, g *generation) error {
	c := cfg.Admin
	if s.admin != nil && s.admin.config.Listen == c.Listen && s.admin.config.Token == c.Token {
		g.admin = s.admin
		return nil
	}
	if c.Listen == "" {
		return nil
	}
	listener, err := s.bindAdmin(c.Listen)
	if err != nil {
		what := fmt.Sprintf("cannot listen on the admin address %s", c.Listen)
		if held := s.inOwnWay(c.Listen, err); held != "" {
			what += ": " + held
		} else {
			what += "; name another one as admin { listen = … }, or \"off\""
		}
		return at(c.Pos, what, err)
	}
	g.admin = &adminRun{config: c, listener: listener}
	g.undo = append(g.undo, func() { _ = listener.Close() })
	return nil
}

// bindAdmin returns a listener on address. If that is the address in force (and the token is what
// changes), it is a second handle of the socket there is: no client is refused, and the old one stays
// good should the reload fail.
func (s *Server) bindAdmin(address string) (net.Listener, error) {
	if s.admin != nil && s.admin.config.Listen == address {
		file, err := listener.Duplicate(s.admin.listener)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return net.FileListener(file) // whose close leaves the file of a Unix socket: see startAdmin
	}
	if ln, err := s.taken.Admin(address); ln != nil || err != nil {
		if err == nil {
			err = listener.CheckFamilies(ln, address, false)
		}
		return ln, err
	}
	if strings.HasPrefix(address, "unix:") {
		return listener.Bind(address, false)
	}
	return net.Listen(listener.Network(address, false), address)
}

// startAdmin serves the generation's admin listener and ends the one before, if it is another.
func (s *Server) startAdmin(g *generation) {
	if s.admin != nil && s.admin != g.admin {
		if g.admin != nil && g.admin.config.Listen == s.admin.config.Listen {
			listener.LeaveFile(s.admin.listener)
			if u, ok := g.admin.listener.(*net.UnixListener); ok {
				u.SetUnlinkOnClose(true) // the file is this one's now
			}
		}
		s.admin.stop()
	}
	s.admin = g.admin
	if s.taken == nil || s.ready.Load() { // otherwise the previous process still serves there
		s.serveAdmin()
	}
}

// serveAdmin starts to serve the admin listener, if there is one and it is not served yet.
func (s *Server) serveAdmin() {
	run := s.admin
	if run == nil || run.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, run.cancel = context.WithCancel(s.background)
	server := admin.New(admin.Options{
		Listen: run.config.Listen, Token: string(run.config.Token), Registry: s.registry, Log: s.log.Named("admin"),
		Events: &s.events, Pools: s.poolsInForce, Status: s.status, Ready: s.Ready, Reload: s.Reload,
		Config: func() any { return s.current.Load().config }, Explain: s.explain, Change: s.changeBackend, Bans: s.adminBans(),
		Purge: s.purge,
	})
	s.goRun(func() {
		if err := server.Serve(ctx, run.listener); err != nil {
			s.log.Error("the admin listener ended", "error", err)
		}
	})
	s.log.Info("admin listening", "address", run.listener.Addr().String())
}

func (r *adminRun) stop() {
	if r == nil {
		return
	}
	if r.cancel != nil {
		r.cancel()
	}
	_ = r.listener.Close()
}

// AdminAddr returns the address that the admin listener is bound to, nil if there is none.
func (s *Server) AdminAddr() net.Addr {
	if g := s.current.Load(); g != nil && g.admin != nil {
		return g.admin.listener.Addr()
	}
	return nil
}

// status is what GET /api/v1/status shows.
func (s *Server) status() admin.Status {
	g := s.current.Load()
	st := admin.Status{
		Version: s.opt.Version, GoVersion: runtime.Version(), PID: os.Getpid(), Ready: s.Ready(),
		Started: s.started, Uptime: time.Since(s.started).Seconds(), Config: s.opt.Source,
		InForce: g.since, Reload: s.lastReload.Load(),
	}
	for _, l := range s.front.Listeners() {
		open, accepted := l.Connections()
		st.Listeners = append(st.Listeners, admin.Listener{Address: l.Addr().String(), TLS: l.TLS, HTTP3: l.AltSvc() != nil, Connections: open, Accepted: accepted})
		st.Totals.Connections += open
	}
	st.Certificates = s.certificateStatus(g)
	for i := range g.config.Sites {
		c := &g.config.Sites[i]
		st.Sites = append(st.Sites, siteStatus(c.Name, c.Hosts, g.sites[c.Name]))
	}
	for name, run := range g.sites {
		site := siteStatus(name, nil, run)
		st.Totals.Requests += site.Requests
		st.Totals.Errors += site.Errors
		st.Totals.InFlight += site.InFlight
		st.Totals.BytesIn += uint64(run.metrics.BytesIn.Get())
		st.Totals.BytesOut += uint64(run.metrics.BytesOut.Get())
	}
	return st
}

func siteStatus(name string, hosts []string, run *siteRun) admin.Site {
	site := admin.Site{Name: name, Hosts: hosts, Requests: run.metrics.Requests.Total(), InFlight: run.metrics.InFlight.Get()}
	for status := 500; status < 600; status++ {
		site.Errors += run.metrics.Requests.Count(status)
	}
	return site
}
