package netloop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// ServerTLS makes the socket the server side of a TLS connection. The handler gets Secured or Failed; until then nothing can be read or
// written. After Failed the socket has no TLS, so that, unless it is broken, the handler can respond to a client that does not speak TLS.
//
// Since crypto/tls cannot resume an interrupted handshake, the handshake runs in a goroutine, from the client's first byte on and for at
// most the timeout, and reads and writes through the loop. Records are encrypted and decrypted on the loop. At most Options.Handshakes
// handshakes compute at a time, so functions of the configuration must not block.
func (s *Socket) ServerTLS(config *tls.Config, timeout time.Duration) {
	s.startTLS(func(conn net.Conn) *tls.Conn { return tls.Server(conn, config) }, timeout)
}

// ClientTLS is ServerTLS for the client side. The configuration needs a ServerName, or InsecureSkipVerify.
func (s *Socket) ClientTLS(config *tls.Config, timeout time.Duration) {
	s.startTLS(func(conn net.Conn) *tls.Conn { return tls.Client(conn, config) }, timeout)
	if s.tls != nil {
		s.tls.begin()
	}
}

// ConnectionState returns the result of the handshake, and nil before Secured or without TLS.
func (s *Socket) ConnectionState() *tls.ConnectionState {
	if s.tls == nil || s.tls.handshake != nil {
		return nil
	}
	state := s.tls.conn.ConnectionState()
	return &state
}

// TLSBytes returns how many bytes of TLS records have been written, handshake included; 0 without TLS.
func (s *Socket) TLSBytes() int64 {
	if s.tls == nil {
		return 0
	}
	return s.tls.total
}

// A tlsLayer is between a socket and its handler.
type tlsLayer struct {
	socket *Socket // nil: closed
	conn   *tls.Conn
	inner  *tlsConn
	in     []byte // received during the handshake and not read by it
	out    []byte // encrypted output that is not sent yet; borrowed
	sent   int    // bytes of out that have been sent
	total  int64  // bytes written to the socket

	handshake *handshake // nil after it
	last      bool       // the sending side closes after out
	ended     bool       // crypto/tls has read the end of the socket's stream
	drained   bool       // the last read found nothing
	broken    error      // why out cannot be sent
}

// errTemporary is what crypto/tls gets when there is nothing to read. After a temporary error it can continue with the next call.
var errTemporary net.Error = temporary{}

type temporary struct{}

func (temporary) Error() string   { return "nothing to read now" }
func (temporary) Timeout() bool   { return true }
func (temporary) Temporary() bool { return true }

const (
	// tlsChunk is how much is encrypted at a time. Encrypted in records of any size, it fits a large buffer.
	tlsChunk = 48 << 10
	// firstChunk is tlsChunk for a peer that has not read much yet, and may never do. It fits a small buffer.
	firstChunk = 15 << 10
	// muchRead is how many bytes have to be written before chunks become large. It exceeds what the system buffers for a peer.
	muchRead = 256 << 10
)

// mostEncrypted limits the output that a peer can cause without reading it, by key updates.
const mostEncrypted = 128 << 10

func (s *Socket) startTLS(side func(net.Conn) *tls.Conn, timeout time.Duration) {
	if s.generation == 0 || s.tls != nil {
		return
	}
	t := &tlsLayer{socket: s}
	h := &handshake{layer: t, loop: s.loop}
	h.changed.L = &h.mu
	h.timer.Init(s.loop, h)
	h.timer.Reset(timeout)
	t.handshake = h
	t.inner = &tlsConn{layer: t, handshake: h, local: tcpAddr(s.Local()), remote: tcpAddr(s.Peer())}
	t.conn = side(t.inner)
	s.tls = t
	if s.flags&mayRead != 0 { // there will be no further event
		s.Again()
	}
}

func tcpAddr(a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(a)
}

