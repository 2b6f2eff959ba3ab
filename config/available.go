package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
)

// gap is a part of the language that this version reads but does not serve.
type gap struct {
	path   string // of the block or attribute, as "site.route.proxy"
	value  string // of the attribute, or the block's label; "" for any
	remedy string
}

// gaps are all parts of the language that this version does not serve.
var gaps = [...]gap{
	{path: "listen.tls.acme.dns.provider", remedy: "Write exec = \"/etc/lb/dns-01\" instead: a program that sets the record at your provider."},
	{path: "listen.tls.acme.dns.token", remedy: "Remove it: the program of exec has its own."},
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
		r.fail(at, what+" is not available in this version", g.remedy)
		return false
	}
	return true
}
