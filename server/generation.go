package server

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"lb/config"
	"lb/filter"
	"lb/listener"
	"lb/message"
	"lb/pool"
	"lb/proxy"
	"lb/route"
	"lb/staticcache"
	"lb/telemetry"
	"lb/transport"
)

// generation is all that was made from one configuration. Making it changes nothing that
// is in force; commit does, and cannot fail.
type generation struct {
	config       *config.Config
	since        time.Time // in force
	state        *proxy.State
	front        listener.Options
	pools        map[string]*poolRun
	poolPlans    map[string]*poolPlan
	sites        map[string]*siteRun
	routes       map[*proxy.Route]*config.Route // what each was made from
	dirs         []*staticcache.Dir
	warm         []*staticcache.Dir // those of dirs whose files are read in advance
	accessLog    *accessLogRun
	certificates *certificates
	acme         []*acmeRun
	tickets      []ticketUser
	ech          []*echFile
	admin        *adminRun
	limits       *limitStates
	access       accessFiles
	scope        *telemetry.Scope // of series that routes share; nil: none yet

	undo []func() // ends what would be left over if the generation is not used
}

// discard gives back what a generation that is not used has taken.
func (g *generation) discard() {
	for _, f := range g.undo {
		f()
	}
}

// build makes a generation.
func (s *Server) build(cfg *config.Config) (*generation, error) {
	s.endRetiring() // a new pool of the same name needs the series
	g := newGeneration(cfg)
	err := s.buildParts(cfg, g)
	if err != nil {
		g.discard()
		return nil, err
	}
	return g, nil
}

func newGeneration(cfg *config.Config) *generation {
	return &generation{
		config: cfg, pools: map[string]*poolRun{}, poolPlans: map[string]*poolPlan{}, sites: map[string]*siteRun{},
		routes:       map[*proxy.Route]*config.Route{},
		certificates: newCertificates(),
		limits:       newLimitStates(),
		state:        &proxy.State{TrustedProxies: cfg.TrustedProxies},
	}
}

// series returns the scope of the series that routes share. Those that the next generation has too go on counting.
func (g *generation) series(s *Server) *telemetry.Scope {
	if g.scope == nil {
		g.scope = s.registry.NewScope()
		g.undo = append(g.undo, g.scope.Close)
	}
	return g.scope
}

func (s *Server) buildParts(cfg *config.Config, g *generation) error {
	if err := s.buildSites(cfg, g); err != nil {
		return err
	}
	if err := s.buildAccessLog(cfg, g); err != nil {
		return err
	}
	return s.buildFront(cfg, g)
}

// buildSites makes the pools, and the sites whose routes lead to them.
func (s *Server) buildSites(cfg *config.Config, g *generation) error {
	for i := range cfg.Pools {
		if err := s.buildPool(&cfg.Pools[i], g); err != nil {
			return err
		}
	}
	g.state.NoSite = &proxy.Site{Metrics: s.site(g, "").metrics}
	for i := range cfg.Sites {
		if err := s.buildSite(&cfg.Sites[i], g); err != nil {
			return err
		}
	}
	return nil
}

// siteRun is what a site keeps over reloads: its series and its maintenance switch.
type siteRun struct {
	metrics proxy.SiteMetrics
	scope   *telemetry.Scope
	sw      *maintenanceSwitch
}

// site returns the run of a site, the one there is or a new one.
func (s *Server) site(g *generation, name string) *siteRun {
	run := s.sites[name]
	if run == nil {
		scope := s.registry.NewScope()
		run = &siteRun{scope: scope, metrics: proxy.NewSiteMetrics(scope, name), sw: &maintenanceSwitch{}}
		g.undo = append(g.undo, scope.Close)
	}
	g.sites[name] = run
	return run
}

