package config

import (
	"fmt"
	"maps"
	"math"
	"net/textproto"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"lb/internal/limits"
)

func readRoute(b *block) Route {
	t := defaultRoute()
	t.Pos, t.Pattern, t.Path = b.pos(b.at), b.label, b.label
	if p, exact := strings.CutPrefix(b.label, "="); exact {
		t.Exact, t.Path = true, strings.TrimLeft(p, " ")
	}
	if expression, ok := strings.CutPrefix(b.label, "~"); ok {
		b.readRegexp(&t, strings.TrimLeft(expression, " "))
	} else {
		b.checkPattern(&t)
	}
	b.texts("methods", "GET", &t.Methods, method)
	t.Headers = b.headers("headers", matchedHeader)
	t.Query = b.pairs("query")
	b.size("max_body", &t.MaxBody, 0, math.MaxInt64)
	b.prefixes("allow", &t.Allow)
	b.prefixes("deny", &t.Deny)
	b.networksFile("allow_file", &t.AllowFile)
	b.networksFile("deny_file", &t.DenyFile)
	readHeaderRules(b.one("request_headers"), &t.RequestHeaders, requestHeader, requestHeader)
	readHeaderRules(b.one("response_headers"), &t.ResponseHeaders, responseHeader, removableHeader)
	t.RateLimits, t.Concurrency = readRateLimits(b), readConcurrency(b)
	t.BasicAuth = readBasicAuth(b.one("basic_auth"))
	t.JWT = readJWT(b.one("jwt"))
	t.ForwardAuth = readForwardAuth(b.one("forward_auth"))
	t.CORS = readCORS(b.one("cors"))
	b.flag("secure_headers", &t.SecureHeaders)
	t.Compress = readCompress(b)
	t.Hints = readHints(b)
	t.Cache = readCache(b.one("cache"))
	t.Static = readStatic(b.one("static"))
	t.Proxy = readProxy(b.one("proxy"), &t)
	t.Mirror = readMirror(b.one("mirror"), &t)
	t.Redirect = readRedirect(b.one("redirect"), &t)
	t.Respond = readRespond(b.one("respond"))
	t.Extensions = readExtensions(b)
	readAmbiguousPaths(b, &t)
	if t.BasicAuth != nil && t.JWT != nil {
		b.fail(b.at, fmt.Sprintf("route %q has both basic_auth and jwt, which need the same Authorization field", b.label),
			"Keep one of them; another path needs a separate route.")
	}
	b.end()
	b.checkAction()
	b.checkCaching(&t)
	return t
}

// checkPattern reports a path that no request can have: paths are matched cleaned, percent-decoded and without the
// query.
func (b *block) checkPattern(t *Route) {
	switch {
	case strings.HasPrefix(t.Path, "^"):
		b.fail(b.labelAt, fmt.Sprintf("route %q looks like a regular expression", t.Pattern), fmt.Sprintf("Write a tilde before it: route %q", "~ "+t.Path))
	case t.Path == "" || t.Path == "*":
		b.fail(b.labelAt, fmt.Sprintf("route %q has no path", t.Pattern), `For every path write: route "/"`)
	case t.Path[0] != '/':
		b.fail(b.labelAt, fmt.Sprintf("route %q does not begin with a slash", t.Path), fmt.Sprintf("Write: %q", strings.TrimSuffix(t.Pattern, t.Path)+"/"+t.Path))
	case strings.ContainsRune(t.Path, 0):
		b.fail(b.labelAt, "route contains a NUL character", "Remove it.")
	case strings.ContainsAny(t.Path, "?#"):
		b.fail(b.labelAt, fmt.Sprintf("route %q has a query or a fragment", t.Pattern), "Write only the path; the rest is not compared.")
	case decoded(t.Path) != t.Path:
		b.warn(b.labelAt, fmt.Sprintf("route %q can never match", t.Pattern), fmt.Sprintf("Paths are percent-decoded before they are compared. Write: %q", decoded(t.Path)))
	case strings.ContainsAny(t.Path, "*{}"):
		b.fail(b.labelAt, fmt.Sprintf("route %q has a wildcard", t.Pattern), wildcardRemedy(t.Path))
	case cleanPath(t.Path) != t.Path:
		b.warn(b.labelAt, fmt.Sprintf("route %q can never match", t.Pattern), fmt.Sprintf("Paths are cleaned before they are compared. Write: %q", cleanPath(t.Path)))
	}
}

