package exchange

import (
	"bytes"
	"iter"
	"net/http"

	"lb/filter"
	"lb/message"
	"lb/pool"
)

// protocols yields what a list of protocols names.
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

// carriesHTTP reports whether a protocol is HTTP in another form, whose requests would pass by the routes and
// their rules. To ignore such an offer is a server's right (RFC 9110 section 7.8).
func carriesHTTP(protocol []byte) bool {
	name, _, _ := bytes.Cut(protocol, []byte{'/'})
	return len(name) > 1 && message.EqualFold(name[:2], "h2") || // h2c and its drafts
		message.EqualFold(name, "http") || message.EqualFold(name, "tls") // RFC 2817
}

// offered returns which of the protocols that the client offers the backend learns of, nil if none.
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

// asked reports whether the client asked for a protocol in a version, and the backend heard of it.
func (x *Exchange) asked(protocol []byte) bool {
	for p := range protocols(x.Request.Upgrade) {
		if bytes.EqualFold(p, protocol) && !carriesHTTP(p) {
			return true
		}
	}
	return false
}

// agreed reports whether a 101 goes over to what the client asked for, which it must name, and to nothing
// else.
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

// isWebSocket reports whether a 101 goes over to that and nothing beneath it.
func isWebSocket(to []byte) bool {
	named, is := 0, false
	for protocol := range protocols(to) {
		named++
		is = message.EqualFold(protocol, "websocket")
	}
	return is && named == 1
}

// addUpgrade adds the backend's Upgrade fields as they came: those of a 101 and a 426. Those of
// other responses are dropped: they advertise what the backend's connection could do, mostly h2c.
func (x *Exchange) addUpgrade(in *message.Response) {
	for i := range in.Fields {
		if f := in.Fields[i]; f.Kind == message.Upgrade {
			f.Hop = false
			x.response.Fields = append(x.response.Fields, f)
		}
	}
}

// switchProtocols passes a 101 on, and then bytes both ways until both sides have ended (RFC 9110 section 7.8).
func (x *Exchange) switchProtocols() {
	in := &x.conn.Head.Response
	to := message.List(in.Fields, message.Upgrade)
	switch {
	case x.Request.Upgrade == nil:
		x.refuseSwitch("the backend switched protocols unasked")
		return
	case !x.agreed(to):
		x.refuseSwitch("the backend switched to no protocol that the client asked for")
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
