package server

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"lb/admin"
	"lb/config"
	"lb/filter"
	"lb/proxy"
	"lb/staticcache"
)

// action tells what answers on the chosen route.
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
		file, result, err = "", staticcache.Answered, nil
	}
	e.Files = &admin.ExplainedFiles{Root: f.dir.Root(), Path: string(path), File: file}
	answer := &admin.ExplainedResponse{Status: 200, Reason: "the file is sent"}
	switch {
	case result == staticcache.Answered && file != "":
		e.Files.Found = "the file exists"
	case result == staticcache.Answered:
		e.Files.Found = "the directory exists, but the path lacks the slash at its end"
		answer.Status, answer.Reason = 301, "to the same path with a slash"
	case result == staticcache.MethodNotAllowed:
		e.Files.Found = "files can only be read"
		answer.Allow = staticcache.Allow
	case result == staticcache.Forbidden:
		e.Files.Found = "the file cannot be read because of its permissions or those of a directory above it"
	case result == staticcache.NotFound:
		e.Files.Found = "there is no such file"
	default:
		e.Files.Found = fmt.Sprintf("the file cannot be read from disk: %v", err)
	}
	if status := result.Status(); status != 0 {
		answer.Status, answer.Reason = status, e.Files.Found
	}
	e.Response = answer
}

func explainPool(w proxy.Way, g *generation, share float64) admin.ExplainedPool {
	p := w.Forward.Pool
	plan := g.poolPlans[p.Name()]
	c := plan.config
	out := admin.ExplainedPool{
		Share: share, Target: w.Target, Host: w.Host, Prospects: p.Explain(w.Key, w.Keyed, w.Cookie),
		Retry: "none",
	}
	if r := c.Retry; r.Attempts > 0 {
		out.Retry = fmt.Sprintf("%d, after %s", r.Attempts, strings.Join(r.On, ", "))
	}
	if plan.algorithm.NeedsKey {
		out.HashKey = c.HashKey
		if !w.Keyed {
			out.KeyWhy = "the key is the client's address: add -client ADDRESS"
		}
	}
	return out
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
	access := filter.Access{Allow: c.Allow, Deny: c.Deny}
	if len(c.Allow)+len(c.Deny) > 0 {
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
	}
	if c.RateLimit != nil {
		add("rate_limit", fmt.Sprintf("%g a second by %s, burst %d", c.RateLimit.Rate, c.RateLimit.Key, c.RateLimit.Burst))
	}
	if c.BasicAuth != nil {
		add("basic_auth", "users of "+c.BasicAuth.UsersFile)
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
	headerChanges("request_headers", &c.RequestHeaders, add)
	headerChanges("response_headers", &c.ResponseHeaders, add)
	return list
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
