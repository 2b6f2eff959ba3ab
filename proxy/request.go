package proxy

import (
	"bytes"
	"strings"
	"time"

	"lb/filter"
	"lb/message"
	"lb/pool"
	"lb/transport"
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
	if b := &x.body; b.framed {
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
	case x.client.LocalAddr().Network() == "tcp":
		out.Add("Host", x.client.LocalAddr().String())
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
		x.outgoing.Add("X-Forwarded-Prefix", string(prefix))
	}
}

var https = []byte("https")

// addForwarded adds what the backend is told of the client. What a peer that is not trusted
// says of itself is not passed on.
func (x *Exchange) addForwarded() {
	out, fields := &x.outgoing, x.Request.Fields
	if peer := x.client.Peer().Addr().Unmap(); peer.IsValid() {
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

// ask sends the request to b on conn and waits for the head of the final response, which is then in
// conn.Head. Heads of status 1xx that come before are passed on. upload is nil unless a body
// is still on its way. The error may be errResting; begin is when the request began to be sent.
func (f *Forward) ask(x *Exchange, b *pool.Backend, conn *transport.Conn, begin time.Time) (up *upload, err error) {
	var sendErr error
	out, kept := &x.outgoing, x.body.kept
	switch {
	case !x.body.streamed:
		sendErr, err = conn.Ask(out, kept, x.client.Trailers())
	case x.body.expected:
		if sendErr = conn.Begin(out, nil); sendErr == nil { // the backend is asked first
			wanted, err := x.bodyWanted(conn)
			if !wanted {
				return nil, err
			}
			up = x.startUpload(conn)
		}
	default:
		if sendErr = conn.Begin(out, kept); sendErr == nil {
			up = x.startUpload(conn)
		}
	}
	if up != nil {
		return up, f.await(x, b, conn, up, begin, x.awaitHead(conn, up))
	}
	if x.body.streamed {
		err = conn.ReadHead(x.Head())
	}
	err = f.await(x, b, conn, nil, begin, err)
	if err != nil && sendErr != nil && !conn.Responded() {
		err = sendErr // it says more: perhaps nothing was sent
	}
	return nil, err
}

// awaitHead waits for a head while the body is on its way, or until the request may rest.
func (x *Exchange) awaitHead(conn *transport.Conn, up *upload) error {
	rest := x.restAfter()
	if conn.Plain() == nil || !x.body.live() { // it cannot
		rest = conn.ResponseTimeout()
	}
	return conn.AwaitHead(x.Head(), up.patience(conn.ResponseTimeout(), rest))
}

// await goes on with ask after a wait for a head, with what came of that.
func (f *Forward) await(x *Exchange, b *pool.Backend, conn *transport.Conn, up *upload, begin time.Time, err error) error {
	for ; ; err = conn.NextHead(x.Head()) {
		for isTimeout(err) && !up.over(conn.ResponseTimeout()) && !x.departure.happened() {
			if f.rest(x, b, conn, up, begin) {
				return errResting
			}
			// The wait for the response begins with the request's end, and interim heads do not renew it.
			err = x.awaitHead(conn, up)
		}
		if err != nil {
			return err
		}
		status := conn.Response().Status
		if status >= 200 || status == 101 {
			return x.client.SendInterim(nil, false) // its error is no *transport.Error, so it is not the backend's
		}
		if status != 100 && x.Request.Interim { // a 100 is sent by the front, if the client asked for one
			if err := x.inform(conn); err != nil {
				return err
			}
		}
	}
}

// expectWait is how long a backend may take to say whether it wants the body. One that knows nothing of
// 100-continue says nothing before it has it (RFC 9110 section 10.1.1).
const expectWait = 500 * time.Millisecond

// bodyWanted waits for the backend to ask for the body, or not to do so for long enough. If
// it is not wanted, conn.Head has the final response, or err says what is wrong.
func (x *Exchange) bodyWanted(conn *transport.Conn) (bool, error) {
	for err := conn.AwaitHead(x.Head(), expectWait); ; err = conn.NextHead(x.Head()) {
		switch {
		case err != nil:
			return isTimeout(err) && !x.departure.happened(), err
		case conn.Response().Status == 100:
			err := x.client.SendInterim(nil, false)
			return err == nil, err
		case conn.Response().Status >= 200 || conn.Response().Status == 101:
			return false, x.client.SendInterim(nil, false)
		}
		if err := x.inform(conn); err != nil {
			return false, err
		}
	}
}

// inform passes an interim response on, at once unless the next head is there already: a backend that sends thousands does not
// cost a write for each.
func (x *Exchange) inform(conn *transport.Conn) error {
	x.informed = true
	in := conn.Response()
	x.response.Reset(in.Status)
	x.response.Reason = in.Reason
	x.addOriginFields(in)
	x.filterResponse(filter.Interim)
	return x.client.SendInterim(&x.response, conn.HeadBuffered())
}

func isTimeout(err error) bool {
	e, ok := err.(*transport.Error)
	return ok && e.Cause == transport.TimedOut
}
