package netloop

import (
	"errors"
	"net"
	"net/netip"
	"os"
)

// A Socket is a connection on a loop, to be embedded in the struct of the connection. The zero value is a closed socket; Incoming.Open
// and Loop.Dial open it. It must not be copied while it is open.
//
// Methods that return an error return ErrWouldBlock, io.EOF, a syscall.Errno or net.ErrClosed; with TLS also an error of crypto/tls.
type Socket struct {
	loop       *Loop
	handler    Handler
	tls        *tlsLayer // nil: no TLS
	err        error     // why it failed; nil: see pendingError
	peer       netip.AddrPort
	slot       uint32 // in the loop's table
	generation uint32 // 0: closed
	flags      flags
	plug
}

type flags uint16

const (
	mayRead    flags = 1 << iota // a read may succeed
	mayWrite                     // a write may succeed
	hungUp                       // HungUp was delivered
	failed                       // Failed was delivered
	connecting                   // the dial is in progress
	accepted                     // counted in Loop.open
	urgent                       // there may be urgent data, at which reads end early, so that a short read does not mean an empty socket
	raw                          // the loop's own: events are delivered without being filtered
)

// Loop returns the loop that the socket belongs to, or belonged to before it was closed.
func (s *Socket) Loop() *Loop { return s.loop }

// IsOpen reports whether the socket is open.
func (s *Socket) IsOpen() bool { return s.generation != 0 }

// Peer returns the peer's address; the zero value for a unix socket.
func (s *Socket) Peer() netip.AddrPort { return s.peer }

// Local returns the local address; the zero value for a unix socket.
func (s *Socket) Local() netip.AddrPort { return s.local() }

// CanRead reports whether Read may succeed. If it may, no Readable event will follow.
func (s *Socket) CanRead() bool {
	if s.tls != nil {
		return s.tls.canRead()
	}
	return s.flags&mayRead != 0
}

// CanWrite reports whether Write may succeed. If it may, no Writable event will follow.
func (s *Socket) CanWrite() bool {
	if s.tls != nil {
		return s.tls.canWrite()
	}
	return s.flags&mayWrite != 0
}

// HasHungUp reports whether the peer is known to have closed its sending side. There may still be unread bytes.
func (s *Socket) HasHungUp() bool { return s.flags&hungUp != 0 }

// Err returns why the socket has failed; nil if it has not.
func (s *Socket) Err() error {
	if s.err == nil && s.flags&failed != 0 {
		s.err = s.pendingError()
	}
	return s.err
}

// Read reads at least one byte into p. At the end of the stream it returns io.EOF; with TLS io.ErrUnexpectedEOF if the peer has not sent
// close_notify.
func (s *Socket) Read(p []byte) (int, error) {
	if s.tls != nil {
		return s.tls.read(p)
	}
	return s.receive(p)
}

// Write writes head and body, each of which may be empty, with one system call. It returns the number of bytes written, which is less than
// all if the rest would block. It keeps neither slice.
func (s *Socket) Write(head, body []byte) (int, error) {
	if s.tls != nil {
		return s.tls.write(head, body)
	}
	return s.send(head, body, false)
}

// WriteMore is Write for a part that is followed by more at once, so that it need not be sent in a packet of its own. If nothing follows,
// it is sent after 200 ms.
func (s *Socket) WriteMore(p []byte) (int, error) {
	if s.tls != nil {
		return s.tls.write(p, nil)
	}
	return s.send(p, nil, true)
}

// SendFile writes n bytes of the file from offset, and returns the number of bytes written. If the file ends earlier, the error is
// io.ErrUnexpectedEOF. It writes at most 1 MiB at a time, and with TLS or the portable driver at most LargeBuffer bytes; the caller has to
// call it again for the rest, at once or after Again. The kernel does not copy the data, but if the file is not in the page cache, the loop
// waits for the disk.
func (s *Socket) SendFile(file *os.File, offset int64, n int) (int, error) {
	if s.tls != nil {
		return s.tls.sendFile(file, offset, n)
	}
	return s.sendFile(file, offset, n)
}

// Buffered returns how many written bytes have not been passed to the system yet, with TLS or the portable driver. They are sent
// without further calls, and Writable follows when all have been. Close does not wait for them.
func (s *Socket) Buffered() int {
	n := s.pending()
	if s.tls != nil {
		n += s.tls.pending()
	}
	return n
}

// CloseWrite closes the sending side, after what is buffered. The peer may still send.
func (s *Socket) CloseWrite() error {
	if s.generation == 0 {
		return net.ErrClosed
	}
	if s.tls != nil {
		return s.tls.closeWrite()
	}
	return s.shutdown()
}

// Close closes the socket. What was written is still delivered, except what is Buffered. If there are unread bytes, the system resets the
// connection, and what was written may be lost; to avoid that, read until the end first, or for a while.
func (s *Socket) Close() {
	if s.generation == 0 {
		return
	}
	if s.tls != nil {
		s.tls.close(true)
		s.tls = nil
	}
	s.loop.unregister(s)
	s.disconnect(false)
}

// Reset closes the socket with a RST, so that the peer gets an error.
func (s *Socket) Reset() {
	if s.generation == 0 {
		return
	}
	if s.tls != nil {
		s.tls.close(false)
		s.tls = nil
	}
	s.loop.unregister(s)
	s.disconnect(true)
}

// Again makes the handler get Readable and Writable again after this batch of events, as far as they apply then. It is for a handler that
// stopped although it could continue.
func (s *Socket) Again() {
	if s.generation != 0 {
		s.loop.again = append(s.loop.again, s.registration())
	}
}

func (s *Socket) registration() registration { return registration{s.slot, s.generation} }

func (s *Socket) resume() {
	if s.tls != nil && s.tls.handshake != nil {
		s.tls.handshake.exchange() // see startTLS
		return
	}
	var e Events
	if s.CanRead() {
		e |= Readable
	}
	if s.CanWrite() {
		e |= Writable
	}
	if e != 0 {
		s.call(e)
	}
}

// deliver passes events to the TLS layer, if there is one, and to the handler.
func (s *Socket) deliver(e Events) {
	if s.tls != nil {
		if e = s.tls.ready(e); e == 0 {
			return
		}
	}
	s.call(e)
}

// call calls the handler.
func (s *Socket) call(e Events) {
	l := s.loop
	l.count[events]++
	if l.set.options.Panicked != nil {
		defer s.recover(s.registration())
	}
	s.handler.Ready(e)
	if l.buffers.poison != nil && l.scratch != nil {
		l.buffers.poison(l.scratch)
	}
}

// errPanicked is the error of a socket whose handler has panicked.
var errPanicked = errors.New("the handler panicked")

// recover calls the handler with Failed after it has panicked, so that it releases what it holds, and resets the socket.
func (s *Socket) recover(r registration) {
	l := s.loop
	if !l.recovered(recover()) || l.find(r) != s {
		return
	}
	defer func() {
		l.recovered(recover())
		if l.find(r) == s {
			s.Reset()
		}
	}()
	s.err = errPanicked
	s.flags |= failed | mayRead
	s.handler.Ready(Failed)
}

// fail delivers Failed, once.
func (s *Socket) fail(err error) {
	if s.generation == 0 || s.flags&failed != 0 && s.err != nil {
		return
	}
	s.err = err
	s.flags |= failed | mayRead
	if s.tls != nil {
		s.tls.fail(err)
	}
	generation := s.generation
	s.call(Failed)
	if s.generation == generation && err == ErrStopped {
		s.Reset()
	}
}
