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

// ServerTLS makes the socket the server's side of a TLS connection. The handler is told Secured or Failed; until then nothing can be read or
// written. After Failed the socket is as it was before, so that a client that does not speak TLS can be told so, if it is not broken.
//
// crypto/tls cannot take up a handshake again, so that one runs in a goroutine, from the client's first byte on and for no longer than
// the timeout, and what it reads and writes goes through the loop. Records are encrypted and decrypted on the loop. No more handshakes
// compute at a time than Options.Handshakes, so functions of the configuration must not wait for anything.
func (s *Socket) ServerTLS(config *tls.Config, timeout time.Duration) {
	s.startTLS(func(conn net.Conn) *tls.Conn { return tls.Server(conn, config) }, timeout)
}

// ClientTLS is ServerTLS for the client's side. The configuration needs a ServerName, or InsecureSkipVerify.
func (s *Socket) ClientTLS(config *tls.Config, timeout time.Duration) {
	s.startTLS(func(conn net.Conn) *tls.Conn { return tls.Client(conn, config) }, timeout)
	if s.tls != nil {
		s.tls.begin()
	}
}

// ConnectionState is what the handshake has agreed upon, and nil before Secured or without TLS.
func (s *Socket) ConnectionState() *tls.ConnectionState {
	if s.tls == nil || s.tls.handshake != nil {
		return nil
	}
	state := s.tls.conn.ConnectionState()
	return &state
}

// TLSBytes is how many bytes of TLS the system has taken, those of the handshake included; 0 without TLS.
func (s *Socket) TLSBytes() int64 {
	if s.tls == nil {
		return 0
	}
	return s.tls.total
}

// A tlsLayer stands between a socket and its handler. crypto/tls takes it for a net.Conn.
type tlsLayer struct {
	socket *Socket // nil: closed
	conn   *tls.Conn
	inner  *tlsConn
	in     []byte // what has come and the handshake has not read
	out    []byte // borrowed: what is encrypted and not sent
	sent   int    // how much of out is
	total  int64  // bytes that the socket has taken

	handshake *handshake // nil after it
	last      bool       // the sending side ends after out
	ended     bool       // the socket gave its end to crypto/tls
	drained   bool       // the last read found nothing
	broken    error      // out cannot be sent
}

// errTemporary is what crypto/tls, which goes on at the next call after it, reads and is not.
var errTemporary net.Error = temporary{}

type temporary struct{}

func (temporary) Error() string   { return "nothing to read now" }
func (temporary) Timeout() bool   { return true }
func (temporary) Temporary() bool { return true }

// tlsChunk is how much is encrypted at a time: in records of any size it fits a large buffer.
const tlsChunk = 48 << 10

// mostEncrypted bounds what a peer can make crypto/tls send without reading any of it: answers to key updates.
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
	if s.flags&mayRead != 0 { // no event will tell
		s.Again()
	}
}

func tcpAddr(a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(a)
}

// ready is what the handler is to know of what has happened to the socket.
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
		t.flush() // an alert, or the answer to a key update
	}
	switch {
	case err == nil:
		return n, nil
	case n > 0: // the error comes again
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
			chunk = body[:min(len(body), tlsChunk)]
			body = body[len(chunk):]
		case len(body) == 0 || len(head) >= SmallBuffer:
			chunk = head[:min(len(head), tlsChunk)]
			head = head[len(chunk):]
		default: // in one record
			joined = t.socket.loop.Borrow(SmallBuffer)
			k := copy(joined, head)
			m := copy(joined[k:], body)
			chunk = joined[:k+m]
			head, body = nil, body[m:]
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

func (t *tlsLayer) sendFile(file *os.File, offset int64, n int) (int, error) {
	if t.handshake != nil || len(t.out) > 0 {
		return 0, ErrWouldBlock
	}
	return copyFile(t.socket, file, offset, min(n, tlsChunk), t.write)
}

// copyFile writes n bytes of the file, which fit a large buffer.
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

// append keeps what is to be sent.
func (t *tlsLayer) append(p []byte) {
	l := t.socket.loop
	if t.out == nil {
		t.out = l.Borrow(len(p))[:0]
	}
	if need := len(t.out) + len(p); need > cap(t.out) {
		grown := make([]byte, 0, max(need, LargeBuffer))
		if cap(t.out) == SmallBuffer && need <= LargeBuffer {
			grown = l.Borrow(LargeBuffer)[:0]
		}
		grown = append(grown, t.out...)
		t.giveBack(t.out)
		t.out = grown
	}
	t.out = append(t.out, p...)
}

func (t *tlsLayer) giveBack(buffer []byte) {
	if cap(buffer) == SmallBuffer || cap(buffer) == LargeBuffer {
		t.socket.loop.Return(buffer)
	}
}

// flush sends what is encrypted, as far as the socket takes it.
func (t *tlsLayer) flush() {
	s := t.socket
	for t.sent < len(t.out) {
		n, err := s.send(t.out[t.sent:], nil, false)
		if err == ErrWouldBlock {
			return
		}
		if err != nil {
			t.broken = err
			break
		}
		t.sent += n
		t.total += int64(n)
	}
	if t.out != nil {
		t.giveBack(t.out)
		t.out, t.sent = nil, 0
	}
	if t.last && t.broken == nil {
		t.broken = s.shutdown()
	}
}

// closeWrite says that it ends, and ends the sending side once that is sent.
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

// fail ends a handshake; the handler is told by others.
func (t *tlsLayer) fail(err error) {
	if h := t.handshake; h != nil {
		t.handshake = nil
		h.cancel(err)
	}
}

// close lets go of all, and says before that it ends if so asked and possible.
func (t *tlsLayer) close(notify bool) {
	if t.handshake == nil && notify && !t.last && t.broken == nil && len(t.out) == 0 {
		_ = t.conn.CloseWrite()
		t.flush()
	}
	t.fail(net.ErrClosed)
	t.release()
	t.socket = nil
}

func (t *tlsLayer) release() {
	if t.out != nil {
		t.giveBack(t.out)
		t.out = nil
	}
}

// tlsConn is what crypto/tls reads from and writes to: the handshake in its goroutine, all else on the loop.
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
		t.broken = errors.New("the peer does not read what it has asked for")
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
