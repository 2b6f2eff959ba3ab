package proxy

import (
	"bytes"
	"iter"
	"net/http"

	"lb/filter"
	"lb/message"
	"lb/pool"
)

// protocols yields the elements of an Upgrade list.
func protocols(list []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(list) > 0 {
			var protocol []byte
			if protocol, list = message.NextListItem(list); len(protocol) > 0 && !yield(protocol) {
				return
			}
		}
	}
}

// carriesHTTP reports whether a protocol is another form of HTTP, whose requests would bypass the routes. A server may ignore such an
// offer (RFC 9110 section 7.8).
func carriesHTTP(protocol []byte) bool {
	name, _, _ := bytes.Cut(protocol, []byte{'/'})
	return len(name) > 1 && message.EqualFold(name[:2], "h2") || // h2c and its drafts
		message.EqualFold(name, "http") || message.EqualFold(name, "tls") // RFC 2817
}

// offered returns those of the client's offered protocols that are forwarded to the backend, nil if none.
func offered(list []byte) (dst []byte) {
	if len(list) == 0 {
		return nil
	}
	for protocol := range protocols(list) {
		if !carriesHTTP(protocol) {
			if dst != nil {
				dst = append(dst, ", "...)
			}
			dst = append(dst, protocol...)
		}
	}
	return dst
}

var webSocket = []byte("websocket")

// opensWebSocket reports whether the request can open a WebSocket (RFC 6455 section 4.1), for a backend that does not see all of it.
func (x *Exchange) opensWebSocket() bool {
	const keySize = 24 // 16 bytes in base64
	if string(x.Request.Method) != http.MethodGet {
		return false
	}
	return len(message.Named(x.Request.Fields, "sec-websocket-key")) == keySize
}

// asked reports whether the client offered a protocol, with the same version, and the offer was forwarded.
func (x *Exchange) asked(protocol []byte) bool {
	for p := range protocols(x.Request.Upgrade) {
		if bytes.EqualFold(p, protocol) && !carriesHTTP(p) {
			return true
		}
	}
	return false
}

// agreed reports whether a 101 names at least one protocol, and only protocols that the client offered.
func (x *Exchange) agreed(to []byte) bool {
	named := false
	for protocol := range protocols(to) {
		if !x.asked(protocol) {
			return false
		}
		named = true
	}
	return named
}

// isWebSocket reports whether a 101 switches to WebSocket and to nothing else.
func isWebSocket(to []byte) bool {
	named, is := 0, false
	for protocol := range protocols(to) {
		named++
		is = message.EqualFold(protocol, "websocket")
	}
	return is && named == 1
}

// addUpgrade adds the backend's Upgrade fields unchanged, for a 101 or a 426. Those of other responses are dropped: they advertise
// what the connection to the backend could do, mostly h2c.
func (x *Exchange) addUpgrade(in *message.Response) {
	for i := range in.Fields {
		if f := in.Fields[i]; f.Kind == message.Upgrade {
			f.Hop = false
			x.response.Fields = append(x.response.Fields, f)
		}
	}
}

// switchProtocols forwards a 101, and then bytes in both directions until both sides have ended (RFC 9110 section 7.8).
func (x *Exchange) switchProtocols() {
	in := x.conn.Head()
	to := message.List(in.Fields, message.Upgrade)
	switch {
	case x.Request.Upgrade == nil:
		x.refuseSwitch("the backend switched protocols, which the client did not ask for")
		return
	case !x.agreed(to):
		x.refuseSwitch("the backend switched to a protocol that the client did not ask for")
		return
	}
	websocket := isWebSocket(to)
	r := &x.response
	x.status = in.Status
	r.Reset(in.Status)
	r.Reason = in.Reason
	x.addOriginFields(in)
	x.filterResponse(filter.Interim)
	r.Fields = append(r.Fields, x.Extra...)
	x.addUpgrade(in)
	r.AddBytes(message.NameXRequestID, x.id)
	flushed := x.client.Respond(r, nil, false, false)
	x.startTunnel(websocket, flushed)
}

func (x *Exchange) refuseSwitch(reason string) {
	x.finishBackend(pool.Protocol)
	x.Extra = x.Extra[:0]
	x.Refuse(http.StatusBadGateway, reason)
}
