package server

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"lb/admin"
	"lb/config"
	"lb/filter"
	"lb/filter/limit"
	"lb/internal/lease"
	"lb/proxy"
	"lb/staticcache"
)

// action describes the action of the chosen route.
func (a *asked) action(e *admin.Explanation, g *generation, found *proxy.Explained) {
	if dir, ok := found.Rule.Action.Action.(*files); ok && e.Response == nil {
		dir.explain(e, a.Method)
	}
	total := 0
	for _, w := range found.Ways {
		total += w.Weight
	}
	for _, w := range found.Ways {
		e.Pools = append(e.Pools, explainPool(w, g, float64(w.Weight)/float64(total)))
		for _, b := range g.poolPlans[w.Forward.Pool.Name()].config.Backends {
			if b.Weight == 0 {
				e.Notes = append(e.Notes, fmt.Sprintf("backend %s of pool %s has weight 0 and is left out", b.Address, w.Forward.Pool.Name()))
			}
		}
	}
	if found.ClientDecides {
		e.Notes = append(e.Notes, "whether the route allows the client depends on its address: add -client ADDRESS")
	}
	if found.Trusted {
		e.Notes = append(e.Notes, "the peer is a trusted proxy: its X-Forwarded-For contains the client")
	}
}

func (f *files) explain(e *admin.Explanation, method string) {
	path := f.path([]byte(e.Path))
	file, result, err := f.dir.Lookup([]byte(method), path)
	if f.lacksSlash([]byte(method), path) {
		file, result, err = "", staticcache.Served, nil
	}
	e.Files = &admin.ExplainedFiles{Root: f.dir.Root(), Path: string(path), File: file}
	response := &admin.ExplainedResponse{Status: 200, Reason: "the file is sent"}
	switch {
	case result == staticcache.Served && strings.HasSuffix(file, "/"):
		e.Files.Found = "the directory has no index and is listed"
		response.Reason = "the directory is listed"
	case result == staticcache.Served && file != "":
		e.Files.Found = "the file exists"
	case result == staticcache.Served:
		e.Files.Found = "the directory exists, but the path lacks the slash at its end"
		response.Status, response.Reason = 301, "to the same path with a slash"
	case result == staticcache.MethodNotAllowed:
		e.Files.Found = "files can only be read"
		response.Allow = staticcache.Allow
	case result == staticcache.Forbidden:
		e.Files.Found = "the file cannot be read because of its permissions or those of a directory above it"
	case result == staticcache.NotFound:
		e.Files.Found = "there is no such file"
	default:
		e.Files.Found = fmt.Sprintf("the file cannot be read from disk: %v", err)
	}
	if status := result.Status(); status != 0 {
		response.Status, response.Reason = status, e.Files.Found
	}
	e.Response = response
}

func explainPool(w proxy.Way, g *generation, share float64) admin.ExplainedPool {
	p := w.Forward.Pool
	plan := g.poolPlans[p.Name()]
	c := plan.config
	out := admin.ExplainedPool{
		Share: share, Target: w.Target, Host: w.Host, Prospects: p.Explain(w.Key, w.Keyed, w.Cookie),
		Retry: "none", Connection: connectionText(c),
	}
	if c.Protocol != "http1" {
		out.Protocol = c.Protocol
	}
	if r, on := w.Forward.Retry, w.Forward.Retry.On(); r.Attempts > 0 && len(on) > 0 {
		out.Retry = fmt.Sprintf("%d, after %s", r.Attempts, strings.Join(on, ", "))
	}
	if plan.algorithm.NeedsKey {
		out.HashKey = c.HashKey
		if !w.Keyed {
			out.KeyWhy = "the key is the client's address: add -client ADDRESS"
		}
	}
	return out
}