// wildcardRemedy returns what to write instead of a path with "*" or "{name}".
func wildcardRemedy(p string) string {
	before := p[:strings.IndexAny(p, "*{}")]
	if strings.Trim(p[len(before):], "*") == "" {
		return fmt.Sprintf("A path is already a prefix. For all paths that begin with %s write: route %q", before, before)
	}
	return fmt.Sprintf("A path is a prefix; it has no placeholders. Write: route %q", before)
}

// decoded returns the path without percent-encoding, or as it is if that is malformed.
func decoded(p string) string {
	if d, err := url.PathUnescape(p); err == nil {
		return d
	}
	return p
}

// cleanPath removes empty and dot segments and keeps a slash at the end.
func cleanPath(p string) string {
	clean := path.Clean(p)
	if clean != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		clean += "/"
	}
	return clean
}

// checkAction requires exactly one of the blocks that handle a request.
func (b *block) checkAction() {
	var actions []string
	for _, hb := range b.blocks {
		switch hb.Type {
		case "static", "proxy", "redirect", "respond":
			if slices.Contains(actions, hb.Type) {
				continue // reported as a second block
			}
			if len(actions) > 0 {
				b.fail(hb.DefRange(), fmt.Sprintf("route %q has two actions, %s and %s", b.label, actions[0], hb.Type), "Keep one of them; another path needs a separate route.")
			}
			actions = append(actions, hb.Type)
		}
	}
	if len(actions) == 0 {
		b.fail(b.at, fmt.Sprintf("route %q has no action", b.label), "Add one inside: static { … }, proxy { … }, redirect { … } or respond { … }")
	}
}

// headers reads a map of header fields, in the order in which they are written.
func (b *block) headers(name string, check textCheck) []Header {
	if b.learn != nil {
		b.learn.headers[name] = true
	}
	var list []Header
	for _, e := range b.entries(name, `"X-Name" = "value"`) {
		if !b.passes("a name in "+name, e.name, e.nameAt, []textCheck{check}) {
			continue
		}
		if e.value.IsNull() || e.value.Type() != cty.String {
			b.wrongType(e.valueAt, e.shown, e.value, fmt.Sprintf("Write a string in quotes: %q = \"value\"", e.shown))
			continue
		}
		if v := e.value.AsString(); b.passes(e.shown, v, e.valueAt, []textCheck{headerValue}) {
			list = append(list, Header{Name: e.name, Value: v})
		}
	}
	return list
}

// matchedHeader requires any field name.
func matchedHeader(s string) (problem, remedy string) {
	if !isToken(s) {
		return fmt.Sprintf("is not a header name: %q", s), `Write letters, digits and hyphens: "X-Version"`
	}
	return "", ""
}

// requestHeader is ownHeader without Host, which has its own attribute.
func requestHeader(s string) (problem, remedy string) {
	if textproto.CanonicalMIMEHeaderKey(s) == "Host" {
		return `cannot be "Host"`, `Write it in the proxy block: host = "app.internal"`
	}
	return ownHeader(s)
}

// removableHeader is ownHeader without fields that a response needs.
func removableHeader(s string) (problem, remedy string) {
	switch strings.ToLower(s) {
	case "x-request-id":
		return fmt.Sprintf("cannot be %q: every response has the ID that is in the log", s), "Remove it."
	case "content-range":
		return fmt.Sprintf("cannot be %q: it says which part of a file the response is", s), "Remove it."
	}
	return ownHeader(s)
}

// responseHeader is removableHeader without Date.
func responseHeader(s string) (problem, remedy string) {
	if strings.EqualFold(s, "date") {
		return fmt.Sprintf("cannot be %q: it says when the response was created", s), `Remove it. To send no Date write: remove = ["Date"]`
	}
	return removableHeader(s)
}

// readHeaderRules reads a block; put checks the names of set and add, take those of remove.
func readHeaderRules(b *block, h *HeaderRules, put, take textCheck) {
	if b == nil {
		return
	}
	h.Pos = b.pos(b.at)
	h.Set = b.headers("set", put)
	h.Add = b.headers("add", put)
	b.texts("remove", "X-Powered-By", &h.Remove, take)
	b.end()
}

