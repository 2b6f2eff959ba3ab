package proxy

import (
	"net/http"

	"lb/route"
)

// obstacle is what keeps a request from the action of a route.
type obstacle uint8

const (
	noObstacle       obstacle = iota
	noSite                    // no site has the host, and there is no default
	wrongConnection           // see misdirected
	plainConnection           // the listener sends everybody to https
	underMaintenance          // the site's maintenance file exists
	badPath                   // CleanPath refuses it
	noRoute                   // no rule matches the path and the fields
	wrongMethod               // the rules that do refuse the method
	deniedClient              // the rule refuses the client's address
	ambiguousPath             // a backend could read it as another rule's; see route.Paths.Ambiguous
)

// status is what the client is answered with.
func (o obstacle) status() int {
	switch o {
	case wrongConnection:
		return http.StatusMisdirectedRequest
	case plainConnection:
		return http.StatusPermanentRedirect
	case underMaintenance:
		return http.StatusServiceUnavailable
	case badPath, ambiguousPath:
		return http.StatusBadRequest
	case wrongMethod:
		return http.StatusMethodNotAllowed
	case deniedClient:
		return http.StatusForbidden
	}
	return http.StatusNotFound
}

// words say the same to a person.
func (o obstacle) words() string {
	switch o {
	case noSite:
		return "no site is configured for this host"
	case wrongConnection:
		return "this connection was made for another host name"
	case plainConnection:
		return "this listener sends everybody to https"
	case underMaintenance:
		return "the site is under maintenance"
	case badPath:
		return "the path cannot be decoded or leads out of the root"
	case wrongMethod:
		return "this route does not take the method"
	case deniedClient:
		return "this address may not use the route"
	case ambiguousPath:
		return "the path can be read in more than one way"
	}
	return "no route matches this path"
}

// find looks for the route of a request within its site, and says what is in the way, if anything is;
// allow is the value of an Allow field for wrongMethod. It changes nothing but the exchange.
func (x *Exchange) find() (o obstacle, allow string) {
	if x.misdirected() {
		return wrongConnection, ""
	}
	if x.in.RedirectHTTPS {
		return plainConnection, ""
	}
	if m := x.site.Maintenance; m != nil && m.On != nil && m.On.Load() {
		return underMaintenance, ""
	}
	clean, ok := route.CleanPath(x.cleanBuf, x.path)
	if !ok {
		return badPath, ""
	}
	if len(clean) > 0 && &clean[0] != &x.path[0] {
		x.cleanBuf = clean
	}
	if string(clean) == "*" {
		clean = wholeServer
	}
	x.clean = clean
	rule, allow := x.site.Paths.Match(clean, x.Request.Method, x.Request.Fields)
	if rule == nil {
		if allow != "" {
			return wrongMethod, allow
		}
		return noRoute, ""
	}
	x.rule, x.route = rule, rule.Action
	if !rule.Access.Permits(x.clientIP) {
		return deniedClient, ""
	}
	if _, ambiguous := x.ambiguous(); ambiguous {
		return ambiguousPath, ""
	}
	return noObstacle, ""
}

// ambiguous reports whether a backend could read the path as one for which another rule stands.
func (x *Exchange) ambiguous() (a route.Ambiguity[*Route], ambiguous bool) {
	if x.route.Local || route.Plain(x.path, x.clean) {
		return a, false
	}
	a, x.pathBuf, ambiguous = x.site.Paths.Ambiguous(x.pathBuf, x.path, x.clean, x.Request.Method, x.Request.Fields, x.rule)
	return a, ambiguous
}