// connectionText says how connections to a pool's backends begin; "": as plain HTTP.
func connectionText(c *config.Pool) string {
	var parts []string
	if c.ProxyProtocol != "" {
		parts = append(parts, "a PROXY header ("+c.ProxyProtocol+"), so that none is shared by clients")
	}
	if t := c.TLS; t != nil {
		text := "TLS, where the certificate must have the name of the backend's address"
		switch {
		case !t.Verify:
			text = "TLS, without verifying the certificate"
		case t.ServerName != "":
			text = "TLS, where the certificate must have the name " + t.ServerName
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; then ")
}

// rulesOf lists what a route demands and does, in the order in which a request meets it. Values
// that may be secrets are left out.
func rulesOf(c *config.Route, found *proxy.Explained) []admin.ExplainedRule {
	var list []admin.ExplainedRule
	add := func(name, text string) { list = append(list, admin.ExplainedRule{Name: name, Text: text}) }
	if len(c.Methods) > 0 {
		add("methods", strings.Join(c.Methods, ", "))
	}
	for _, h := range c.Headers {
		add("headers", h.Name+" = "+h.Value)
	}
	for _, q := range c.Query {
		add("query", q.Name+" = "+q.Value)
	}
	for _, f := range found.Rule.Action.Filters {
		access, ok := f.(*filter.Access)
		if !ok {
			continue
		}
		verdict := "unknown without the client's address"
		if client := found.Client; client.IsValid() {
			verdict = client.String() + " passes"
			if !access.Permits(client) {
				verdict = client.String() + " is refused"
			}
		}
		if len(c.Allow) > 0 {
			add("allow", prefixes(c.Allow)+": "+verdict)
		}
		if len(c.Deny) > 0 {
			add("deny", prefixes(c.Deny)+": "+verdict)
		}
		if f := access.AllowFile; f != nil {
			add("allow_file", fmt.Sprintf("%d networks of %s: %s", f.Load().Len(), c.AllowFile, verdict))
		}
		if f := access.DenyFile; f != nil {
			add("deny_file", fmt.Sprintf("%d networks of %s: %s", f.Load().Len(), c.DenyFile, verdict))
		}
	}
	if c.MaxBody > 0 {
		add("max_body", fmt.Sprintf("bodies up to %d bytes", c.MaxBody))
	}
	limitRules(c, false, add)
	if c.BasicAuth != nil {
		add("basic_auth", "a user of "+c.BasicAuth.UsersFile)
	}
	if f := c.Static; f != nil && f.Compress {
		add("compress", "zstd, br or gzip, as the client accepts")
	}
	if t := c.JWT; t != nil {
		add("jwt", "a token that is signed with a key of "+t.JWKS)
	}
	if a := c.ForwardAuth; a != nil {
		add("forward_auth", "asks pool "+a.Pool+" whether the request may pass")
	}
	limitRules(c, true, add)
	for _, e := range c.Extensions {
		add(e.Name, cmp.Or(e.Filters.Text, "an extension of this build"))
	}
	if len(c.Hints) > 0 {
		add("hints", "103 to browsers, with "+strings.Join(c.HintLinks(), ", "))
	}
	if z := c.Compress; z != nil {
		add("compress", fmt.Sprintf("zstd, br or gzip, level %d, for responses of %d bytes or more, as the client accepts", z.Level, z.MinSize))
	}
	if c.Cache != nil {
		add("cache", cacheRule(c.Cache))
	}
	if c.Mirror != nil {
		add("mirror", mirrorRule(c.Mirror))
	}
	if p := c.Proxy; p != nil {
		if p.BufferRequest > 0 {
			add("buffer_request", fmt.Sprintf("a body of up to %d bytes is received completely before a backend is picked", p.BufferRequest))
		}
		if p.BufferResponse > 0 {
			add("buffer_response", fmt.Sprintf("up to %d bytes are read from the backend ahead of the client", p.BufferResponse))
		}
		if t := p.Timeouts; t != nil && t.Response > 0 {
			add("timeouts", "response "+t.Response.String())
		}
		if t := p.Timeouts; t != nil && t.Idle > 0 {
			add("timeouts", "idle "+t.Idle.String())
		}
	}
	if cors := c.CORS; cors != nil {
		add("cors", "pages of "+strings.Join(cors.Origins, ", "))
	}
	if c.SecureHeaders {
		add("secure_headers", "adds the fields by which browsers protect a site")
	}
	headerChanges("request_headers", &c.RequestHeaders, add)
	headerChanges("response_headers", &c.ResponseHeaders, add)
	return list
}

// limitRules adds the limits of a route that are by a claim of a token, which is known later, or those that are not.
func limitRules(c *config.Route, byClaim bool, add func(name, text string)) {
	for _, l := range c.RateLimits {
		if (limit.ClaimOf(l.Key) != "") == byClaim {
			text := fmt.Sprintf("%.0f %s by %s, burst %d", l.Rate*l.Window.Seconds(), perWindow(l.Window), l.Key, l.Burst)
			if address, err := lease.ParseURL(string(l.Redis)); err == nil {
				text += ", of all that use redis " + address.String()
			}
			add("rate_limit", text)
		}
	}
	for _, l := range c.Concurrency {
		if (limit.ClaimOf(l.Key) != "") == byClaim {
			add("concurrency", fmt.Sprintf("%d in flight by %s", l.Limit, l.Key))
		}
	}
}

func perWindow(d time.Duration) string {
	switch d {
	case time.Minute:
		return "a minute"
	case time.Hour:
		return "an hour"
	}
	return "a second"
}

func prefixes(list []netip.Prefix) string {
	var texts []string
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}

func headerChanges(block string, c *config.HeaderRules, add func(name, text string)) {
	names := func(list []config.Header) string {
		var all []string
		for _, h := range list {
			all = append(all, h.Name)
		}
		slices.Sort(all)
		return strings.Join(slices.Compact(all), ", ")
	}
	if len(c.Remove) > 0 {
		add(block, "removes "+strings.Join(c.Remove, ", "))
	}
	if len(c.Set) > 0 {
		add(block, "sets "+names(c.Set))
	}
	if len(c.Add) > 0 {
		add(block, "adds "+names(c.Add))
	}
}
