package proxy

import (
	"net/http"
	"sync"
	"time"

	"lb/pool"
	"lb/transport"
)

// switchProtocols relays a 101 and then bytes both ways until both sides have ended
// (RFC 9110 section 7.8).
func (x *Exchange) switchProtocols(conn *transport.Conn) pool.Outcome {
	defer x.release(conn, false)
	protocol := x.upgrade()
	if protocol == nil {
		x.Refuse(http.StatusBadGateway, "the backend switched protocols unasked")
		return pool.Protocol
	}
	b := appendOriginLine(x.res[:0], &conn.Head)
	b = x.originFields(conn, b)
	b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
	b = append(append(b, conn.Head.Upgrade...), '\r', '\n')
	b = append(append(append(b, "X-Request-Id: "...), x.id...), "\r\n\r\n"...)
	x.res = b
	if x.sent(x.client.Send(b, nil)) != nil {
		return pool.Aborted
	}
	x.ctx.SetConnectionClose()
	x.client.EndAwait() // the tunnel reads, and so sees the client leave
	unread, backend := conn.Tunnel()
	tunnel(x.client.Upgrade(), backend, unread)
	return pool.Success
}

// tunnel copies both ways. When one side ends its stream the other is told so and may go on;
// when one side fails both are ended.
func tunnel(client Stream, backend transport.Stream, unread []byte) {
	var both sync.WaitGroup
	both.Add(1)
	go func() {
		defer both.Done()
		pipe(backend, client, nil)
	}()
	pipe(client, backend, unread)
	both.Wait()
}

// pipe copies src to dst, first what was read of src before.
func pipe(dst, src transport.Stream, unread []byte) {
	buf := bodyBuffers.Get().(*[]byte)
	defer bodyBuffers.Put(buf)
	if len(unread) > 0 {
		if _, err := dst.Write(unread); err != nil {
			interrupt(dst, src)
			return
		}
	}
	for {
		n, err := src.Read(*buf)
		if n > 0 {
			if _, err := dst.Write((*buf)[:n]); err != nil {
				interrupt(dst, src)
				return
			}
		}
		if err != nil {
			if !transport.IsEOF(err) || dst.CloseWrite() != nil {
				interrupt(dst, src)
			}
			return
		}
	}
}

// interrupt makes the other direction's reads and writes fail.
func interrupt(a, b transport.Stream) {
	past := time.Unix(1, 0)
	_ = a.SetDeadline(past)
	_ = b.SetDeadline(past)
}
