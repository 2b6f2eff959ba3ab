//go:build !linux || !(amd64 || arm64) || portable

package netloop

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// plug is the driver's part of a Socket.
type plug struct {
	port *port
}

// A port is a connection of Go's net with a goroutine that reads, and one that writes while there is something to write. Both post the port
// to the loop as a task when something has happened.
type port struct {
	loop   *Loop
	socket *Socket // nil: closed; used only on the loop
	conn   net.Conn
	dial   context.CancelFunc // nil: not dialing

	mu      sync.Mutex
	changed sync.Cond // the reader can continue
	in      []byte    // received and not read yet
	err     error     // what reads return after in
	out     []byte    // to be written
	busy    bool      // the writer runs
	last    bool      // the sending side closes after out
	failed  error     // of the writer
	events  Events
	posted  bool
	closed  bool
}

const (
	portBuffer = 16 << 10        // bytes read ahead
	portOut    = 64 << 10        // bytes buffered for the writer
	lastWrite  = 5 * time.Second // for writing what is buffered when the socket is closed
)

// Descriptor returns the socket's descriptor, for options that this package does not cover; -1 if it is not available, as here.
func (s *Socket) Descriptor() int { return -1 }

func (s *Socket) attach(l *Loop, conn net.Conn, peer netip.AddrPort, handler Handler, f flags) error {
	if l.stopping {
		return ErrStopped
	}
	p := &port{loop: l, socket: s, conn: conn}
	p.changed.L = &p.mu
	*s = Socket{loop: l, handler: handler, peer: peer, flags: f, plug: plug{p}}
	l.register(s)
	if conn != nil {
		p.start()
	}
	return nil
}

func (p *port) start() {
	p.loop.set.running.Add(1)
	go p.read()
}

// read is a goroutine.
func (p *port) read() {
	defer p.loop.set.running.Done()
	buffer := make([]byte, portBuffer)
	for {
		n, err := p.conn.Read(buffer)
		p.mu.Lock()
		p.in, p.err = buffer[:n], portError(err)
		e := Readable
		switch {
		case err == io.EOF:
			e |= HungUp
		case err != nil:
			e |= Failed
		}
		p.raise(e)
		for len(p.in) > 0 && !p.closed {
			p.changed.Wait()
		}
		closed := p.closed
		p.mu.Unlock()
		if err != nil || closed {
			return
		}
	}
}

// write is a goroutine.
func (p *port) write() {
	defer p.loop.set.running.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.out) > 0 && p.failed == nil {
		out := p.out
		p.out = nil
		p.mu.Unlock()
		_, err := p.conn.Write(out)
		p.mu.Lock()
		if err != nil {
			p.failed = portError(err)
			p.raise(Failed)
		}
	}
	p.out, p.busy = nil, false
	if p.failed == nil {
		p.raise(Writable)
	}
	if p.closed {
		p.conn.Close()
	} else if p.last {
		p.end()
	}
}

func (p *port) end() {
	if half, ok := p.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// raise records events and posts the port to the loop.
func (p *port) raise(e Events) {
	p.events |= e
	if !p.posted && !p.closed {
		p.posted = true
		p.loop.Post(p)
	}
}

// Run delivers events to the socket.
func (p *port) Run() {
	p.mu.Lock()
	e := p.events
	p.events, p.posted = 0, false
	p.mu.Unlock()
	s := p.socket
	if s == nil {
		p.loop.count[stale]++
		return
	}
	if e = s.note(e); e != 0 {
		s.deliver(e)
	}
}

// note records what has happened and returns what is new to the handler.
func (s *Socket) note(e Events) Events {
	if e&Connected != 0 {
		s.flags &^= connecting
		s.flags |= mayWrite
	}
	if e&Writable != 0 { // delivered even if no write has blocked, since it means that nothing is buffered
		s.flags |= mayWrite
	}
	for _, once := range [...]struct {
		event Events
		flag  flags
	}{{Readable, mayRead}, {HungUp, hungUp}, {Failed, failed}} {
		if e&once.event != 0 {
			if s.flags&once.flag != 0 {
				e &^= once.event
			}
			s.flags |= once.flag
		}
	}
	return e
}

func (s *Socket) receive(b []byte) (int, error) {
	if s.flags&mayRead == 0 {
		if s.generation == 0 {
			return 0, net.ErrClosed
		}
		return 0, ErrWouldBlock
	}
	p := s.port
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.in) > 0 {
		n := copy(b, p.in)
		p.in = p.in[n:]
		if len(p.in) == 0 {
			p.changed.Signal()
			if p.err == nil {
				s.flags &^= mayRead
			}
		}
		return n, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	s.flags &^= mayRead
	return 0, ErrWouldBlock
}

func (s *Socket) send(head, body []byte, _ bool) (int, error) {
	if s.flags&mayWrite == 0 {
		if s.generation == 0 {
			return 0, net.ErrClosed
		}
		return 0, ErrWouldBlock
	}
	p := s.port
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.last:
		return 0, syscall.EPIPE
	case p.failed != nil:
		return 0, p.failed
	}
	n := 0
	for _, part := range [...][]byte{head, body} {
		k := min(len(part), portOut-len(p.out))
		p.out = append(p.out, part[:k]...)
		n += k
	}
	if n < len(head)+len(body) {
		s.flags &^= mayWrite
	}
	if !p.busy && len(p.out) > 0 {
		p.busy = true
		p.loop.set.running.Add(1)
		go p.write()
	}
	if n == 0 && len(head)+len(body) > 0 {
		return 0, ErrWouldBlock
	}
	return n, nil
}

func (s *Socket) sendFile(file *os.File, offset int64, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	if !s.CanWrite() {
		return s.send(nil, []byte{0}, false) // returns the error
	}
	return copyFile(s, file, offset, min(n, LargeBuffer), func(head, body []byte) (int, error) { return s.send(head, body, false) })
}

func (s *Socket) pending() int {
	if s.port == nil {
		return 0
	}
	s.port.mu.Lock()
	defer s.port.mu.Unlock()
	n := len(s.port.out)
	if s.port.busy {
		n = max(n, 1)
	}
	return n
}

func (s *Socket) shutdown() error {
	p := s.port
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = true
	if !p.busy && p.conn != nil {
		p.end()
	}
	return nil
}

func (s *Socket) disconnect(reset bool) {
	p := s.port
	s.port, s.flags, p.socket = nil, 0, nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.changed.Signal()
	if p.dial != nil {
		p.dial()
	}
	if p.conn == nil {
		return
	}
	if tcp, ok := p.conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	if reset || !p.busy {
		p.conn.Close()
		return
	}
	_ = p.conn.SetDeadline(time.Now().Add(lastWrite))
}

func (s *Socket) pendingError() error {
	if s.port == nil {
		return net.ErrClosed
	}
	s.port.mu.Lock()
	defer s.port.mu.Unlock()
	if s.port.err != nil && s.port.err != io.EOF {
		return s.port.err
	}
	return s.port.failed
}

func (s *Socket) local() netip.AddrPort {
	if s.port == nil || s.port.conn == nil {
		return netip.AddrPort{}
	}
	return addrPort(s.port.conn.LocalAddr())
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := tcp.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// portError returns the errno that Go's net has wrapped.
func portError(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
