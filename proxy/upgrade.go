package proxy

import (
	"bytes"
	"iter"
	"net/http"

	"lb/internal/wire"
	"lb/pool"
	"lb/transport"
)

// protocols yields what the Upgrade fields among fields name; several are one list (RFC 9110
// section 5.3).
func protocols(fields []wire.Field) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range fields {
			if fields[i].Kind != wire.Upgrade {
				continue
			}
			for list := fields[i].Value; len(list) > 0; {
				var protocol []byte
				if protocol, list = wire.NextListItem(list); len(protocol) > 0 && !yield(protocol) {
					return
				}
			}
		}
	}
}

// upgrades reports whether the client may be asking for another protocol: a Connection field must
// name Upgrade, HTTP/1.0 has none (RFC 9110 section 7.8), and a body would be in the way.
func (x *Exchange) upgrades() bool {
	if wire.Lookup(x.Fields, wire.Upgrade) == nil || x.http10 || x.body.framed && x.body.length != 0 {
		return false
	}
	for i := range x.Fields {
		if x.Fields[i].Kind != wire.Connection {
			continue
		}
		for list := x.Fields[i].Value; len(list) > 0; {
			var item []byte
			if item, list = wire.NextListItem(list); wire.EqualFold(item, "upgrade") {
				return true
			}
		}
	}
	return false
}

// carriesHTTP reports whether a protocol is HTTP in another form, whose requests would pass by the routes and
// their rules. To ignore such an offer is a server's right (RFC 9110 section 7.8).
func carriesHTTP(protocol []byte) bool {
	name, _, _ := bytes.Cut(protocol, []byte{'/'})
	return len(name) > 1 && wire.EqualFold(name[:2], "h2") || // h2c and its drafts
		wire.EqualFold(name, "http") || wire.EqualFold(name, "tls") // RFC 2817
}

// askUpgrade appends the fields by which the backend learns which protocols the client asks for.
func (x *Exchange) askUpgrade(dst []byte) []byte {
	if !x.upgrades() {
		return dst
	}
	before, lead := len(dst), "Connection: Upgrade\r\nUpgrade: "
	for protocol := range protocols(x.Fields) {
		if !carriesHTTP(protocol) {
			dst = append(append(dst, lead...), protocol...)
			lead = ", "
		}
	}
	if len(dst) == before {
		return dst
	}
	return append(dst, '\r', '\n')
}

// asked reports whether the client asked for a protocol in a version, and the backend heard of it.
func (x *Exchange) asked(protocol []byte) bool {
	for p := range protocols(x.Fields) {
		if bytes.EqualFold(p, protocol) && !carriesHTTP(p) {
			return true
		}
	}
	return false
}

// agreed reports whether a 101 goes over to what the client asked for, which it must name, and to nothing
// else. There is no 101 in HTTP/1.0.
func (x *Exchange) agreed(h *wire.ResponseHead) bool {
	named := false
	for protocol := range protocols(h.Fields) {
		if !x.asked(protocol) {
			return false
		}
		named = true
	}
	return named && h.Minor > 0
}

// isWebSocket reports whether a 101 goes over to that and nothing beneath it.
func isWebSocket(h *wire.ResponseHead) bool {
	named, is := 0, false
	for protocol := range protocols(h.Fields) {
		named++
		is = wire.EqualFold(protocol, "websocket")
	}
	return is && named == 1
}

// appendUpgrade appends the backend's Upgrade fields as they came.
func appendUpgrade(b []byte, fields []wire.Field) []byte {
	for i := range fields {
		if fields[i].Kind == wire.Upgrade {
			b = append(b, fields[i].Line...)
		}
	}
	return b
}

// offerUpgrade appends the Upgrade fields of a 426, which must have one (RFC 9110 section 15.5.22). Those of
// other answers are dropped: they advertise what the backend's connection could do, mostly h2c.
func (x *Exchange) offerUpgrade(b []byte, fields []wire.Field) []byte {
	before := len(b)
	b = appendUpgrade(b, fields)
	x.offers = len(b) > before
	return b
}

// switchProtocols relays a 101 and then bytes both ways until both sides have ended
// (RFC 9110 section 7.8).
func (f *Forward) switchProtocols(x *Exchange, conn *transport.Conn) pool.Outcome {
	defer x.release(conn, false)
	if !x.upgrades() {
		return x.refuseSwitch("the backend switched protocols unasked")
	}
	if !x.agreed(&conn.Head) {
		return x.refuseSwitch("the backend switched to no protocol that the client asked for")
	}
	websocket := isWebSocket(&conn.Head)
	b := appendOriginLine(x.res[:0], &conn.Head)
	b, _ = x.originFields(conn, b, &x.route.Response.Any)
	b = append(b, x.Extra...)
	b = append(b, "Connection: Upgrade\r\n"...)
	b = appendUpgrade(b, conn.Head.Fields)
	b = append(append(append(b, "X-Request-Id: "...), x.id...), "\r\n\r\n"...)
	x.res = b
	if x.sent(x.client.Send(b, nil)) != nil {
		return pool.Aborted
	}
	x.client.EndAfter()
	x.client.EndAwait() // the tunnel reads, and so sees the client leave
	t := newTunnel(f.TunnelIdle, websocket)
	unread, backend := conn.Tunnel()
	x.site.Metrics.Upgraded.Add(1)
	t.relay(x.client.Upgrade(t.end), backend, unread)
	x.site.Metrics.Upgraded.Add(-1)
	if t.brokenTo(&t.toBackend) {
		conn.Abort()
		x.reason = t.toBackend.breach("the client", "the backend")
	}
	if t.brokenTo(&t.toClient) {
		x.cut(t.toClient.breach("the backend", "the client"))
	}
	if t.idled.Load() {
		x.reason = "nothing was sent either way for " + f.TunnelIdle.String()
	}
	return pool.Success
}

func (x *Exchange) refuseSwitch(reason string) pool.Outcome {
	x.Extra = x.Extra[:0]
	x.Refuse(http.StatusBadGateway, reason)
	return pool.Protocol
}
