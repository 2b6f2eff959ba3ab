package proxy

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"lb/internal/wire"
	"lb/pool"
	"lb/transport"
)

// request appends the request as the backend gets it: our own request line with the
// client's target, its fields without those meant for us, ours, and what is kept of its body.
func (f *Forward) request(x *Exchange, dst []byte) []byte {
	dst = append(dst, x.Method...)
	dst = append(dst, ' ')
	dst = f.target(x, dst)
	dst = append(dst, " HTTP/1.1\r\n"...)
	if wire.Lookup(x.Fields, wire.Host) == nil {
		dst = f.hostField(x, dst)
	}
	dst = f.fields(x, dst)
	dst = x.forwarded(dst)
	dst = x.appendMark(dst)
	if f.StripPrefix {
		dst = x.forwardedPrefix(dst)
	}
	dst = x.route.Request.Append(dst)
	if x.body.framed {
		dst = x.body.frame(dst)
	}
	dst = x.askUpgrade(dst)
	dst = append(dst, '\r', '\n')
	return x.body.append(dst, x)
}

// chunked reports whether the body is sent in chunks, behind which trailers may stand.
func (b *requestBody) chunked() bool { return b.length < 0 }

func (b *requestBody) frame(dst []byte) []byte {
	if b.expected {
		dst = append(dst, "Expect: 100-continue\r\n"...)
	}
	if b.chunked() {
		return append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	dst = append(dst, "Content-Length: "...)
	return append(strconv.AppendInt(dst, b.length, 10), '\r', '\n')
}

// target appends the request target: the client's byte for byte unless the route rewrites it.
func (f *Forward) target(x *Exchange, dst []byte) []byte {
	if !f.StripPrefix && f.Rewrite.IsZero() || string(x.path) == "*" {
		return append(dst, x.Target...)
	}
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
	return append(dst, x.query...)
}

// hostField appends the Host field. An HTTP/1.0 client may send none, but the backend is spoken to in
// HTTP/1.1, which must have one: then it names the address that the client came to.
func (f *Forward) hostField(x *Exchange, dst []byte) []byte {
	dst = append(dst, "Host: "...)
	host := x.authority()
	switch {
	case f.Host != "":
		dst = append(dst, f.Host...)
	case len(host) > 0:
		dst = append(dst, host...)
	case x.client.LocalAddr().Network() == "tcp":
		dst = append(dst, x.client.LocalAddr().String()...)
	default:
		dst = append(dst, "localhost"...)
	}
	return append(dst, '\r', '\n')
}

// fields appends the client's fields that go on to the backend, in their order.
func (f *Forward) fields(x *Exchange, dst []byte) []byte {
	var options wire.ConnectionOptions
	options.Read(x.Fields)
	for i := range x.Fields {
		field := &x.Fields[i]
		switch kind := field.Kind; {
		case kind == wire.Other: // most of them
		case kind == wire.Host:
			dst = f.hostField(x, dst)
			continue
		case kind == wire.CDNLoop: // no Connection field can take it away (RFC 8586 section 2)
			if !x.route.Request.Drops(field) {
				dst = append(dst, field.Line...)
			}
			continue
		case kind.HopByHop(), kind == wire.Proxy, kind >= wire.XForwardedFor && kind <= wire.XRequestID,
			kind == wire.ContentLengthField, kind == wire.Expect, kind == wire.Trailer && !x.body.chunked(), (kind == wire.Forwarded || kind == wire.XForwarded) && !x.trusted:
			continue
		}
		if options.Name(field) || x.route.Request.Drops(field) || f.StripPrefix && isPrefixField(field) {
			continue
		}
		if field.Kind == wire.Trailer {
			dst = appendTrailerField(dst, field, &options)
			continue
		}
		dst = append(dst, field.Line...)
	}
	return dst
}

// isPrefixField reports whether a field is X-Forwarded-Prefix.
func isPrefixField(f *wire.Field) bool {
	return f.Kind == wire.XForwarded && wire.EqualFold(f.Name, "x-forwarded-prefix")
}

// forwardedPrefix appends the prefix that was cut from the path, without the slash at its end, so that the backend can make
// links that lead back here. It follows the one that a trusted proxy has cut before. Nothing is cut by the route "/".
func (x *Exchange) forwardedPrefix(dst []byte) []byte {
	before := len(dst)
	dst = append(dst, "X-Forwarded-Prefix: "...)
	start := len(dst)
	if x.trusted {
		for i := range x.Fields {
			if field := &x.Fields[i]; isPrefixField(field) {
				dst = append(dst, bytes.TrimRight(field.Value, "/")...)
				break
			}
		}
	}
	dst = appendEscaped(dst, []byte(strings.TrimRight(x.route.Prefix, "/")))
	if len(dst) == start {
		return dst[:before]
	}
	return append(dst, '\r', '\n')
}

// forwarded appends what the backend is told of the client. What a peer that is not trusted
// says of itself is not passed on.
func (x *Exchange) forwarded(dst []byte) []byte {
	if peer := x.client.Peer().Addr().Unmap(); peer.IsValid() {
		dst = append(dst, "X-Forwarded-For: "...)
		if x.trusted {
			for i := range x.Fields {
				if x.Fields[i].Kind == wire.XForwardedFor && len(x.Fields[i].Value) > 0 {
					dst = append(append(dst, x.Fields[i].Value...), ", "...)
				}
			}
		}
		dst = peer.AppendTo(dst)
		dst = append(dst, "\r\nX-Real-IP: "...)
		dst = x.clientIP.AppendTo(dst)
		dst = append(dst, '\r', '\n')
	}
	proto := []byte(nil)
	host := []byte(nil)
	if x.trusted {
		proto = wire.Lookup(x.Fields, wire.XForwardedProto)
		host = wire.Lookup(x.Fields, wire.XForwardedHost)
	}
	dst = append(dst, "X-Forwarded-Proto: "...)
	switch {
	case len(proto) > 0:
		dst = append(dst, proto...)
	case x.in.Secure:
		dst = append(dst, "https"...)
	default:
		dst = append(dst, "http"...)
	}
	if len(host) == 0 {
		host = x.authority()
	}
	if len(host) > 0 {
		dst = append(append(dst, "\r\nX-Forwarded-Host: "...), host...)
	}
	dst = append(dst, "\r\nX-Request-Id: "...)
	return append(append(dst, x.id...), '\r', '\n')
}

// ask sends the request to b on conn and waits for the head of the final response, which is then in
// conn.Head. Heads of status 1xx that come before are passed on. upload is nil unless a body
// is still on its way. The error may be errResting; begin is when the request began to be sent.
func (f *Forward) ask(x *Exchange, b *pool.Backend, conn *transport.Conn, begin time.Time) (up *upload, err error) {
	var sendErr error
	x.res = x.res[:0]
	switch {
	case !x.body.streamed:
		sendErr, err = conn.Ask(x.out, x.Head())
	case x.body.expected:
		if _, sendErr = conn.Write(x.out); sendErr == nil {
			wanted, err := x.bodyWanted(conn)
			if !wanted {
				return nil, err
			}
			up = x.startUpload(conn)
		}
	default:
		if _, sendErr = conn.Write(x.out); sendErr == nil {
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
	if err != nil && sendErr != nil && !conn.Answered() {
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
			// The wait for the answer begins with the request's end, and interim heads do not renew it.
			err = x.awaitHead(conn, up)
		}
		if err != nil {
			return err
		}
		if conn.Head.Status >= 200 || conn.Head.Status == 101 {
			return x.sendInterims() // its error is no *transport.Error, so it is not the backend's
		}
		if conn.Head.Status != 100 && !x.http10 { // a 100 is sent by the front, if the client asked for one
			x.addInterim(conn)
		}
		if err := x.interimsAdded(conn); err != nil {
			return err
		}
	}
}

// expectWait is how long a backend may take to say whether it wants the body. One that knows nothing of
// 100-continue says nothing before it has it (RFC 9110 section 10.1.1).
const expectWait = 500 * time.Millisecond

// bodyWanted waits for the backend to ask for the body, or not to do so for long enough. If
// it is not wanted, conn.Head has the final answer, or err says what is wrong.
func (x *Exchange) bodyWanted(conn *transport.Conn) (bool, error) {
	for err := conn.AwaitHead(x.Head(), expectWait); ; err = conn.NextHead(x.Head()) {
		switch {
		case err != nil:
			return isTimeout(err) && !x.departure.happened(), err
		case conn.Head.Status == 100:
			err := x.sendInterims()
			return err == nil, err
		case conn.Head.Status >= 200 || conn.Head.Status == 101:
			return false, x.sendInterims()
		}
		x.addInterim(conn)
		if err := x.interimsAdded(conn); err != nil {
			return false, err
		}
	}
}

// addInterim puts an interim response behind those that are to be sent.
func (x *Exchange) addInterim(conn *transport.Conn) {
	x.informed = true
	x.res = x.interim(conn, x.res)
}

// interimsAdded sends the interim responses, unless the next head is there already: a backend that sends thousands does not
// cost a write for each.
func (x *Exchange) interimsAdded(conn *transport.Conn) error {
	if conn.HeadBuffered() && len(x.res) < smallBuffer {
		return nil
	}
	return x.sendInterims()
}

// sendInterims sends the interim responses that were added.
func (x *Exchange) sendInterims() error {
	if len(x.res) == 0 {
		return nil
	}
	err := x.client.SendInterim(x.res)
	x.res = x.res[:0]
	return err
}

func (x *Exchange) interim(conn *transport.Conn, b []byte) []byte {
	b = appendOriginLine(b, &conn.Head)
	b, _ = x.originFields(conn, b, &x.route.Response.Any)
	return append(b, '\r', '\n')
}

func isTimeout(err error) bool {
	e, ok := err.(*transport.Error)
	return ok && e.Cause == transport.TimedOut
}

// sameText reports whether the reason phrase is the usual one for its status.
func sameText(reason []byte, status int) bool {
	line := statusLines[min(status, len(statusLines)-1)]
	return len(line) == 15+len(reason) && bytes.Equal(line[13:len(line)-2], reason)
}
