package filter

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"lb/message"
)

// CORSOptions say which web pages of other origins may use a route (the CORS protocol of the Fetch standard).
type CORSOptions struct {
	// Origins are "https://app.example.com", "https://*.example.com" for all names below, or "*" for all.
	Origins     []string
	Methods     []string      // none: GET, HEAD and POST
	Headers     []string      // that a page may send, beside those that are always allowed; "*": all
	Credentials bool          // a page may send cookies and passwords; not together with the origin "*"
	MaxAge      time.Duration // for which a browser remembers the response to a preflight request; 0: its own default
	// Refused, if not nil, is for OPTIONS requests that are not preflight requests, where the route does not allow that method.
	Refused *Refusal
}

// CORS responds to preflight requests and declares to browsers which pages may read a response. As a response filter it replaces the fields of
// the backend about that.
type CORS struct {
	CORSOptions
	all       bool // origins
	reflects  bool // any header that a preflight request asks for is allowed
	preflight *Refusal
}

var (
	otherOrigin = &Refusal{Status: http.StatusForbidden, Reason: "pages of this origin may not use the route", Rejected: "acl"}

	nameAllowOrigin      = message.NewName("Access-Control-Allow-Origin")
	nameAllowCredentials = message.NewName("Access-Control-Allow-Credentials")
	nameVary             = message.NewName("Vary")
)

// NewCORS returns the filter.
func NewCORS(o CORSOptions) *CORS {
	c := &CORS{CORSOptions: o}
	methods := o.Methods
	if len(methods) == 0 {
		methods = []string{"GET", "HEAD", "POST"}
	}
	fields := []message.Field{message.NewField("Access-Control-Allow-Methods", strings.Join(methods, ", "))}
	for _, origin := range o.Origins {
		c.all = c.all || origin == "*"
	}
	for _, header := range o.Headers {
		c.reflects = c.reflects || header == "*"
	}
	switch {
	case c.reflects:
		fields = append(fields, message.NewField("Vary", "Access-Control-Request-Headers"))
	case len(o.Headers) > 0:
		fields = append(fields, message.NewField("Access-Control-Allow-Headers", strings.Join(o.Headers, ", ")))
	}
	if o.MaxAge > 0 {
		fields = append(fields, message.NewField("Access-Control-Max-Age", strconv.Itoa(int(o.MaxAge.Seconds()))))
	}
	c.preflight = &Refusal{Status: http.StatusNoContent, Reason: "a preflight request of a page", Fields: fields, Whole: true}
	return c
}

// Request implements filter.Request.
func (c *CORS) Request(x Exchange) Verdict {
	r := x.Message()
	if string(r.Method) != http.MethodOptions {
		return Pass
	}
	origin := message.Named(r.Fields, "origin")
	if len(origin) == 0 || len(message.Named(r.Fields, "access-control-request-method")) == 0 {
		return Refuse(c.Refused)
	}
	if !c.allows(origin) {
		return Refuse(otherOrigin)
	}
	if wanted := message.Named(r.Fields, "access-control-request-headers"); c.reflects && len(wanted) > 0 {
		p := *c.preflight
		p.Fields = append(p.Fields[:len(p.Fields):len(p.Fields)], message.NewField("Access-Control-Allow-Headers", string(wanted)))
		return Refuse(&p)
	}
	return Refuse(c.preflight)
}

// Response implements filter.Response.
func (c *CORS) Response(x Exchange, r *message.Response, kind Kind) {
	kept := r.Fields[:0]
	for i := range r.Fields {
		if f := &r.Fields[i]; !message.EqualFold(f.Name, "access-control-allow-origin") && !message.EqualFold(f.Name, "access-control-allow-credentials") {
			kept = append(kept, *f)
		}
	}
	r.Fields = kept
	if kind == Interim {
		return
	}
	if c.all {
		r.AddBytes(nameAllowOrigin, []byte("*"))
		return
	}
	r.AddBytes(nameVary, []byte("Origin")) // also of a response without the field, which a cache must not give to other pages
	origin := message.Named(x.Message().Fields, "origin")
	if len(origin) == 0 || !c.allows(origin) {
		return
	}
	r.AddBytes(nameAllowOrigin, origin)
	if c.Credentials {
		r.AddBytes(nameAllowCredentials, []byte("true"))
	}
}

// allows reports whether pages of that origin may use the route.
func (c *CORS) allows(origin []byte) bool {
	if c.all {
		return true
	}
	for _, o := range c.Origins {
		if string(origin) == o {
			return true
		}
		before, after, wild := strings.Cut(o, "*")
		if n := len(origin) - len(after); wild && n > len(before) && string(origin[:len(before)]) == before && string(origin[n:]) == after && isName(origin[len(before):n]) {
			return true
		}
	}
	return false
}

// isName reports whether b consists of the characters of host names.
func isName(b []byte) bool {
	for _, c := range b {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}
