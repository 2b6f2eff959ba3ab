package proxy

import (
	"net/http"

	"lb/internal/wire"
	"lb/pool"
	"lb/transport"
)

// switchProtocols relays a 101 and then bytes both ways until both sides have ended
// (RFC 9110 section 7.8).
func (f *Forward) switchProtocols(x *Exchange, conn *transport.Conn) pool.Outcome {
	defer x.release(conn, false)
	protocol := x.upgrade()
	if protocol == nil {
		x.Extra = x.Extra[:0]
		x.Refuse(http.StatusBadGateway, "the backend switched protocols unasked")
		return pool.Protocol
	}
	b := appendOriginLine(x.res[:0], &conn.Head)
	b, _ = x.originFields(conn, b)
	b = append(b, x.Extra...)
	b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
	b = append(append(b, conn.Head.Upgrade...), '\r', '\n')
	b = append(append(append(b, "X-Request-Id: "...), x.id...), "\r\n\r\n"...)
	x.res = b
	if x.sent(x.client.Send(b, nil)) != nil {
		return pool.Aborted
	}
	x.ctx.SetConnectionClose()
	x.client.EndAwait() // the tunnel reads, and so sees the client leave
	t := newTunnel(f.TunnelIdle, wire.EqualFold(protocol, "websocket"))
	unread, backend := conn.Tunnel()
	x.site.Metrics.Upgraded.Add(1)
	t.relay(x.client.Upgrade(t.end), backend, unread)
	x.site.Metrics.Upgraded.Add(-1)
	if t.idled.Load() {
		x.reason = "nothing was sent either way for " + f.TunnelIdle.String()
	}
	return pool.Success
}
