package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/hashicorp/go-hclog"

	"lb/admin"
	"lb/cache"
	"lb/config"
	"lb/http1"
	"lb/proxy"
	"lb/route"
	"lb/staticcache"
	"lb/telemetry"
)

// explain returns what would happen to a request now. An error is a mistake in the question.
func (s *Server) explain(q admin.Question) (*admin.Explanation, error) {
	a, err := newAsked(q)
	if err != nil {
		return nil, err
	}
	var listeners []admin.ExplainedListener
	var configured []string
	for _, l := range s.front.Listeners() {
		listeners = append(listeners, admin.ExplainedListener{Address: l.Addr().String(), TLS: l.TLS, HTTP3: l.AltSvc() != nil, RedirectHTTPS: l.RedirectHTTPS})
		configured = append(configured, l.Address)
	}
	g := s.current.Load()
	a.arrivals(listeners, configured, g.config, g.certificates.candidates)
	return a.explain(g, listeners, s.handler), nil
}

// ExplainConfig returns what would happen to a request with a configuration that is not in force. It starts
// nothing, so that nothing is known of the backends.
func ExplainConfig(cfg *config.Config, q admin.Question) (*admin.Explanation, error) {
	a, err := newAsked(q)
	if err != nil {
		return nil, err
	}
	s := New(Options{})
	s.registry = telemetry.NewRegistry()
	s.log = &telemetry.Log{Logger: hclog.NewNullLogger()}
	s.cache = staticcache.New(staticcache.Options{Memory: cfg.StaticCache.Memory, MaxFile: cfg.StaticCache.MaxFile, Log: hclog.NewNullLogger()})
	s.responses = cache.New(s.cache, s.registry.NewScope())
	g := newGeneration(cfg)
	defer g.discard()
	if err := s.buildSites(cfg, g); err != nil {
		return nil, err
	}
	var listeners []admin.ExplainedListener
	var configured []string
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		listeners = append(listeners, admin.ExplainedListener{Address: l.Address, TLS: l.TLS != nil, HTTP3: l.HTTP3, RedirectHTTPS: l.RedirectHTTPS})
		configured = append(configured, l.Address)
	}
	a.arrivals(listeners, configured, cfg, candidatesOf)
	e := a.explain(g, listeners, nil)
	e.Offline = true
	for i := range e.Pools {
		forgetStates(&e.Pools[i])
		for _, src := range g.poolPlans[e.Pools[i].Name].sources {
			e.Notes = append(e.Notes, fmt.Sprintf("pool %s has more backends, found by discover %s", e.Pools[i].Name, src.name))
		}
	}
	return e, nil
}

// forgetStates removes the states of backends that were not checked.
func forgetStates(p *admin.ExplainedPool) {
	p.Tier, p.Why = "", "the states of the backends are not known"
	if p.Sticky != "" {
		p.Sticky, p.Choice, p.Own = "only a running lb knows which backend a cookie belongs to", "", ""
	}
	for i := range p.Backends {
		b := &p.Backends[i]
		b.State, b.Active, b.Passive, b.Usable = "unknown", "unknown", "unknown", false
		b.Used, b.Why, b.Since, b.LastChange, b.Cause = !b.Backup, "", nil, nil, nil
		if b.Backup {
			b.Why = "a backup: used only while no other backend is usable"
		}
	}
}

// asked is a question, checked.
type asked struct {
	admin.Question
	url    *url.URL
	port   string
	client netip.Addr
	head   []byte
}

func newAsked(q admin.Question) (*asked, error) {
	a := &asked{Question: q}
	if a.Method == "" {
		a.Method = "GET"
	}
	var err error
	if a.url, err = url.Parse(q.URL); err != nil {
		var wrong *url.Error
		if errors.As(err, &wrong) {
			err = wrong.Err
		}
		return nil, fmt.Errorf("cannot read the URL %q: %w; write it as http://clock.example.com/path?query", q.URL, err)
	}
	if a.url.Scheme != "http" && a.url.Scheme != "https" || a.url.Host == "" {
		return nil, fmt.Errorf("cannot read the URL %q: it needs a scheme and a host, as in http://clock.example.com/path", q.URL)
	}
	a.port = a.url.Port()
	if a.port == "" {
		a.port = map[string]string{"http": "80", "https": "443"}[a.url.Scheme]
	}
	if q.Client != "" {
		if a.client, err = netip.ParseAddr(q.Client); err != nil {
			return nil, fmt.Errorf("cannot read the client address %q: write it as 192.0.2.1 or 2001:db8::1", q.Client)
		}
		a.client = a.client.WithZone("").Unmap()
	}
	return a, a.makeHead()
}

// makeHead writes the head as a client would: its target is what the URL has, byte for byte.
func (a *asked) makeHead() error {
	target, _, _ := strings.Cut(a.URL[strings.Index(a.URL, "://")+3:], "#")
	if i := strings.IndexAny(target, "/?"); i >= 0 {
		target = target[i:]
	} else {
		target = ""
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	host := a.url.Host
	head := a.Method + " " + target + " HTTP/1.1\r\n"
	for _, line := range a.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(line, "\r\n") {
			return fmt.Errorf("cannot read the header %q: write it as \"Name: value\"", line)
		}
		if value = strings.TrimSpace(value); strings.EqualFold(name, "host") {
			host = value // as curl does: the URL says where to connect, the field which host to request
			continue
		}
		head += name + ": " + value + "\r\n"
	}
	a.head = []byte(head + "Host: " + host + "\r\n\r\n")
	return nil
}