func readStatic(b *block) *Static {
	if b == nil {
		return nil
	}
	s := defaultStatic()
	s.Pos = b.pos(b.at)
	b.file("root", &s.Root)
	b.require("root", s.Root, "/var/www/html")
	b.checkFolder("root", s.Root)
	b.flag("strip_prefix", &s.StripPrefix)
	b.texts("index", "index.html", &s.Index, fileName)
	b.texts("try_files", "{path}", &s.TryFiles, placeholders("path"), tryFile)
	b.text("cache_control", &s.CacheControl, headerValue)
	readCacheControls(b, &s)
	b.flag("compress", &s.Compress)
	b.flag("browse", &s.Browse)
	b.flag("dotfiles", &s.DotFiles)
	b.flag("warm_up", &s.WarmUp)
	b.end()
	if len(s.TryFiles) == 0 {
		b.fail(b.place("try_files"), "try_files is empty", `Write: try_files = ["{path}", "{path}/"]`)
	}
	for _, t := range s.TryFiles[:max(0, len(s.TryFiles)-1)] {
		if strings.HasPrefix(t, "=") {
			b.fail(b.place("try_files"), fmt.Sprintf("try_files has %q before its last entry", t), "Move it to the end: nothing after it is tried.")
		}
	}
	return &s
}

// fileName requires a name without directories.
func fileName(s string) (problem, remedy string) {
	if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "/\x00") {
		return fmt.Sprintf("is not a file name: %q", s), `Write a name without directories: "index.html"`
	}
	return "", ""
}

// tryFile requires "{path}…", "/fallback.html" or "=404".
func tryFile(s string) (problem, remedy string) {
	if status, ok := strings.CutPrefix(s, "="); ok {
		if n, good := parseStatus(status); !good || n < 400 {
			return fmt.Sprintf("has no error status: %q", s), `Write a status from 400 to 599: "=404"`
		}
		return "", ""
	}
	if !strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "{path}") {
		return fmt.Sprintf("does not begin with a slash or {path}: %q", s), fmt.Sprintf("Write: %q", "/"+s)
	}
	if slices.Contains(strings.Split(s, "/"), "..") {
		return fmt.Sprintf("leaves its directory: %q", s), "Write a path below root."
	}
	return noNUL(s)
}

func readProxy(b *block, t *Route) *Proxy {
	if b == nil {
		return nil
	}
	p := &Proxy{Pos: b.pos(b.at)}
	readPoolName(b, &p.Pool)
	p.Split = readSplit(b)
	b.flag("strip_prefix", &p.StripPrefix)
	b.text("rewrite", &p.Rewrite, optional(rewriteTarget(t.placeholders())))
	if p.StripPrefix && t.isRegexp() {
		b.fail(b.place("strip_prefix"), "strip_prefix needs a route with a prefix", `Remove it, and write the path with groups: rewrite = "/{1}"`)
	}
	b.text("host", &p.Host, optional(hostField))
	readBuffering(b, p)
	p.Timeouts = readRouteTimeouts(b.one("timeouts"))
	readRetryOn(b, "retry_on", &p.RetryOn)
	if slices.Contains(p.RetryOn, unavailable) {
		b.calls = append(b.calls, use{p.Pool, b.place("retry_on")})
		for _, share := range p.Split {
			b.calls = append(b.calls, use{share.Pool, b.place("retry_on")})
		}
	}
	b.end()
	switch hasPool, hasSplit := b.written("pool"), b.written("split"); {
	case p.Pool != "" && len(p.Split) > 0:
		b.fail(b.place("split"), "proxy has both pool and split", "Keep one of them.")
	case !hasPool && !hasSplit:
		b.fail(b.at, "proxy needs pool or split", `Write: pool = "app"`)
	case hasPool && !hasSplit && b.attributeIsEmptyText("pool"):
		b.fail(b.place("pool"), "proxy needs pool or split", `Write: pool = "app"`)
	}
	return p
}