// ready handles events of the socket and returns those for the handler.
func (t *tlsLayer) ready(e Events) Events {
	s := t.socket
	if h := t.handshake; h != nil {
		if e&Failed != 0 {
			h.cancel(s.Err())
			return 0
		}
		h.exchange()
		return 0
	}
	if e&Writable != 0 && len(t.out) > 0 {
		t.flush()
		if len(t.out) > 0 {
			e &^= Writable
		}
	}
	if t.broken != nil && e&Failed == 0 {
		s.err = t.broken
		s.flags |= failed
		e |= Failed
	}
	return e
}

func (t *tlsLayer) canRead() bool {
	return t.handshake == nil && (!t.drained || t.socket.flags&mayRead != 0)
}

func (t *tlsLayer) canWrite() bool {
	return t.handshake == nil && len(t.out) == 0
}

func (t *tlsLayer) pending() int { return len(t.out) - t.sent }

func (t *tlsLayer) read(p []byte) (int, error) {
	if t.handshake != nil {
		return 0, ErrWouldBlock
	}
	if len(p) == 0 || t.drained && t.socket.flags&mayRead == 0 {
		return 0, ErrWouldBlock
	}
	t.drained = false
	n, err := t.conn.Read(p)
	if len(t.out) > 0 {
		t.flush() // an alert, or the response to a key update
	}
	switch {
	case err == nil:
		return n, nil
	case n > 0: // the next read returns the error
		return n, nil
	case err == error(errTemporary):
		t.drained = true
		return 0, ErrWouldBlock
	case err == io.EOF && t.ended:
		return 0, io.ErrUnexpectedEOF
	}
	return 0, err
}

func (t *tlsLayer) write(head, body []byte) (n int, err error) {
	if t.handshake != nil {
		return 0, ErrWouldBlock
	}
	if t.last {
		return 0, net.ErrClosed
	}
	for len(head)+len(body) > 0 {
		if t.broken != nil {
			return n, t.broken
		}
		if len(t.out) > 0 {
			if n == 0 {
				return 0, ErrWouldBlock
			}
			return n, nil
		}
		chunk, joined := head, []byte(nil)
		switch {
		case len(head) == 0:
			chunk = body[:min(len(body), t.chunk())]
			body = body[len(chunk):]
		case len(body) == 0 || len(head) >= firstChunk:
			chunk = head[:min(len(head), t.chunk())]
			head = head[len(chunk):]
		default: // in one record
			joined = t.socket.loop.Borrow(SmallBuffer)
			k := copy(joined, head)
			m := copy(joined[k:firstChunk], body)
			chunk = joined[:k+m]
			head, body = nil, body[m:]
		}
		if len(chunk) > firstChunk { // else a small buffer would be outgrown
			t.out = t.room(LargeBuffer)
		}
		_, err = t.conn.Write(chunk)
		size := len(chunk)
		if joined != nil {
			t.socket.loop.Return(joined)
		}
		t.flush()
		if err != nil {
			return n, err
		}
		n += size
	}
	return n, t.broken
}

// chunk is how much to encrypt at a time.
func (t *tlsLayer) chunk() int {
	if t.total < muchRead {
		return firstChunk
	}
	return tlsChunk
}

func (t *tlsLayer) sendFile(file *os.File, offset int64, n int) (int, error) {
	if t.handshake != nil || len(t.out) > 0 {
		return 0, ErrWouldBlock
	}
	return copyFile(t.socket, file, offset, min(n, t.chunk()), t.write)
}

