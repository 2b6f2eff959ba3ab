package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/net/idna"
)

func readSites(root *block) []Site {
	var list []Site
	sites, hosts := newNames("site"), newNames("host")
	var byDefault hcl.Range
	for _, b := range root.all("site", "its name") {
		s := Site{Pos: b.pos(b.at), Name: b.label}
		if s.Name == "" {
			b.fail(b.labelAt, "the name of the site is empty", `Give it a name for logs and metrics: site "clock" { … }`)
		}
		sites.claim(b.reader, s.Name, b.labelAt, "Rename one of them, or merge the two.")
		readHosts(b, &s, hosts)
		if len(s.Hosts) == 0 && !b.written("hosts") {
			if byDefault.Filename != "" {
				b.fail(b.at, "a second site without hosts", fmt.Sprintf("The default site is at %v. Give this one hosts = [\"…\"].", b.pos(byDefault)))
			} else {
				byDefault = b.at
			}
		}
		s.Maintenance = readMaintenance(b.one("maintenance"))
		s.ErrorPages = readErrorPages(b)
		s.Routes = readRoutes(b)
		b.end()
		list = append(list, s)
	}
	if len(root.find("site")) == 0 {
		root.fail(root.at, "there is no site block", `Add one: site "app" { … } with route "/" { … } inside`)
	}
	return list
}

// readHosts reads the names of a site; an empty list is the same as none.
func readHosts(b *block, s *Site, claimed *names) {
	values, places, ok := b.elements("hosts", `"clock.example.com"`)
	if !ok {
		return
	}
	if len(values) == 0 {
		delete(b.attributes, "hosts") // an empty list makes a default site, too
	}
	for i, v := range values {
		if v.IsNull() || sort(v) != "a string" {
			b.wrongType(places[i], "an entry of hosts", v, `Write strings in quotes: hosts = ["clock.example.com"]`)
			continue
		}
		host := v.AsString()
		if !b.passes("an entry of hosts", host, places[i], []textCheck{hostName}) {
			continue
		}
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		if claimed.claim(b.reader, host, places[i], "A host belongs to one site.") {
			s.Hosts = append(s.Hosts, host)
		}
	}
}

// hostName requires a name as in a Host field, without port, or "*." and such a name.
func hostName(s string) (problem, remedy string) {
	name := strings.TrimPrefix(s, "*.")
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && a.Zone() == "" && name == s {
		return "", ""
	}
	if validName(name) {
		return "", ""
	}
	problem = fmt.Sprintf("is not a host name: %q", s)
	if s == "*" || s == "" {
		return problem, "For the site that serves all other hosts, remove hosts."
	}
	if _, rest, ok := strings.Cut(name, "://"); ok {
		rest, _, _ = strings.Cut(rest, "/")
		return problem, fmt.Sprintf("Write only the name: %q", rest)
	}
	if host, _, ok := strings.Cut(name, ":"); ok && validName(host) {
		return problem, fmt.Sprintf("Write it without the port: %q", host)
	}
	if strings.Contains(name, "*") {
		return problem, `A star must be alone before the first dot: "*.example.org"`
	}
	if ascii, err := idna.Lookup.ToASCII(name); err == nil && validName(ascii) {
		return problem, fmt.Sprintf("Write it in its ASCII form: %q", ascii)
	}
	return problem, `Write a name: "clock.example.com" or "*.example.org"`
}

func readMaintenance(b *block) *Maintenance {
	if b == nil {
		return nil
	}
	m := &Maintenance{Pos: b.pos(b.at)}
	b.file("page", &m.Page)
	b.file("file", &m.File) // need not exist: its appearance is the signal
	b.end()
	b.checkReadable("page", m.Page)
	if !b.written("page") && !b.written("file") {
		b.fail(b.at, "maintenance needs page or file", `Write: page = "/var/www/maintenance.html"`)
	}
	return m
}

