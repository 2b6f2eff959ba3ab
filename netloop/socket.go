package netloop

import (
	"net"
	"net/netip"
	"os"
)

// A Socket is a connection of a loop, to be embedded in the struct of what it is a connection of. Its zero value is a
// closed one; Incoming.Open and Loop.Dial open it. It must not be copied while it is open.
//
// Methods that return an error return ErrWouldBlock, io.EOF, a syscall.Errno, or net.ErrClosed; with TLS also what crypto/tls says.
type Socket struct {
	loop       *Loop
	handler    Handler
	tls        *tlsLayer // nil: plain
	err        error     // why it failed, if it is not the kernel that knows
	peer       netip.AddrPort
	slot       uint32 // in the loop's table
	generation uint32 // 0: closed
	flags      flags
	plug
}

type flags uint16

const (
	mayRead    flags = 1 << iota // a read may give something
	mayWrite                     // a write may take something
	hungUp                       // HungUp was told
	failed                       // Failed was told
	connecting                   // the dial is not at its end
	accepted                     // counted in Loop.open
	urgent                       // urgent data is about, at which reads end early: a short one means nothing
	raw                          // of the loop itself: events are passed on as they are
)

// Loop is the loop that the socket belongs to, or belonged to.
func (s *Socket) Loop() *Loop { return s.loop }

// IsOpen reports whether the socket was opened and not closed since.
func (s *Socket) IsOpen() bool { return s.generation != 0 }

// Peer is the other side's address; the zero value for a Unix socket.
func (s *Socket) Peer() netip.AddrPort { return s.peer }

// Local is this side's address; the zero value for a Unix socket.
func (s *Socket) Local() netip.AddrPort { return s.local() }

// CanRead reports whether a Read may give something: no event will tell.
func (s *Socket) CanRead() bool {
	if s.tls != nil {
		return s.tls.canRead()
	}
	return s.flags&mayRead != 0
}

// CanWrite reports whether a Write may take something: no event will tell.
func (s *Socket) CanWrite() bool {
	if s.tls != nil {
		return s.tls.canWrite()
	}
	return s.flags&mayWrite != 0
}

// HasHungUp reports whether the peer is known to have ended its sending side, even if what it sent is not all read.
func (s *Socket) HasHungUp() bool { return s.flags&hungUp != 0 }

// Err says why the socket has failed; nil if it has not.
func (s *Socket) Err() error {
	if s.err == nil && s.flags&failed != 0 {
		s.err = s.pendingError()
	}
	return s.err
}

// Read reads at least one byte into p. The end of what the peer sends is io.EOF; with TLS it is
// io.ErrUnexpectedEOF if the peer has not said that it ends.
func (s *Socket) Read(p []byte) (int, error) {
	if s.tls != nil {
		return s.tls.read(p)
	}
	return s.receive(p)
}

// Write writes head and then body, either of which may be empty, by one system call. It returns how much it took: less than
// all if the rest would block. Neither is kept.
func (s *Socket) Write(head, body []byte) (int, error) {
	if s.tls != nil {
		return s.tls.write(head, body)
	}
	return s.send(head, body, false)
}

// WriteMore is Write of one part behind which more follows at once, so that it need not leave alone. If nothing follows it
// leaves after 200 ms.
func (s *Socket) WriteMore(p []byte) (int, error) {
	if s.tls != nil {
		return s.tls.write(p, nil)
	}
	return s.send(p, nil, true)
}

// SendFile writes n bytes of the file from offset on, and returns how many it took. A file that ends earlier is
// io.ErrUnexpectedEOF. It takes at most 1 MiB at a time, and with TLS or the portable driver at most LargeBuffer bytes: one that took less than
// n is called again, at once or by Again. The kernel copies nothing; but if the file is not in memory the loop waits for the disk.
func (s *Socket) SendFile(file *os.File, offset int64, n int) (int, error) {
	if s.tls != nil {
		return s.tls.sendFile(file, offset, n)
	}
	return s.sendFile(file, offset, n)
}

// Buffered is how many bytes Write has taken that the system has not yet: with TLS, and with the portable driver. They are on their
// way without further calls, and Writable comes when all have gone. Close does not wait for them.
func (s *Socket) Buffered() int {
	n := s.pending()
	if s.tls != nil {
		n += s.tls.pending()
	}
	return n
}

// CloseWrite ends the sending side, after what is buffered. The peer reads the end, and may still send.
func (s *Socket) CloseWrite() error {
	if s.generation == 0 {
		return net.ErrClosed
	}
	if s.tls != nil {
		return s.tls.closeWrite()
	}
	return s.shutdown()
}

// Close closes the socket. What was written is still delivered, except for what is Buffered. If something that the
// peer has sent was not read, the system resets the connection, and what was written may be lost: read until the
// end before, or for a while.
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

// Reset closes the socket so that the peer gets an error instead of an end.
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

// Again has the handler called after this batch of events with what is possible then, Readable and Writable, if anything is: for one
// that stopped although it could go on.
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

// deliver tells whoever is first to know.
func (s *Socket) deliver(e Events) {
	if s.tls != nil {
		if e = s.tls.ready(e); e == 0 {
			return
		}
	}
	s.call(e)
}

// call tells the handler.
func (s *Socket) call(e Events) {
	l := s.loop
	l.count[events]++
	s.handler.Ready(e)
	if l.buffers.poison != nil && l.scratch != nil {
		l.buffers.poison(l.scratch)
	}
}

// fail tells the handler that the socket is broken, once.
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
