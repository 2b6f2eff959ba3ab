package exchange

import (
	"bytes"
	"net/http"

	"github.com/valyala/fasthttp"

	"lb/message"
	"lb/route"
)

// Redirect responds with another place to go. The query goes along.
type Redirect struct {
	To     route.Template
	Status int
}

// Serve implements Action.
func (r *Redirect) Serve(x *Exchange) { x.redirect(r.Status, r.location(x)) }

func (r *Redirect) location(x *Exchange) []byte {
	location := r.To.Append(nil, x.linkedPath(), x.rest())
	if word := []byte("x"); !isNetworkPath(r.To.Append(nil, word, word)) {
		location = onThisHost(location)
	}
	return append(location, x.query...)
}

// onThisHost makes one slash of those that location begins with, which come from what the client wrote:
// browsers take "//name", and "/\name" too, for another host.
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

// rest returns the path, as written, behind the rule's prefix; the clean path's if the two
// differ within the prefix.
func (x *Exchange) rest() []byte {
	prefix := x.route.Prefix
	if len(x.path) >= len(prefix) && string(x.path[:len(prefix)]) == prefix {
		return x.path[len(prefix):]
	}
	return appendEscaped(nil, x.clean[min(len(prefix), len(x.clean)):])
}

// linkedPath returns the path as a redirect names it. The star of "OPTIONS *" is none, and would become part of a host in front.
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

// ToSlash responds for the Slash of a rule.
type ToSlash struct{}

// Serve implements Action.
func (ToSlash) Serve(x *Exchange) { x.RedirectToSlash() }

// RedirectToSlash sends the client to the same path with a slash at its end, and the query: with 301, or for methods that
// clients would change into GET then with 308 (RFC 9110 sections 15.4.2 and 15.4.9).
func (x *Exchange) RedirectToSlash() { x.redirect(x.slashStatus(), x.slashLocation()) }

func (x *Exchange) slashStatus() int {
	if x.Head() || string(x.Request.Method) == http.MethodGet {
		return http.StatusMovedPermanently
	}
	return http.StatusPermanentRedirect
}

// slashLocation is made of the clean path, which begins with one slash and thus names no host.
func (x *Exchange) slashLocation() []byte {
	return append(append(appendEscaped(nil, x.clean), '/'), x.query...)
}

// httpsLocation returns where redirectHTTPS leads to. A client that names no port has connected to port 80 (RFC 9110
// section 4.2.1). Where the listener is on another one, something in front, such as the port mapping of a container, has
// other ports than lb, and 443 is assumed.
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

// Fixed responds with the same body each time.
type Fixed struct {
	status int
	handle Handle
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
func (f *Fixed) Serve(x *Exchange) { f.handle.Serve(x) }

// appendEscaped percent-encodes what may not stand in a path (RFC 3986 section 3.3).
func appendEscaped(dst, path []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range path {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '!', c == '$', c == '&', c == '\'', c == '(', c == ')',
			c == '*', c == '+', c == ',', c == ';', c == '=', c == ':', c == '@', c == '/':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