// copyFile writes n bytes of the file by way of a buffer. n must not exceed LargeBuffer.
func copyFile(s *Socket, file *os.File, offset int64, n int, write func(head, body []byte) (int, error)) (int, error) {
	buffer := s.loop.Borrow(n)
	defer s.loop.Return(buffer)
	got, err := file.ReadAt(buffer[:min(n, len(buffer))], offset)
	if got == 0 {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	return write(buffer[:got], nil)
}

// append adds p to the output.
func (t *tlsLayer) append(p []byte) {
	if need := len(t.out) + len(p); need > cap(t.out) {
		grown := t.room(need)
		grown = append(grown, t.out...)
		t.release()
		t.out = grown
	}
	t.out = append(t.out, p...)
}

// room returns an empty buffer for n bytes.
func (t *tlsLayer) room(n int) []byte {
	if n > LargeBuffer {
		return make([]byte, 0, 2*n)
	}
	return t.socket.loop.Borrow(n)[:0]
}

// flush sends encrypted output until the socket is full.
func (t *tlsLayer) flush() {
	s := t.socket
	for t.sent < len(t.out) {
		n, err := s.send(t.out[t.sent:], nil, false)
		if err == ErrWouldBlock {
			t.shrink()
			return
		}
		if err != nil {
			t.broken = err
			break
		}
		t.sent += n
		t.total += int64(n)
	}
	t.release()
	t.sent = 0
	if t.last && t.broken == nil {
		t.broken = s.shutdown()
	}
}

// shrink moves output that has to wait to a small buffer, if it fits: a client that does not read leaves a part of a chunk for long.
func (t *tlsLayer) shrink() {
	left := t.out[t.sent:]
	if cap(t.out) <= SmallBuffer || len(left) > SmallBuffer {
		return
	}
	small := append(t.room(len(left)), left...)
	t.release()
	t.out, t.sent = small, 0
}

// closeWrite sends close_notify, and then closes the sending side.
func (t *tlsLayer) closeWrite() error {
	if t.last {
		return nil
	}
	t.last = true
	if t.handshake != nil {
		return t.socket.shutdown()
	}
	err := t.conn.CloseWrite()
	t.flush()
	return err
}

// fail ends a handshake without calling the handler.
func (t *tlsLayer) fail(err error) {
	if h := t.handshake; h != nil {
		t.handshake = nil
		h.cancel(err)
	}
}

// close releases everything. With notify it sends close_notify before, if possible.
func (t *tlsLayer) close(notify bool) {
	if t.handshake == nil && notify && !t.last && t.broken == nil && len(t.out) == 0 {
		_ = t.conn.CloseWrite()
		t.flush()
	}
	t.fail(net.ErrClosed)
	t.release()
	t.socket = nil
}

// release drops the output.
func (t *tlsLayer) release() {
	if n := cap(t.out); n == SmallBuffer || n == LargeBuffer {
		t.socket.loop.Return(t.out)
	}
	t.out = nil
}

// tlsConn is the net.Conn of crypto/tls. The handshake uses it in its goroutine, everything else on the loop.
type tlsConn struct {
	layer         *tlsLayer
	handshake     *handshake // nil after it
	local, remote net.Addr
}

func (c *tlsConn) Read(p []byte) (int, error) {
	if h := c.handshake; h != nil {
		return h.read(p)
	}
	t := c.layer
	if len(t.in) > 0 {
		n := copy(p, t.in)
		if t.in = t.in[n:]; len(t.in) == 0 {
			t.in = nil
		}
		return n, nil
	}
	n, err := t.socket.receive(p)
	switch err {
	case ErrWouldBlock:
		return 0, errTemporary
	case io.EOF:
		t.ended = true
	}
	return n, err
}

func (c *tlsConn) Write(p []byte) (int, error) {
	if h := c.handshake; h != nil {
		return h.write(p)
	}
	t := c.layer
	if t.broken != nil {
		return 0, t.broken
	}
	if len(t.out) > mostEncrypted {
		t.broken = errors.New("the peer does not read the responses to its key updates")
		return 0, t.broken
	}
	t.append(p)
	return len(p), nil
}

func (c *tlsConn) Close() error                     { return nil }
func (c *tlsConn) LocalAddr() net.Addr              { return c.local }
func (c *tlsConn) RemoteAddr() net.Addr             { return c.remote }
func (c *tlsConn) SetDeadline(time.Time) error      { return nil }
func (c *tlsConn) SetReadDeadline(time.Time) error  { return nil }
func (c *tlsConn) SetWriteDeadline(time.Time) error { return nil }
