package exchange

import (
	"bytes"
	"net/http"

	"lb/filter"
	"lb/message"
	"lb/route"
)

// The refusals of requests that have no route.
var (
	noSite = &filter.Refusal{Status: http.StatusNotFound, Reason: "no site is configured for this host", Rejected: "no_site"}
	// badPath: CleanPath refuses it.
	badPath = &filter.Refusal{Status: http.StatusBadRequest, Reason: "the path cannot be decoded or leads out of the root", Rejected: "bad_request", Close: true}
	// noRoute: no rule matches the path and the fields.
	noRoute = &filter.Refusal{Status: http.StatusNotFound, Reason: "no route matches this path", Rejected: "no_route"}
)

// wrongMethod is the refusal where the rules that match refuse the method; allow is the value of the Allow field.
func wrongMethod(allow string) *filter.Refusal {
	return &filter.Refusal{
		Status: http.StatusMethodNotAllowed, Reason: "this route does not take the method", Rejected: "method",
		Fields: []message.Field{message.NewField("Allow", allow)},
	}
}

// wholeServer is the path that routes match for "OPTIONS *", which asks of the server as a whole
// (RFC 9110 section 9.3.7): what responds for everything responds to it.
var wholeServer = []byte("/")

// find looks for the site and the route of a request, and returns what keeps it from the route's action, if anything does. It
// changes nothing but the exchange.
func (x *Exchange) find() *filter.Refusal {
	if r := x.check(x.in.Filters); r != nil {
		return r
	}
	if r := x.check(x.site.Filters); r != nil {
		return r
	}
	clean, ok := route.CleanPath(x.cleanBuf, x.path)
	if !ok {
		return badPath
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
			return wrongMethod(allow)
		}
		return noRoute
	}
	x.rule, x.route = rule, rule.Action
	return x.check(x.route.Filters)
}

// check asks filters, in their order, until one refuses the request.
func (x *Exchange) check(filters []filter.Request) *filter.Refusal {
	for _, f := range filters {
		v := f.Request(x)
		if v.Ask != nil && x.explained == nil {
			v.Refusal = v.Ask()
		}
		if v.Refusal != nil && (x.explained == nil || !x.explained.overlooks(x, v.Refusal)) {
			return v.Refusal
		}
	}
	return nil
}

// refuse responds to a request that does not come to the action of a route.
func (x *Exchange) refuse(r *filter.Refusal) {
	x.handler.rejections.Inc(r.Rejected)
	if r.Close {
		x.client.Close()
	}
	x.Extra = append(x.Extra, r.Fields...)
	switch {
	case r.Location != nil:
		x.redirect(r.Status, r.Location)
	case r.Status == http.StatusServiceUnavailable:
		x.Unavailable(r.Reason)
	default:
		x.Refuse(r.Status, r.Reason)
	}
}

// Message implements filter.Exchange.
func (x *Exchange) Message() *message.Request { return x.Request }

// BodyTooLarge implements filter.Exchange.
func (x *Exchange) BodyTooLarge() bool { return x.explained == nil && x.client.BodyTooLarge() }

// own is a filter that knows more of an exchange than the others.
type own func(x *Exchange) *filter.Refusal

// Request implements filter.Request.
func (f own) Request(x filter.Exchange) filter.Verdict { return filter.Refuse(f(x.(*Exchange))) }

// The filters of listeners.
var (
	// Misdirected refuses requests on a connection that was opened, by TLS server name, for a name that
	// no site has while the request names another (RFC 9110 section 15.5.20).
	Misdirected filter.Request = own(misdirected)
	// RedirectHTTPS sends every request to https.
	RedirectHTTPS filter.Request = own(redirectHTTPS)
)

var wrongConnection = &filter.Refusal{
	Status: http.StatusMisdirectedRequest, Reason: "this connection was made for another host name", Rejected: "misdirected",
}

func misdirected(x *Exchange) *filter.Refusal {
	if name := x.in.ServerName; name == nil || bytes.Equal(x.host, name.name) || name.in(x.state) {
		return nil
	}
	return wrongConnection
}

func redirectHTTPS(x *Exchange) *filter.Refusal {
	if len(x.host) == 0 {
		return &filter.Refusal{
			Status: http.StatusBadRequest, Reason: "without a Host field there is no https address to go to", Rejected: "bad_request", Close: true,
		}
	}
	return &filter.Refusal{Status: http.StatusPermanentRedirect, Reason: "this listener sends everybody to https", Location: x.httpsLocation()}
}

// The filters of routes whose action gives the request to a backend.
var (
	// UnambiguousPath refuses paths that a backend could read as another rule's; see route.Paths.Ambiguous.
	UnambiguousPath filter.Request = own(unambiguousPath)
	// NoLoop refuses requests that have passed through this process too often.
	NoLoop filter.Request = own(noLoop)
)

var ambiguousPath = &filter.Refusal{
	Status: http.StatusBadRequest, Reason: "the path can be read in more than one way", Rejected: "ambiguous_path", Close: true,
}

func unambiguousPath(x *Exchange) *filter.Refusal {
	if _, ambiguous := x.ambiguous(); ambiguous {
		return ambiguousPath
	}
	return nil
}

// ambiguous reports whether a backend could read the path as one for which another rule stands.
func (x *Exchange) ambiguous() (a route.Ambiguity[*Route], ambiguous bool) {
	if route.Plain(x.path, x.clean) {
		return a, false
	}
	a, x.pathBuf, ambiguous = x.site.Paths.Ambiguous(x.pathBuf, x.path, x.clean, x.Request.Method, x.Request.Fields, x.rule)
	return a, ambiguous
}