func (s *Server) buildSite(c *config.Site, g *generation) error {
	run := s.site(g, c.Name)
	site := &proxy.Site{Name: c.Name, Metrics: run.metrics, ErrorPages: map[int][]byte{}}
	if m := c.Maintenance; m != nil {
		if m.File != "" {
			site.Filters = append(site.Filters, &filter.Maintenance{On: &run.sw.on})
		}
		if m.Page != "" {
			page, err := os.ReadFile(m.Page)
			if err != nil {
				return at(m.Pos, "cannot read the maintenance page", err)
			}
			site.MaintenancePage = page
		}
	}
	for _, e := range c.ErrorPages {
		page, err := os.ReadFile(e.File)
		if err != nil {
			return at(e.Pos, "cannot read the error page", err)
		}
		for _, status := range e.Status {
			site.ErrorPages[status] = page
		}
	}
	classes := map[string]int{} // by what the routes do
	for i := range c.Routes {
		r := &c.Routes[i]
		treatment := r.Treatment()
		if classes[treatment] == 0 {
			classes[treatment] = 1 + i
		}
		if err := s.buildRoute(r, classes[treatment], site, g); err != nil {
			return err
		}
	}
	if len(c.Hosts) == 0 {
		g.state.Hosts.Add("", site)
	}
	for _, host := range c.Hosts {
		g.state.Hosts.Add(host, site)
	}
	return nil
}

func (s *Server) buildRoute(c *config.Route, class int, site *proxy.Site, g *generation) error {
	action, err := s.buildAction(c, site.Name, g)
	if err != nil {
		return err
	}
	access, err := g.accessOf(c)
	if err != nil {
		return err
	}
	requests, byClaim, responses, err := s.limits(c, site.Name, g)
	if err != nil {
		return err
	}
	if c.CORS != nil {
		requests = append(requests, corsOf(c))
	}
	logins, err := s.logins(c, g)
	if err != nil {
		return err
	}
	requests = slices.Concat(requests, logins, byClaim)
	for _, e := range c.Extensions {
		if f := e.Filters.Request; f != nil {
			requests = append(requests, f)
		}
		if f := e.Filters.Response; f != nil {
			responses = append(responses, f)
		}
	}
	target := &proxy.Route{
		Prefix: c.Path, Action: action, Filters: requestFilters(c, access, requests),
		Request: requestRules(c), Response: append(responseFilters(c), responses...),
	}
	target.Compress = s.compressor(c.Compress)
	for _, link := range c.HintLinks() {
		target.Hints = append(target.Hints, message.NewField("Link", link))
	}
	g.routes[target] = c
	rule := &route.Rule[*proxy.Route]{
		Pattern: c.Pattern, Path: c.Path, Exact: c.Exact, Methods: methods(c), Headers: headers(c.Headers), Query: headers(c.Query), Regexp: regexpOf(c),
		Action: target,
		CutOff: c.CutsPrefix(),
		Class:  class, Lenient: c.AmbiguousPaths == "allow",
		Rewrites: c.Proxy != nil && (c.Proxy.StripPrefix || c.Proxy.Rewrite != ""),
	}
	if !c.Exact && len(c.Path) > 1 && strings.HasSuffix(c.Path, "/") {
		slash := &proxy.Route{Prefix: c.Path, Action: proxy.ToSlash{}, Filters: clientFilters(access), Response: responseFilters(c)}
		g.routes[slash] = c
		rule.Slash = &route.Rule[*proxy.Route]{
			Pattern: c.Pattern, Path: c.Path, Action: slash, Class: class, Lenient: rule.Lenient,
		}
	}
	site.Paths.Add(rule)
	return nil
}

// clientFilters returns the filters of a route that look at the client alone.
func clientFilters(access *filter.Access) (list []filter.Request) {
	if !access.IsZero() {
		list = append(list, access)
	}
	return append(list, filter.BodySize{})
}

// requestFilters returns what is asked before the action of a route, in that order. own are filters with a state.
func requestFilters(c *config.Route, access *filter.Access, own []filter.Request) []filter.Request {
	list := clientFilters(access)
	if c.MaxBody > 0 {
		list = append(list, proxy.MaxBody(c.MaxBody))
	}
	list = append(list, own...)
	if c.Proxy != nil {
		list = append(list, proxy.UnambiguousPath, proxy.NoLoop)
		if t := template(c.Proxy.Rewrite, c); t.Captures() {
			list = append(list, proxy.RewriteWithin(t))
		}
	}
	return list
}

