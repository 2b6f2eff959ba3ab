package http2

import (
	"io"
	"net"

	"lb/netloop"
)

// streamTunnel is a stream after an upgrade, as a netloop.Stream.
type streamTunnel struct {
	stream   *Stream
	upgraded Upgraded
	ended    bool // Read has returned the last byte
}

// Upgrade ends the use of HTTP, after a response with status 101 was sent. From now on u gets the events of the stream, and reads and writes
// it until End.
func (s *Stream) Upgrade(u Upgraded) (stream netloop.Stream, unread []byte) {
	s.tunnel = &streamTunnel{stream: s, upgraded: u}
	s.timer.Stop()
	s.readSince, s.writeSince = noTime, noTime
	return s.tunnel, nil
}

// Loop is the loop of the connection.
func (t *streamTunnel) Loop() *netloop.Loop { return t.stream.conn.worker.Loop }

// Read reads from the payload of DATA frames. p must have room for what a loop lends at most.
func (t *streamTunnel) Read(p []byte) (int, error) {
	if t.ended {
		return 0, io.EOF
	}
	piece, err := t.stream.Read()
	t.ended = err == io.EOF
	return netloop.ReadPiece(p, piece, err)
}

// Write takes each of the two as a whole, and nothing while what it took before waits for the client.
func (t *streamTunnel) Write(head, body []byte) (int, error) {
	s := t.stream
	switch {
	case s.aborted, s.finished:
		return 0, net.ErrClosed
	case s.out.pending():
		return 0, netloop.ErrWouldBlock
	}
	if len(head) == 0 {
		head, body = body, nil
	}
	s.Send(head, false, nil)
	if len(body) == 0 || s.out.pending() {
		return len(head), nil
	}
	s.Send(body, false, nil)
	return len(head) + len(body), nil
}

// Buffered is how many bytes wait for the client's windows or for the connection.
func (t *streamTunnel) Buffered() int { return int(t.stream.out.size()) }

// CloseWrite ends the sending side behind what was written.
func (t *streamTunnel) CloseWrite() error {
	s := t.stream
	switch {
	case s.aborted:
		return net.ErrClosed
	case s.finished:
		return nil
	}
	s.finished, s.out.end = true, true
	if !s.out.pending() {
		s.conn.sendEnd(s)
	}
	return nil
}

// Again has the events of the stream come again after those of this batch.
func (t *streamTunnel) Again() { t.Loop().Later((*tunnelAgain)(t)) }

// tunnelAgain is a streamTunnel as a task.
type tunnelAgain streamTunnel

func (a *tunnelAgain) Run() {
	t := (*streamTunnel)(a)
	if t.stream.tunnel == t && !t.stream.aborted {
		t.upgraded.ClientReady(netloop.Readable | netloop.Writable)
	}
}

func (t *streamTunnel) readable() { t.upgraded.ClientReady(netloop.Readable) }
func (t *streamTunnel) writable() { t.upgraded.ClientReady(netloop.Writable) }
func (t *streamTunnel) failed()   { t.upgraded.ClientReady(netloop.Failed) }
