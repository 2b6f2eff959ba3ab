package proxy

import (
	"bytes"
	"net/http"
	"strconv"

	"lb/filter"
	"lb/internal/limits"
	"lb/message"
	"lb/route"
)

// The refusals of requests that have no route.
var (
	noSite = &filter.Refusal{Status: http.StatusNotFound, Reason: "no site is configured for this host", Rejected: "no_site"}
	// badPath is for a path that CleanPath rejects.
	badPath = &filter.Refusal{Status: http.StatusBadRequest, Reason: "the path cannot be decoded or leads out of the root", Rejected: "bad_request", Close: true}
	// longPath is for a path that would take long to match with the regular expressions of a site.
	longPath = &filter.Refusal{Status: http.StatusRequestURITooLong, Reason: "the path is too long", Rejected: "long_path"}
	// noRoute is for a request whose path and fields no rule matches.
	noRoute = &filter.Refusal{Status: http.StatusNotFound, Reason: "no route matches this path", Rejected: "no_route"}
)

// WrongMethod is for a request whose path matches only rules with other methods. allow is the value of the Allow field.
func WrongMethod(allow string) *filter.Refusal {
	return &filter.Refusal{
		Status: http.StatusMethodNotAllowed, Reason: "this route does not allow this method", Rejected: "method",
		Fields: []message.Field{message.NewField("Allow", allow)},
	}
}

// wholeServer is the path of "OPTIONS *", which applies to the server as a whole (RFC 9110 section 9.3.7): the route for everything
// responds to it.
var wholeServer = []byte("/")

// searchStep is how far the search for the route has come. Each step asks filters.
type searchStep uint8

const (
	ofListener searchStep = iota // the filters of the listener
	ofSite                       // those of the site
	ofRoute                      // those of the route, which has been found
)

// find looks for the route of a request. It returns what keeps the request from the route's action, if anything does: a refusal, or
// a question to be asked first, upon which find goes on behind the filter that asks. It changes nothing but the exchange.
func (x *Exchange) find() filter.Verdict {
	for {
		if v := x.check(); v.Refusal != nil || v.Ask != nil {
			return v
		}
		switch x.search {
		case ofListener:
			x.search = ofSite
		case ofSite:
			if r := x.match(); r != nil {
				return filter.Refuse(r)
			}
			x.search = ofRoute
		case ofRoute:
			return filter.Pass
		}
		x.passed = 0
	}
}

