package proxy

import (
	"bytes"
	"strings"

	"lb/message"
	"lb/route"
)

// request makes the request for the backend: the client's target and fields, without those for lb itself, and the forwarding fields.
func (f *Forward) request(x *Exchange) {
	out := &x.worker.outgoing
	out.Reset()
	out.Method = x.Request.Method
	out.Target = f.target(x)
	if message.Lookup(x.Request.Fields, message.Host) == nil {
		f.addHost(x)
	}
	f.addFields(x)
	x.addForwarded()
	x.addMark()
	if f.StripPrefix {
		x.addForwardedPrefix()
	}
	out.Fields = x.route.Request.Append(out.Fields)
	out.Fields = append(out.Fields, x.findings...)
	if b := &x.body; b.announced {
		out.Announced, out.Length, out.Continue = true, b.length, b.expected
	}
	switch {
	case !f.HTTP2:
		out.Upgrade = offered(x.Request.Upgrade)
	case x.asked(webSocket): // the only one that HTTP/2 has
		out.Upgrade = webSocket
	}
}

// unended reports whether the length of the body is not known in advance.
func (b *requestBody) unended() bool { return b.length < 0 }

// target returns the request target: the client's, byte for byte, unless the route rewrites it.
func (f *Forward) target(x *Exchange) []byte {
	if !f.StripPrefix && f.Rewrite.IsZero() || string(x.path) == "*" {
		return x.Request.Target
	}
	dst := x.pathBuf[:0]
	path := x.path
	if f.StripPrefix {
		path = x.rest()
		if len(path) == 0 || path[0] != '/' {
			path = append([]byte{'/'}, path...)
		}
		for len(path) > 1 && path[1] == '/' { // some backends would interpret what follows as a host
			path = path[1:]
		}
	}
	if f.Rewrite.IsZero() {
		dst = append(dst, path...)
	} else {
		dst = x.fill(dst, &f.Rewrite, path)
		for f.Rewrite.Captures() && len(dst) > 1 && dst[0] == '/' && dst[1] == '/' { // as above
			dst = dst[1:]
		}
	}
	x.pathBuf = append(dst, x.query...)
	return x.pathBuf
}

// addHost adds the Host field. An HTTP/1.0 client may send none, but requests to backends are HTTP/1.1, which requires it: then it
// is the address that the client connected to.
func (f *Forward) addHost(x *Exchange) {
	out, host := &x.worker.outgoing, x.Request.Authority
	switch {
	case f.Host != "":
		out.Add("Host", f.Host)
	case len(host) > 0:
		out.AddBytes(message.NameHost, host)
	default:
		name := "localhost"
		if local := x.client.Local(); local.IsValid() {
			name = local.String()
		}
		out.Add("Host", name)
	}
}

// addFields adds the client's fields that are forwarded to the backend, in their order.
func (f *Forward) addFields(x *Exchange) {
	out, rules, confirms := &x.worker.outgoing, &x.route.Request, x.replacesConditions()
	for i := range x.Request.Fields {
		field := &x.Request.Fields[i]
		switch kind := field.Kind; {
		case kind == message.Other: // most of them
		case kind == message.Host:
			f.addHost(x)
			continue
		case kind == message.CDNLoop: // forwarded even if Connection names it (RFC 8586 section 2)
			if !rules.Drops(field) {
				out.Fields = append(out.Fields, *field)
			}
			continue
		case kind == message.TE:
			out.Trailers = out.Trailers || takesTrailers(field.Value)
			continue
		case kind == message.Proxy, kind >= message.XForwardedFor && kind <= message.XRequestID,
			kind == message.ContentLengthField, kind == message.Expect, kind == message.Trailer && !x.body.unended(), (kind == message.Forwarded || kind == message.XForwarded) && !x.trusted:
			continue
		}
		if confirms && isCondition(field.Kind) {
			continue
		}
		if field.Hop || rules.Drops(field) || f.StripPrefix && isPrefixField(field) {
			continue
		}
		out.Fields = append(out.Fields, *field)
	}
	if confirms {
		x.addConditions()
	}
}

// takesTrailers reports whether a TE field says that its sender takes trailer fields (RFC 9110 section 10.1.4).
func takesTrailers(list []byte) bool {
	for len(list) > 0 {
		var item []byte
		if item, list = message.NextListItem(list); message.EqualFold(item, "trailers") {
			return true
		}
	}
	return false
}

// isPrefixField reports whether a field is X-Forwarded-Prefix.
func isPrefixField(f *message.Field) bool {
	return f.Kind == message.XForwarded && message.EqualFold(f.Name, "x-forwarded-prefix")
}

// addForwardedPrefix adds X-Forwarded-Prefix with the prefix that was removed from the path, without a slash at its end, so that the
// backend can generate correct links. It is appended to the prefix that a trusted proxy has removed. The route "/" removes nothing.
func (x *Exchange) addForwardedPrefix() {
	var prefix []byte
	if x.trusted {
		for i := range x.Request.Fields {
			if field := &x.Request.Fields[i]; isPrefixField(field) {
				prefix = append(prefix, bytes.TrimRight(field.Value, "/")...)
				break
			}
		}
	}
	if prefix = route.AppendEscaped(prefix, []byte(strings.TrimRight(x.route.Prefix, "/"))); len(prefix) > 0 {
		x.worker.outgoing.AddBytes(message.NewName("X-Forwarded-Prefix"), prefix)
	}
}

var https = []byte("https")

// addForwarded adds the fields that describe the client. Such fields of a peer that is not trusted are not forwarded.
func (x *Exchange) addForwarded() {
	out, fields := &x.worker.outgoing, x.Request.Fields
	if peer := x.in.Peer.Addr().Unmap(); peer.IsValid() {
		value := x.scratch[:0]
		if x.trusted {
			for i := range fields {
				if fields[i].Kind == message.XForwardedFor && len(fields[i].Value) > 0 {
					value = append(append(value, fields[i].Value...), ", "...)
				}
			}
		}
		x.scratch = peer.AppendTo(value)
		out.AddBytes(message.NameXForwardedFor, x.scratch)
		x.scratch = x.clientIP.AppendTo(x.scratch[:0])
		out.AddBytes(message.NameXRealIP, x.scratch)
	}
	proto := []byte(nil)
	host := []byte(nil)
	if x.trusted {
		proto = message.Lookup(fields, message.XForwardedProto)
		host = message.Lookup(fields, message.XForwardedHost)
	}
	switch {
	case len(proto) > 0:
		out.AddBytes(message.NameXForwardedProto, proto)
	case x.in.Secure:
		out.AddBytes(message.NameXForwardedProto, https)
	default:
		out.AddBytes(message.NameXForwardedProto, https[:len("http")])
	}
	if len(host) == 0 {
		host = x.Request.Authority
	}
	if len(host) > 0 {
		out.AddBytes(message.NameXForwardedHost, host)
	}
	if len(x.in.ClientCert) > 0 {
		out.AddBytes(message.NameClientCert, x.in.ClientCert)
	}
	out.AddBytes(message.NameXRequestID, x.id)
}
