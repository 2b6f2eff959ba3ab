package http2

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"net"

	"lb/internal/fieldsection"
	"lb/message"
	"lb/netloop"
)

// Of the handshake of a WebSocket over HTTP/1 (RFC 6455 section 1.3).
const (
	webSocketKey  = "sec-websocket-key"
	webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

var methodConnect, pseudoProtocol = []byte("CONNECT"), []byte(":protocol")

// acceptOf returns the Sec-WebSocket-Accept that the client of a request waits for (RFC 6455 section 4.2.2).
func acceptOf(r *message.Request) string {
	sum := sha1.Sum(append(bytes.Clone(message.Named(r.Fields, webSocketKey)), webSocketGUID...))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// switched makes the successful response to an extended CONNECT the 101 that it stands for.
func (s *BackendStream) switched(r *message.Response) {
	s.body.length = -1
	kept := r.Fields[:0]
	for _, f := range r.Fields {
		if !fieldsection.OnlyInHTTP1(&f) {
			kept = append(kept, f)
		}
	}
	clear(r.Fields[len(kept):])
	r.Status, r.Length, r.Fields = 101, -1, kept
	r.Add("Upgrade", "websocket")
	r.Fields[len(r.Fields)-1].Hop = true
	r.Add("Sec-WebSocket-Accept", s.accept)
}

// Tunnel returns the stream of bytes after a 101. BackendUser.ResponseReady follows a Read, and RequestFlushed a Write, that returned
// netloop.ErrWouldBlock.
func (s *BackendStream) Tunnel() netloop.Stream { return (*backendTunnel)(s) }

// backendTunnel is a BackendStream after an upgrade, as a netloop.Stream.
type backendTunnel BackendStream

// Loop returns the loop of the connection.
func (t *backendTunnel) Loop() *netloop.Loop { return t.conn.worker.Loop }

// Read reads from the payload of DATA frames. p must have room for what a loop lends at most.
func (t *backendTunnel) Read(p []byte) (int, error) {
	piece, err := (*BackendStream)(t).ReadBody()
	return netloop.ReadPiece(p, piece, err)
}

// Write takes each of the two as a whole, and nothing while what it took before waits for the backend.
func (t *backendTunnel) Write(head, body []byte) (n int, err error) {
	s := (*BackendStream)(t)
	switch {
	case s.over, s.finished:
		return 0, net.ErrClosed
	case s.out.queued:
		return 0, netloop.ErrWouldBlock
	}
	for _, p := range [...][]byte{head, body} {
		if len(p) == 0 {
			continue
		}
		n += len(p)
		if !s.SendBody(p, false, nil) {
			break
		}
	}
	return n, nil
}

// Buffered returns how many bytes wait for the backend's windows or for the connection.
func (t *backendTunnel) Buffered() int { return len(t.out.copied) }

// CloseWrite ends the sending side behind what was written.
func (t *backendTunnel) CloseWrite() error {
	s := (*BackendStream)(t)
	switch {
	case s.over:
		return net.ErrClosed
	case s.finished:
		return nil
	}
	s.finished, s.out.end = true, true
	if !s.out.queued {
		s.conn.sendEnd(s)
		s.checkOver()
	}
	return nil
}

// Again has ResponseReady called after the other connections have had their turn.
func (t *backendTunnel) Again() {
	t.Loop().Later(&backendAgain{(*BackendStream)(t), t.conn, t.id})
}

// backendAgain is the task that does it.
type backendAgain struct {
	stream *BackendStream
	conn   *BackendConn
	id     uint32
}

func (a *backendAgain) Run() {
	if s := a.stream; s.conn == a.conn && s.id == a.id {
		s.user.ResponseReady()
	}
}
