package cache

import (
	"lb/message"
)

// Request is a request as the cache sees it.
type Request struct {
	Head        *message.Request
	Path, Query []byte // of the target, as the client sent them
	Secure      bool   // received by TLS
	Trusted     bool   // the peer is a trusted proxy, whose X-Forwarded-* fields the backend gets
	Certified   bool   // with a verified client certificate, of which the backend learns
	// Found are fields that the backend gets beside those of the head, such as the name of the user. The response to a request with such
	// fields may be for one user alone.
	Found []message.Field
	Now   int64 // Unix time in nanoseconds
}

// asked is what the cache reads in the head of a request.
type asked struct {
	method                   method
	bypass                   bool // the backend may read more from the request than its key has
	authorized               bool // the response may be for one user alone
	cookie                   bool // with a Cookie field
	conditional, ranged      bool
	noStore, noCache         bool
	onlyIfCached             bool
	maxAge, minFresh, maxOld int64 // seconds; none if absent
}

// method classes the methods.
type method uint8

const (
	methodGet method = iota
	methodHead
	methodSafe   // another one that changes nothing
	methodUnsafe // one that may change something, or is not known
)

func methodOf(b []byte) method {
	switch string(b) {
	case "GET":
		return methodGet
	case "HEAD":
		return methodHead
	case "OPTIONS", "TRACE", "CONNECT":
		return methodSafe
	}
	return methodUnsafe
}

// ask reads the head of a request.
func ask(q *Request) asked {
	a := asked{method: methodOf(q.Head.Method), authorized: q.Certified || len(q.Found) > 0, maxAge: none, minFresh: none, maxOld: none}
	a.bypass = q.Head.Length != 0 || q.Head.Upgrade != nil
	control, pragma := noControl(), false
	for i := range q.Head.Fields {
		f := &q.Head.Fields[i]
		switch f.Kind {
		case message.Other:
		case message.IfNoneMatch, message.IfModifiedSince:
			a.conditional = true
			continue
		case message.IfMatch, message.IfUnmodifiedSince: // only the origin can evaluate these (RFC 9111 section 4.3.2)
			a.bypass = true
			continue
		case message.Range:
			a.ranged = true
			continue
		default:
			continue
		}
		switch len(f.Name) {
		case len("cookie"): // and of "pragma"
			if message.EqualFold(f.Name, "cookie") {
				a.cookie = true
			} else if message.EqualFold(f.Name, "pragma") {
				pragma = pragma || hasNoCache(f.Value)
			}
		case len("cache-control"): // and of "authorization"
			if message.EqualFold(f.Name, "cache-control") {
				control.add(f.Value)
			} else if message.EqualFold(f.Name, "authorization") {
				a.authorized = true
			}
		}
		if !a.bypass && overrides(f.Name) {
			a.bypass = true
		}
	}
	a.noStore, a.onlyIfCached = control.noStore, control.onlyIfCached
	a.noCache = control.noCache || pragma && !control.any // RFC 9111 section 5.4
	a.minFresh, a.maxOld = control.minFresh, control.maxStale
	if a.maxAge = control.maxAge; a.maxAge == 0 {
		a.noCache = true
	}
	return a
}

func hasNoCache(list []byte) bool {
	c := noControl()
	c.add(list)
	return c.noCache
}

// overriding are the fields by which some frameworks take another method, path or host than those of the request. A request with one of
// them bypasses the cache: its response may not be that of its key.
var overriding = [...]string{
	"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url", "x-original-uri",
	"x-original-host", "x-host", "x-http-host-override", "x-override-url", "x-url-scheme", "front-end-https",
}

// overrides reports whether a field is one of those, also with underscores or dots, which some applications read as dashes.
func overrides(name []byte) bool {
	if len(name) < len("x-host") || name[0]|0x20 != 'x' && name[0]|0x20 != 'f' {
		return false
	}
	for _, o := range overriding {
		if sameName(name, o) {
			return true
		}
	}
	return false
}

// sameName compares names without regard to case, with "_" and "." as "-".
func sameName(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		switch {
		case c == '_' || c == '.':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