// match finds the route by the path, the method and the fields.
func (x *Exchange) match() *filter.Refusal {
	if len(x.path) > limits.RegexpPath && x.site.Paths.HasRegexps() {
		return longPath
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
	rule, allow := x.site.Paths.Match(clean, x.Request.Method, x.Request.Fields, x.query)
	if rule == nil {
		if allow != "" {
			return WrongMethod(allow)
		}
		return noRoute
	}
	x.rule, x.route = rule, rule.Action
	return nil
}

// check asks the filters of the present step, in their order, until one does not let the request pass.
func (x *Exchange) check() filter.Verdict {
	filters := x.in.Filters
	switch x.search {
	case ofSite:
		filters = x.site.Filters
	case ofRoute:
		filters = x.route.Filters
	}
	for x.passed < len(filters) {
		f := filters[x.passed]
		x.passed++
		if x.explained != nil {
			if r := x.explained.ask(x, f); r != nil {
				return filter.Refuse(r)
			}
			continue
		}
		v := f.Request(x)
		if v.Refusal != nil {
			return v
		}
		if v.Hold.By != nil {
			x.reserved = append(x.reserved, v.Hold)
		}
		if v.Ask != nil {
			return v
		}
		x.grant(v.Grant)
	}
	return filter.Pass
}

// grant notes what a filter has found out about the request that it has let pass; nil: nothing.
func (x *Exchange) grant(g *filter.Grant) {
	if g == nil {
		return
	}
	if g.User != "" {
		x.user = g.User
	}
	if g.Claims != nil {
		x.claims = g.Claims
	}
	x.findings = append(x.findings, g.Fields...)
}

// giveBack releases what filters have reserved for the exchange, if that was not done yet. It is called before the last piece of a
// response is sent: a client that has the whole response may send its next request at once, on another connection.
func (x *Exchange) giveBack() {
	for _, h := range x.reserved {
		h.By.Release(h.Key)
	}
	clear(x.reserved)
	x.reserved = x.reserved[:0]
}

// refuse responds to a request that does not reach the action of a route.
func (x *Exchange) refuse(r *filter.Refusal) {
	x.handler.rejections.Inc(r.Rejected)
	if r.Close {
		x.client.Close()
	}
	x.Extra = append(x.Extra, r.Fields...)
	switch {
	case r.Whole:
		x.Respond(r.Status, lengthField(r), r.Body)
	case r.Location != nil:
		x.redirect(r.Status, r.Location)
	case r.Status == http.StatusServiceUnavailable:
		x.Unavailable(r.Reason)
	default:
		x.Refuse(r.Status, r.Reason)
	}
}

// lengthField returns the field with the length of a whole response, if its status allows a body.
func lengthField(r *filter.Refusal) []message.Field {
	if r.Status == http.StatusNoContent || r.Status == http.StatusNotModified {
		return nil
	}
	return []message.Field{message.NewField("Content-Length", strconv.Itoa(len(r.Body)))}
}

// Message implements filter.Exchange.
func (x *Exchange) Message() *message.Request { return x.Request }

// BodyTooLarge implements filter.Exchange.
func (x *Exchange) BodyTooLarge() bool { return x.explained == nil && x.client.BodyTooLarge() }

// Claims implements filter.Exchange.
func (x *Exchange) Claims() map[string][]byte { return x.claims }

// exchangeFilter is a filter that needs more of an exchange than filter.Exchange provides.
type exchangeFilter func(x *Exchange) *filter.Refusal

// Request implements filter.Request.
func (f exchangeFilter) Request(x filter.Exchange) filter.Verdict {
	return filter.Refuse(f(x.(*Exchange)))
}

// The filters of listeners.
var (
	// Misdirected refuses a request whose host differs from the connection's TLS server name if no site has that server name
	// (RFC 9110 section 15.5.20).
	Misdirected filter.Request = exchangeFilter(misdirected)
	// RedirectHTTPS redirects every request to https.
	RedirectHTTPS filter.Request = exchangeFilter(redirectHTTPS)
)

var wrongConnection = &filter.Refusal{
	Status: http.StatusMisdirectedRequest, Reason: "this connection was opened for another host name", Rejected: "misdirected",
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
			Status: http.StatusBadRequest, Reason: "a request without a Host field cannot be redirected to https", Rejected: "bad_request", Close: true,
		}
	}
	return &filter.Refusal{Status: http.StatusPermanentRedirect, Reason: "this listener redirects to https", Location: x.httpsLocation()}
}

// The filters of routes that forward requests to a backend.
var (
	// UnambiguousPath refuses paths that a backend could interpret so that they match another rule; see route.Paths.Ambiguous.
	UnambiguousPath filter.Request = exchangeFilter(unambiguousPath)
	// NoLoop refuses requests that have passed through this process too often.
	NoLoop filter.Request = exchangeFilter(noLoop)
)

var ambiguousPath = &filter.Refusal{
	Status: http.StatusBadRequest, Reason: "the path can be interpreted in more than one way", Rejected: "ambiguous_path", Close: true,
}

func unambiguousPath(x *Exchange) *filter.Refusal {
	if _, ambiguous := x.ambiguous(); ambiguous {
		return ambiguousPath
	}
	return nil
}

// ambiguous reports whether a backend could interpret the path so that it matches another rule.
func (x *Exchange) ambiguous() (a route.Ambiguity[*Route], ambiguous bool) {
	if route.Plain(x.path, x.clean) {
		return a, false
	}
	a, x.pathBuf, ambiguous = x.site.Paths.Ambiguous(x.pathBuf, x.path, x.clean, x.Request.Method, x.Request.Fields, x.query, x.rule)
	return a, ambiguous
}
