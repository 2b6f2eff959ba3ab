package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
)

// gap is a part of the language that this version reads but does not serve.
type gap struct {
	path  string // of the block or attribute, as "site.route.proxy"
	value string // of the attribute, or the block's label; "" for any
	// effect makes the gap a warning only, and says what happens instead.
	effect string
	remedy string
}

// gaps are all parts of the language that this version does not serve.
var gaps = [...]gap{
	{path: "listen.tls.acme", remedy: "Remove the block, and use files: certificate { cert, key }."},
	{path: "listen.tls.http2", value: "true", effect: "clients get HTTP/1.1", remedy: "Remove the attribute, or write: http2 = false"},
	{path: "site.route.basic_auth", remedy: "Remove the block, and restrict the route with allow = [\"10.0.0.0/8\"], or let the backend ask for the password."},
	{path: "site.route.rate_limit", remedy: "Remove the block, and limit clients with limits { connections_per_ip }, or backends with max_conns."},
	{path: "site.route.static.browse", value: "true", remedy: "Write browse = false, and put an index.html into each directory."},
	{path: "site.route.static.compress", value: "true", effect: "files are sent as they are", remedy: "Remove the attribute, or write: compress = false"},
}

// flagNotServed reads a flag that this version does not serve. It sets the flag to false, so that the configuration
// in force does not claim what lb does not do.
func (b *block) flagNotServed(name string, to *bool) {
	b.flag(name, to)
	if !b.everything {
		*to = false
	}
}

// available reports a block or attribute that this version does not serve. It returns false if there is no use in
// reading it.
func (r *reader) available(path, value string, at hcl.Range) bool {
	if r.everything {
		return true
	}
	for _, g := range gaps {
		if g.path != path || g.value != "" && g.value != value {
			continue
		}
		what := path
		if g.value != "" {
			what = fmt.Sprintf("%s %q", path, value)
		}
		if g.effect != "" {
			r.warn(at, fmt.Sprintf("%s is not available in this version: %s", what, g.effect), g.remedy)
			return true
		}
		r.fail(at, what+" is not available in this version", g.remedy)
		return false
	}
	return true
}
