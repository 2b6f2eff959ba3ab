package http3

import (
	"io"
	"net"

	"lb/netloop"
)

// Upgraded gets the events of a stream that has left HTTP, see Stream.Upgrade.
type Upgraded = interface {
	ClientReady(ev netloop.Events)
	Ending()
}

// streamTunnel is a stream after an upgrade, as a netloop.Stream.
type streamTunnel struct {
	stream   *Stream
	upgraded Upgraded
	ended    bool // Read has returned the last byte
}

// Upgrade ends the use of HTTP, after a response with status 101 was sent, which is a 200 here (RFC 9220 section 3). From now on u gets the
// events of the stream, and reads and writes it until End. The timeouts of bodies do not apply to it.
func (s *Stream) Upgrade(u Upgraded) (stream netloop.Stream, unread []byte) {
	s.tunnel = &streamTunnel{stream: s, upgraded: u}
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
	case s.aborted, s.response.finished:
		return 0, net.ErrClosed
	case s.out.busy:
		return 0, netloop.ErrWouldBlock
	}
	if len(head) == 0 {
		head, body = body, nil
	}
	if !s.Send(head, false, nil) || len(body) == 0 {
		return len(head), nil
	}
	s.Send(body, false, nil)
	return len(head) + len(body), nil
}

// Buffered is how many bytes wait for the client.
func (t *streamTunnel) Buffered() int {
	if t.stream.out.busy {
		return t.stream.out.size
	}
	return 0
}

// CloseWrite ends the sending side behind what was written.
func (t *streamTunnel) CloseWrite() error {
	s := t.stream
	if s.aborted {
		return net.ErrClosed
	}
	s.response.finished = true
	if !s.out.busy {
		s.close()
	}
	return nil
}

// Again has the events of the stream come again after those of this batch.
func (t *streamTunnel) Again() { t.Loop().Later((*tunnelAgain)(t)) }

// tunnelAgain is a streamTunnel as a task.
type tunnelAgain streamTunnel

func (a *tunnelAgain) Run() {
	t := (*streamTunnel)(a)
	if !t.stream.aborted && !t.stream.done {
		t.upgraded.ClientReady(netloop.Readable | netloop.Writable)
	}
}

// AnnounceEnd notifies the upgraded streams that they will be cut. It reports whether there are any.
func (c *Conn) AnnounceEnd() (any bool) {
	for i := len(c.streams) - 1; i >= 0; i-- {
		if i < len(c.streams) && c.streams[i].tunnel != nil && !c.streams[i].aborted {
			any = true
			c.streams[i].tunnel.upgraded.Ending()
		}
	}
	return any
}