func readErrorPages(site *block) []ErrorPage {
	var list []ErrorPage
	statuses := newNames("error_page for status")
	for _, b := range site.all("error_page", "") {
		p := ErrorPage{Pos: b.pos(b.at)}
		values, places, ok := b.elements("status", "404")
		for i, v := range values {
			n, good := b.integer("an entry of status", v, places[i])
			if !good {
				continue
			}
			if n < 400 || n > 599 {
				b.fail(places[i], fmt.Sprintf("an error page for status %d", n), "Write statuses from 400 to 599: status = [404]")
				continue
			}
			if statuses.claim(b.reader, fmt.Sprint(n), places[i], "Keep one of them.") {
				p.Status = append(p.Status, int(n))
			}
		}
		if !b.written("status") || ok && len(values) == 0 {
			b.fail(b.place("status"), "error_page needs status", "Write: status = [404]")
		}
		b.file("file", &p.File)
		b.require("file", p.File, "/var/www/404.html")
		b.checkReadable("file", p.File)
		b.end()
		list = append(list, p)
	}
	return list
}

// readRoutes reads the routes of a site and reports those that never match.
func readRoutes(site *block) []Route {
	var list []Route
	seen := make(map[string]hcl.Range)    // by all conditions
	open := make(map[string][]*condition) // by pattern
	for _, b := range site.all("route", "its path") {
		t := readRoute(b)
		list = append(list, t)
		c := newCondition(&t, b.labelAt)
		key := c.key()
		if first, twice := seen[key]; twice {
			b.fail(b.labelAt, fmt.Sprintf("route %q appears twice", t.Pattern),
				fmt.Sprintf("The first is at %v. Keep one of them, or distinguish them by methods or headers.", b.pos(first)))
			continue
		}
		seen[key] = b.labelAt
		if by := c.shadowedBy(open[c.pattern]); by != nil {
			b.warn(b.labelAt, fmt.Sprintf("route %q can never match", t.Pattern),
				fmt.Sprintf("The route at %v matches all its requests. Move this one before it, or remove it.", b.pos(by.at)))
		}
		open[c.pattern] = append(open[c.pattern], c)
	}
	if len(site.find("route")) == 0 {
		site.fail(site.at, fmt.Sprintf("site %q has no route", site.label), `Add one inside: route "/" { … }`)
	}
	return list
}

// condition is when a route matches.
type condition struct {
	at      hcl.Range
	pattern string
	methods []string // sorted
	headers []string // "name\x00value", sorted
}

func newCondition(t *Route, at hcl.Range) *condition {
	c := &condition{at: at, pattern: t.Path, methods: slices.Sorted(slices.Values(t.Methods))}
	switch {
	case t.Exact:
		c.pattern = "= " + t.Path
	case t.isRegexp():
		c.pattern = "~ " + strings.TrimLeft(t.Pattern[1:], " ")
	}
	for _, q := range t.Query {
		c.headers = append(c.headers, "?"+q.Name+"\x00"+q.Value)
	}
	for _, h := range t.Headers {
		c.headers = append(c.headers, strings.ToLower(h.Name)+"\x00"+h.Value)
	}
	slices.Sort(c.headers)
	return c
}

func (c *condition) key() string { return fmt.Sprintf("%q %q %q", c.pattern, c.methods, c.headers) }

// shadowedBy returns an earlier condition for the same pattern that holds whenever c does, or the last of several
// that together cover c's methods.
func (c *condition) shadowedBy(earlier []*condition) *condition {
	left := slices.Clone(c.methods)
	for _, e := range earlier {
		if slices.ContainsFunc(e.headers, func(h string) bool { return !slices.Contains(c.headers, h) }) {
			continue
		}
		if len(e.methods) == 0 {
			return e
		}
		left = slices.DeleteFunc(left, func(m string) bool { return slices.Contains(e.methods, m) })
		if len(c.methods) > 0 && len(left) == 0 {
			return e
		}
	}
	return nil
}