// explain goes the request's way through a generation, as by would if one runs.
func (a *asked) explain(g *generation, listeners []admin.ExplainedListener, by *proxy.Handler) *admin.Explanation {
	e := &admin.Explanation{Method: a.Method, URL: a.URL}
	e.Listeners = a.takers(listeners)
	in, redirects := proxy.Inbound{Secure: a.url.Scheme == "https"}, false
	if len(e.Listeners) > 0 {
		redirects, in.OnPort80 = e.Listeners[0].RedirectHTTPS, portOf(e.Listeners[0].Address) == "80"
		var secure []string
		for _, l := range listeners {
			if l.TLS {
				secure = append(secure, l.Address)
			}
		}
		in.HTTPSPort = httpsPort(secure)
	}
	if in.Secure {
		name := a.url.Hostname()
		if _, err := netip.ParseAddr(name); err != nil { // RFC 6066 section 3: addresses are not named in the handshake
			in.ServerName = proxy.NewServerName(name)
		}
	}
	in.Filters = inboundFilters(in.ServerName, redirects)
	var head http1.RequestHead
	var found proxy.Explained
	if refused := head.Parse(a.head, 0); refused != nil {
		found = proxy.Explained{Status: refused.Status, Reason: refused.Reason}
	} else {
		found = g.state.Explain(proxy.Question{Request: &head.Request, Peer: a.client, In: in, By: by})
	}
	e.Host, e.Path = found.Host, found.Path
	if found.Client.IsValid() {
		e.Client = found.Client.String()
	}
	if site := found.Site; site != nil {
		e.Site = &admin.ExplainedSite{Name: site.Name, Why: siteReason(found.SiteName)}
	}
	for _, c := range found.Rules {
		e.Routes = append(e.Routes, explainRoute(c, g, found.Rule != nil))
	}
	if found.Status != 0 {
		e.Response = &admin.ExplainedResponse{Status: found.Status, Reason: found.Reason, Allow: found.Allow, Location: found.Location}
	}
	if found.Rule != nil {
		e.Rules = rulesOf(g.routes[found.Rule.Action], &found)
		a.action(e, g, &found)
	}
	return e
}

// takers are the listeners that the request could come by: those of the URL's port and scheme, or, as
// a port may be another one outside, any of its scheme.
func (a *asked) takers(listeners []admin.ExplainedListener) []admin.ExplainedListener {
	var exact, scheme []admin.ExplainedListener
	missing := "no listener has port " + a.port
	for _, l := range listeners {
		_, port, err := net.SplitHostPort(l.Address)
		same := err == nil && port == a.port
		if l.TLS != (a.url.Scheme == "https") {
			if same {
				missing = "the listener on port " + a.port + " does not speak " + a.url.Scheme
			}
			continue
		}
		if same {
			exact = append(exact, l)
			continue
		}
		l.Why = "another listener with this scheme is used"
		scheme = append(scheme, l)
	}
	if len(exact) > 0 {
		return exact
	}
	if len(scheme) > 0 {
		scheme[0].Why = missing + "; as if this one were meant"
	}
	return scheme
}

func siteReason(name string) string {
	switch {
	case name == "":
		return "no site has this host; this is the default site"
	case strings.HasPrefix(name, "*."):
		return "by the wildcard " + name
	}
	return "by its name " + name
}

func explainRoute(c route.Considered[*proxy.Route], g *generation, anyChosen bool) admin.ExplainedRoute {
	out := admin.ExplainedRoute{Pattern: c.Rule.Pattern, Chosen: c.Fit == route.Chosen || c.Fit == route.AddsSlash}
	if r := g.routes[c.Rule.Action]; r != nil {
		out.Where = r.Pos.String()
	}
	switch c.Fit {
	case route.Chosen:
		out.Why = "the longest prefix that matches"
		if c.Rule.Exact {
			out.Why = "the exact path, which wins over every prefix"
		}
		if c.Rule.Regexp != nil {
			out.Why = "the first regular expression that matches"
		}
	case route.AddsSlash:
		out.Why = "the path is this prefix without the slash at its end"
	case route.Beaten:
		out.Why = "matches too, but comes later"
		if !anyChosen {
			out.Why = "does not apply because an earlier route matches the path but not the method"
		}
	case route.OtherMethod:
		out.Why = "takes " + strings.Join(c.Rule.Methods, ", ") + " only"
	case route.OtherQuery:
		out.Why = "requires other values in the query"
	case route.OtherHeaders:
		var wanted []string
		for _, h := range c.Rule.Headers {
			wanted = append(wanted, h.Name+": "+config.Header{Name: h.Name, Value: h.Value}.Shown())
		}
		out.Why = "requires the header " + strings.Join(wanted, ", ")
	}
	return out
}

// CheckQuestion returns what is wrong with a question, as the two explanations would.
func CheckQuestion(q admin.Question) error {
	_, err := newAsked(q)
	return err
}