func rewriteTarget(names []string) textCheck {
	return func(s string) (problem, remedy string) {
		if !strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "{path}") {
			return fmt.Sprintf("%q does not begin with a slash", s), fmt.Sprintf("Write: %q", "/"+s)
		}
		if problem, remedy = targetCharacters(s); problem != "" {
			return problem, remedy
		}
		return placeholders(names...)(s)
	}
}

// hostField requires a host, with a port or without.
func hostField(s string) (problem, remedy string) {
	if problem, _ := peerAddress(s); problem == "" && !strings.HasPrefix(s, "unix:") || validHost(strings.Trim(s, "[]")) {
		return "", ""
	}
	return fmt.Sprintf("is not a host: %q", s), `Write a name, with a port or without: "app.internal"`
}

func readSplit(b *block) []Share {
	var list []Share
	sum := 0
	entries := b.entries("split", `"app" = 95, "canary" = 5`)
	for _, e := range entries {
		b.uses = append(b.uses, use{e.name, e.nameAt})
		if e.value.IsNull() {
			b.wrongType(e.valueAt, "a share", e.value, fmt.Sprintf("Write: %q = 5", e.shown))
			continue
		}
		n, ok := b.integer("a share", e.value, e.valueAt)
		if !ok {
			continue
		}
		if n < 0 || n > limits.MaxConfiguredWeight {
			b.fail(e.valueAt, fmt.Sprintf("the share of %q = %d is out of range", e.shown, n), numberRange(0, limits.MaxConfiguredWeight))
			continue
		}
		sum += int(n)
		list = append(list, Share{Pool: e.name, Weight: int(n)})
	}
	if b.written("split") && sum == 0 && len(list) == len(entries) && !b.written("pool") {
		b.fail(b.place("split"), "split gives no pool a share", `Write: split = { "app" = 95, "canary" = 5 }`)
	}
	return list
}

func readRedirect(b *block, route *Route) *Redirect {
	if b == nil {
		return nil
	}
	t := defaultRedirect()
	t.Pos = b.pos(b.at)
	b.text("to", &t.To, optional(placeholders(route.placeholders()...)), headerValue, redirectTarget)
	b.require("to", t.To, "/new/{rest}")
	b.number("status", &t.Status, 300, 399)
	if !slices.Contains([]int{301, 302, 303, 307, 308}, t.Status) {
		b.fail(b.place("status"), fmt.Sprintf("status = %d is not a redirect", t.Status), "Write 301, 302, 303, 307 or 308.")
	}
	b.end()
	if route.Exact && strings.Contains(t.To, "{rest}") {
		b.warn(b.place("to"), "{rest} is always empty after an exact path", "Remove it, or make the route a prefix.")
	}
	return &t
}

func readRespond(b *block) *Respond {
	if b == nil {
		return nil
	}
	a := defaultRespond()
	a.Pos = b.pos(b.at)
	b.number("status", &a.Status, 200, 599)
	b.text("body", &a.Body)
	b.text("content_type", &a.ContentType, headerValue)
	b.end()
	if a.Body != "" && (a.Status == 204 || a.Status == 304) {
		b.fail(b.place("body"), fmt.Sprintf("a response with status %d has no body", a.Status), "Remove body, or write: status = 200")
	}
	return &a
}

// readPoolName reads the attribute by which a block uses a pool.
func readPoolName(b *block, to *string) {
	b.text("pool", to)
	if *to != "" {
		b.uses = append(b.uses, use{*to, b.place("pool")})
	}
}

// checkPools reports pools that do not exist, and pools that are not used.
func (r *reader) checkPools(pools *names) {
	known := slices.Sorted(maps.Keys(pools.at))
	used := make(map[string]bool)
	for _, u := range r.uses {
		used[u.name] = true
		if _, ok := pools.at[u.name]; ok {
			continue
		}
		remedy := fmt.Sprintf("Add it: pool %q { … }", u.name)
		if near := nearest(u.name, known); near != "" {
			remedy = fmt.Sprintf("Did you mean %q?", near)
		}
		r.fail(u.at, fmt.Sprintf("there is no pool %q", u.name), remedy)
	}
	for _, name := range known {
		if !used[name] {
			r.warn(pools.at[name], fmt.Sprintf("pool %q is not used", name), fmt.Sprintf("Use it in a route, proxy { pool = %q }, or remove it.", name))
		}
	}
}
