package exchange

import (
	"bytes"
	"strings"

	"lb/message"
)

// request makes the request as the backend gets it: the client's target, its fields without those meant for us, and ours.
func (f *Forward) request(x *Exchange) {
	out := &x.outgoing
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
	if b := &x.body; b.announced {
		out.Announced, out.Length, out.Continue = true, b.length, b.expected
	}
	out.Upgrade = offered(x.Request.Upgrade)
}

// unended reports whether only the end of the body tells how long it is.
func (b *requestBody) unended() bool { return b.length < 0 }

// target returns the request target: the client's byte for byte unless the route rewrites it.
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
		for len(path) > 1 && path[1] == '/' { // some would take what follows for a host
			path = path[1:]
		}
	}
	if f.Rewrite.IsZero() {
		dst = append(dst, path...)
	} else {
		dst = f.Rewrite.Append(dst, path, x.rest())
	}
	x.pathBuf = append(dst, x.query...)
	return x.pathBuf
}

// addHost adds the Host field. An HTTP/1.0 client may send none, but a backend is spoken to in
// HTTP/1.1, which must have one: then it names the address that the client came to.
func (f *Forward) addHost(x *Exchange) {
	out, host := &x.outgoing, x.Request.Authority
	switch {
	case f.Host != "":
		out.Add("Host", f.Host)
	case len(host) > 0:
		out.AddBytes(message.NameHost, host)
	case x.in.Local.IsValid():
		out.Add("Host", x.in.Local.String())
	default:
		out.Add("Host", "localhost")
	}
}

// addFields adds the client's fields that go on to the backend, in their order.
func (f *Forward) addFields(x *Exchange) {
	out, rules := &x.outgoing, &x.route.Request
	for i := range x.Request.Fields {
		field := &x.Request.Fields[i]
		switch kind := field.Kind; {
		case kind == message.Other: // most of them
		case kind == message.Host:
			f.addHost(x)
			continue
		case kind == message.CDNLoop: // no Connection field can take it away (RFC 8586 section 2)
			if !rules.Drops(field) {
				out.Fields = append(out.Fields, *field)
			}
			continue
		case kind == message.Proxy, kind >= message.XForwardedFor && kind <= message.XRequestID,
			kind == message.ContentLengthField, kind == message.Expect, kind == message.Trailer && !x.body.unended(), (kind == message.Forwarded || kind == message.XForwarded) && !x.trusted:
			continue
		}
		if field.Hop || rules.Drops(field) || f.StripPrefix && isPrefixField(field) {
			continue
		}
		out.Fields = append(out.Fields, *field)
	}
}

// isPrefixField reports whether a field is X-Forwarded-Prefix.
func isPrefixField(f *message.Field) bool {
	return f.Kind == message.XForwarded && message.EqualFold(f.Name, "x-forwarded-prefix")
}

// addForwardedPrefix adds the prefix that was cut from the path, without the slash at its end, so that the backend can make
// links that lead back here. It follows the one that a trusted proxy has cut before. Nothing is cut by the route "/".
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
	if prefix = appendEscaped(prefix, []byte(strings.TrimRight(x.route.Prefix, "/"))); len(prefix) > 0 {
		x.outgoing.AddBytes(message.NewName("X-Forwarded-Prefix"), prefix)
	}
}

var https = []byte("https")

// addForwarded adds what the backend is told of the client. What a peer that is not trusted
// says of itself is not passed on.
func (x *Exchange) addForwarded() {
	out, fields := &x.outgoing, x.Request.Fields
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
	out.AddBytes(message.NameXRequestID, x.id)
}