// responseFilters returns what changes the responses of a route, in that order.
func responseFilters(c *config.Route) (list []filter.Response) {
	if c.CORS != nil {
		list = append(list, corsOf(c))
	}
	if c.SecureHeaders {
		list = append(list, filter.SecureHeaders{})
	}
	if h := &c.ResponseHeaders; len(h.Set)+len(h.Add)+len(h.Remove) > 0 {
		list = append(list, &filter.Headers{
			Usual:  headerRules(h),
			Typed:  headerRules(h, "Content-Type"),
			Outage: headerRules(h, "Content-Type", "Cache-Control"),
		})
	}
	return list
}

func (s *Server) buildAction(c *config.Route, site string, g *generation) (proxy.Action, error) {
	switch {
	case c.Static != nil:
		return s.buildFiles(c, g)
	case c.Proxy != nil:
		return s.cached(c, site, s.mirrored(c, s.buildForward(c, g), g)), nil
	case c.Redirect != nil:
		return &proxy.Redirect{To: template(c.Redirect.To, c), Status: c.Redirect.Status}, nil
	case c.Respond != nil:
		return proxy.NewFixed(c.Respond.Status, c.Respond.ContentType, c.Respond.Body), nil
	}
	return nil, at(c.Pos, "the route has no action", nil)
}

func (s *Server) buildFiles(c *config.Route, g *generation) (proxy.Action, error) {
	dir, err := s.cache.Open(staticcache.DirOptions{
		Root: c.Static.Root, Index: c.Static.Index, TryFiles: c.Static.TryFiles,
		CacheControl: c.Static.CacheControl, Dotfiles: c.Static.DotFiles, Compress: c.Static.Compress,
		Browse: c.Static.Browse, CacheControls: cacheControls(c.Static.CacheControls),
	})
	if err != nil {
		return nil, at(c.Static.Pos, "cannot serve files", err)
	}
	g.dirs = append(g.dirs, dir)
	if c.Static.WarmUp {
		g.warm = append(g.warm, dir)
	}
	g.undo = append(g.undo, func() { _ = dir.Close() })
	f := &files{dir: dir, compress: c.Static.Compress, browse: c.Static.Browse}
	for _, h := range c.ResponseHeaders.Set {
		if strings.EqualFold(h.Name, "Content-Type") {
			f.contentType = h.Value
		}
	}
	if c.Static.StripPrefix && !c.Exact {
		f.strip = strings.TrimSuffix(c.Path, "/")
	}
	return f, nil
}

func (s *Server) buildForward(r *config.Route, g *generation) proxy.Action {
	c, rewrite := r.Proxy, template(r.Proxy.Rewrite, r)
	buffer := proxy.Buffering{Request: c.BufferRequest, Response: c.BufferResponse, Dir: c.BufferDir}
	if c.BufferDir != "" {
		buffer.Failed = s.bufferFailed()
	}
	if len(c.Split) > 0 {
		split := &proxy.Split{}
		for _, share := range c.Split {
			split.Add(share.Weight, forwardTo(c, share.Pool, rewrite, buffer, g))
		}
		return split
	}
	return forwardTo(c, c.Pool, rewrite, buffer, g)
}

// bufferFailed returns what logs, once a minute at most, that bodies cannot be buffered.
func (s *Server) bufferFailed() func(error) {
	var next atomic.Int64 // when the next line may be written, in Unix seconds
	log := s.log.Named("proxy")
	return func(err error) {
		now := time.Now().Unix()
		if at := next.Load(); now >= at && next.CompareAndSwap(at, now+60) {
			log.Warn("cannot buffer bodies; streaming them", "error", err)
		}
	}
}

// regexpOf returns the regular expression of a route, nil if it has none. The configuration has been checked. The dot matches the ends of
// lines too: otherwise "/admin.*" would not be the regular expression of "/admin%0A".
func regexpOf(c *config.Route) *regexp.Regexp {
	if c.Regexp == "" {
		return nil
	}
	return regexp.MustCompile("(?s)" + c.Regexp)
}

// template returns a template of a route.
func template(text string, c *config.Route) route.Template {
	return route.NewMatchTemplate(text, regexpOf(c))
}

// routeTimeouts returns the timeouts of a route where they are not those of its pool.
func routeTimeouts(c *config.RouteTimeouts, pool *config.Timeouts) *transport.Timeouts {
	if c == nil {
		return nil
	}
	return &transport.Timeouts{Response: cmp.Or(c.Response, pool.Response), Idle: cmp.Or(c.Idle, pool.Idle)}
}

