package proxy

import (
	"bytes"
	"net/http"

	"github.com/valyala/fasthttp"

	"lb/filter"
	"lb/message"
	"lb/route"
)

// Redirect responds with a redirect. The query is kept.
type Redirect struct {
	To     route.Template
	Status int
}

// Serve implements Action.
func (r *Redirect) Serve(x *Exchange) { x.redirect(r.Status, r.location(x)) }

func (r *Redirect) location(x *Exchange) []byte {
	location := x.fill(nil, &r.To, x.linkedPath())
	if word := []byte("x"); !isNetworkPath(r.To.Append(nil, word, word)) {
		location = onThisHost(location)
	}
	return append(location, x.query...)
}

// fill appends a template of the route.
func (x *Exchange) fill(dst []byte, t *route.Template, path []byte) []byte {
	if !t.Captures() {
		return t.Append(dst, path, x.rest())
	}
	if x.groups == nil {
		x.groups = x.rule.Regexp.FindSubmatchIndex(x.clean)
	}
	return t.AppendMatch(dst, path, x.rest(), x.clean, x.groups)
}

var leadsOut = &filter.Refusal{Status: http.StatusBadRequest, Reason: "the rewritten path would lead to another directory", Rejected: "bad_request", Close: true}

// RewriteWithin returns a filter that refuses requests whose rewritten path has a dot segment, which groups of a regular expression can
// form together.
func RewriteWithin(t route.Template) filter.Request {
	return exchangeFilter(func(x *Exchange) *filter.Refusal {
		for segment := range bytes.SplitSeq(x.fill(nil, &t, x.path), []byte{'/'}) {
			if string(segment) == "." || string(segment) == ".." {
				return leadsOut
			}
		}
		return nil
	})
}

// onThisHost reduces the slashes at the start of location to one. They come from the client, and browsers interpret "//name" and
// "/\name" as another host.
func onThisHost(location []byte) []byte {
	for isNetworkPath(location) {
		location = location[1:]
		location[0] = '/'
	}
	return location
}

func isNetworkPath(b []byte) bool {
	return len(b) > 1 && (b[0] == '/' || b[0] == '\\') && (b[1] == '/' || b[1] == '\\')
}

// rest returns what follows the route's prefix in the path as the client sent it, or in the clean path if the two differ within the
// prefix.
func (x *Exchange) rest() []byte {
	prefix := x.route.Prefix
	if len(x.path) >= len(prefix) && string(x.path[:len(prefix)]) == prefix {
		return x.path[len(prefix):]
	}
	return route.AppendEscaped(nil, x.clean[min(len(prefix), len(x.clean)):])
}

// linkedPath returns the path for a redirect. The star of "OPTIONS *" is not a path, and would become part of a preceding host.
func (x *Exchange) linkedPath() []byte {
	if string(x.path) == "*" {
		return wholeServer
	}
	return x.path
}

var noBytes = message.NewField("Content-Length", "0")

func (x *Exchange) redirect(status int, location []byte) {
	x.Respond(status, []message.Field{message.NewField("Location", string(location)), noBytes}, nil)
}

// ToSlash is the action of a rule that adds a slash, see route.Rule.
type ToSlash struct{}

// Serve implements Action.
func (ToSlash) Serve(x *Exchange) { x.RedirectToSlash() }

// RedirectToSlash redirects to the same path with a slash added, and the query. The status is 301 for GET and HEAD, and 308 for
// other methods, which clients might change to GET after a 301 (RFC 9110 sections 15.4.2 and 15.4.9).
func (x *Exchange) RedirectToSlash() { x.redirect(x.slashStatus(), x.slashLocation()) }

func (x *Exchange) slashStatus() int {
	if x.Head() || string(x.Request.Method) == http.MethodGet {
		return http.StatusMovedPermanently
	}
	return http.StatusPermanentRedirect
}

// slashLocation uses the clean path, which begins with a single slash and so cannot name a host.
func (x *Exchange) slashLocation() []byte {
	return append(append(route.AppendEscaped(nil, x.clean), '/'), x.query...)
}

// httpsLocation returns the target of redirectHTTPS. A client whose Host has no port has connected to port 80 (RFC 9110
// section 4.2.1). If the listener is on another port, something in front, such as a container's port mapping, changes ports, and
// 443 is assumed.
func (x *Exchange) httpsLocation() []byte {
	location := append([]byte("https://"), x.host...)
	if namesPort(x.Request.Authority) || x.in.OnPort80 {
		location = append(location, x.in.HTTPSPort...)
	}
	location = append(location, x.linkedPath()...)
	return append(location, x.query...)
}

func namesPort(authority []byte) bool {
	colon := bytes.LastIndexByte(authority, ':')
	return colon > bytes.LastIndexByte(authority, ']') && colon+1 < len(authority)
}

// Fixed responds with a fixed body.
type Fixed struct {
	status int
	handle fasthttp.RequestHandler // which does not block
}

// NewFixed returns an action that responds with that body.
func NewFixed(status int, contentType, body string) *Fixed {
	return &Fixed{status, func(ctx *fasthttp.RequestCtx) {
		ctx.SetStatusCode(status)
		if contentType != "" {
			ctx.SetContentType(contentType)
		}
		ctx.SetBodyString(body)
	}}
}

// Serve implements Action.
func (f *Fixed) Serve(x *Exchange) {
	c := contexts.Get().(*requestContext)
	defer c.release()
	if err := c.fill(x.Request); err != nil {
		x.failHandler(err)
		return
	}
	f.handle(&c.ctx)
	x.respondHandled(c, &c.ctx.Response, false)
}