func forwardTo(c *config.Proxy, name string, rewrite route.Template, buffer proxy.Buffering, g *generation) *proxy.Forward {
	plan := g.poolPlans[name]
	retry := &plan.config.Retry
	on := func(word string) bool { return slices.Contains(c.RetriesOn(plan.config), word) }
	return &proxy.Forward{
		TunnelIdle: plan.config.Timeouts.Tunnel,
		Pool:       g.pools[name].pool, StripPrefix: c.StripPrefix, Rewrite: rewrite, Host: c.Host,
		HashKey: plan.hashKey(), Sticky: plan.sticky, Timed: plan.algorithm.NeedsLatency,
		Buffer: buffer, Timeouts: routeTimeouts(c.Timeouts, &plan.config.Timeouts),
		Retry: proxy.Retry{
			Attempts: retry.Attempts, Body: retry.Body,
			Connect: on("connect"), Reset: on("reset"), Timeout: on("timeout"),
			On502: on("502"), On503: on("503"), On504: on("504"), Unavailable: on("unavailable"),
		},
		HTTP2: plan.config.Protocol != "http1",
	}
}

// headers converts a list, without the fields of the names in except.
func headers(list []config.Header, except ...string) []route.Header {
	out := make([]route.Header, 0, len(list))
	for _, h := range list {
		if !containsName(except, h.Name) {
			out = append(out, route.Header{Name: h.Name, Value: h.Value})
		}
	}
	return out
}

func headerRules(c *config.HeaderRules, except ...string) route.HeaderRules {
	remove := slices.DeleteFunc(slices.Clone(c.Remove), func(name string) bool { return containsName(except, name) })
	return route.NewHeaderRules(headers(c.Set, except...), headers(c.Add, except...), remove)
}

func containsName(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// at makes an error that names its place in the configuration.
func at(pos config.Pos, what string, err error) error {
	where := pos.String()
	if where != "" {
		where += ": "
	}
	if err == nil {
		return fmt.Errorf("%s%s", where, what)
	}
	return fmt.Errorf("%s%s: %w", where, what, err)
}

// commit puts a generation in force and ends what only the old one used.
func (s *Server) commit(g *generation) {
	old := s.current.Load()
	s.log.SetLevel(level(g.config.Log.Level))
	s.cache.SetLimits(g.config.StaticCache.Memory, g.config.StaticCache.MaxFile)
	for name, plan := range g.poolPlans {
		g.pools[name].apply(s, plan)
	}
	s.startAccessLog(g)
	s.watchMaintenance(g)
	s.findHTTPSPort()
	s.startACME(g)
	s.startKeys(old, g)
	s.startStores(g)
	s.showCertificates(g.certificates)
	s.handler.Swap(g.state)
	g.since = time.Now()
	s.current.Store(g)
	s.useTickets(g)
	s.startAdmin(g)
	s.pools, s.sites, s.limitStates = g.pools, g.sites, g.limits
	if old != nil {
		retireStores(old, g)
		s.retire(old, g)
	}
	s.warmUp(g, old)
}

// retire ends what the new generation does not use. Requests in flight keep what they hold.
func (s *Server) retire(old, g *generation) {
	for name, run := range old.sites {
		if g.sites[name] != run {
			run.sw.stop()
			run.scope.Close()
		}
	}
	if old.scope != nil {
		old.scope.Close()
	}
	old.certificates.retire()
	for _, run := range old.acme {
		if !slices.Contains(g.acme, run) {
			s.goRun(run.Stop)
		}
	}
	if old.accessLog != nil && old.accessLog != g.accessLog {
		s.retireAccessLog(old.accessLog)
	}
	s.retireBackends(old, g)
}

// poolsInForce returns the pools in the configuration's order.
func (s *Server) poolsInForce() []*pool.Pool {
	g := s.current.Load()
	list := make([]*pool.Pool, 0, len(g.config.Pools))
	for i := range g.config.Pools {
		list = append(list, g.pools[g.config.Pools[i].Name].pool)
	}
	return list
}
