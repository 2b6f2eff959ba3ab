//go:build linux && (amd64 || arm64) && !portable

package netloop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Listener accepts connections on loops.
type Listener struct {
	set     *Loops
	addr    net.Addr
	fd      int32
	accept  func(*Incoming)
	trouble func(error, time.Duration)

	left   atomic.Int32 // loops that still accept
	close  sync.Once
	closed chan struct{}
	mu     sync.Mutex // descriptor closed
}

// Listen accepts connections of ln on all loops, which must have been started, and calls accept with each on the connection's loop. It
// takes ownership of ln: only the Listener must be closed, which does not remove the file of a unix socket. If accepting fails for lack
// of descriptors or memory, Listen waits between 5 ms and a second before it tries again, and calls trouble, which may be nil, on a loop
// with the error and the wait.
func (ls *Loops) Listen(ln net.Listener, accept func(*Incoming), trouble func(error, time.Duration)) (*Listener, error) {
	fd, err := takeOver(ln)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", ln.Addr(), err)
	}
	if ln.Addr().Network() != "unix" {
		tune(fd) // accepted connections inherit it
	}
	listener := &Listener{set: ls, addr: ln.Addr(), fd: fd, accept: accept, trouble: trouble, closed: make(chan struct{})}
	listener.left.Store(int32(len(ls.loops)))
	for _, l := range ls.loops {
		a := &acceptor{listener: listener, loop: l, wait: firstBackoff}
		a.retry.Init(l, a)
		if !l.Post(TaskFunc(a.begin)) {
			listener.leave()
		}
	}
	return listener, nil
}

// takeOver returns a descriptor of the listener's socket that is not registered with Go's poller, and closes the listener.
func takeOver(ln net.Listener) (int32, error) {
	conn, ok := ln.(syscall.Conn)
	if !ok {
		return -1, errors.New("it has no descriptor")
	}
	control, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := int32(-1)
	var errno syscall.Errno
	err = control.Control(func(old uintptr) {
		var copied uintptr
		copied, _, errno = syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		fd = int32(copied)
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("fcntl", errno)
	}
	if err != nil {
		return -1, err
	}
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		closeDescriptor(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	if err := ln.Close(); err != nil {
		closeDescriptor(fd)
		return -1, err
	}
	return fd, nil
}

// File returns a non-blocking duplicate of the listening socket, for another process. Close does not close it.
func (ln *Listener) File() (*os.File, error) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.fd < 0 {
		return nil, net.ErrClosed
	}
	return duplicate(ln.fd, ln.addr.String())
}

// Close accepts what the kernel has queued, stops accepting, and returns when all loops have done that. It must not be called on a
// loop.
func (ln *Listener) Close() error {
	ln.close.Do(func() {
		for _, l := range ln.set.loops {
			l.Post(closing{ln, l})
		}
	})
	<-ln.closed
	return nil
}

// leave is called by each loop when it has stopped accepting.
func (ln *Listener) leave() {
	if ln.left.Add(-1) > 0 {
		return
	}
	ln.mu.Lock()
	closeDescriptor(ln.fd)
	ln.fd = -1
	ln.mu.Unlock()
	close(ln.closed)
}

type closing struct {
	listener *Listener
	loop     *Loop
}

func (c closing) Run() {
	for _, s := range c.loop.table {
		if s == nil {
			continue
		}
		if a, ok := s.handler.(*acceptor); ok && a.listener == c.listener {
			a.end()
			return
		}
	}
}

// An acceptor is a listener's part on one loop.
type acceptor struct {
	Socket
	listener *Listener
	loop     *Loop
	in       Incoming
	retry    Timer
	wait     time.Duration
	stalled  bool // not in the epoll set, until retry expires
}

// mostAccepted is how many connections a loop accepts before it handles other events.
const mostAccepted = 64

func (a *acceptor) begin() {
	l := a.loop
	if l.stopping {
		a.listener.leave()
		return
	}
	a.Socket = Socket{loop: l, handler: a, flags: raw, plug: plug{a.listener.fd}}
	l.register(&a.Socket)
	a.watch()
}

// watch adds the listening socket to the epoll set, level-triggered, so that there is another event if connections are left.
func (a *acceptor) watch() {
	a.stalled = false
	if errno := epollAdd(a.loop.driver.epoll, a.fd, syscall.EPOLLIN|epollExclusive, a.slot, a.generation); errno != 0 {
		a.stall(errno)
	}
}

func (a *acceptor) Ready(e Events) {
	if e&Failed != 0 { // the loop stops
		a.end()
		return
	}
	for range mostAccepted {
		if !a.one() {
			return
		}
	}
}

// one accepts a connection, if there is one.
func (a *acceptor) one() bool {
	from := &a.loop.driver.from
	fd, errno := from.accept(a.fd)
	switch errno {
	case 0:
		a.wait = firstBackoff
		a.in = Incoming{peer: from.addrPort(), incoming: incoming{fd}}
		a.in.deliver(a.loop, a.listener.accept)
		return true
	case syscall.EAGAIN:
		a.wait = firstBackoff
		return false
	case syscall.EINTR, syscall.ECONNABORTED, syscall.EPERM, syscall.EPROTO, syscall.ENOPROTOOPT, syscall.ENETDOWN, syscall.EHOSTDOWN,
		syscall.ENONET, syscall.EHOSTUNREACH, syscall.EOPNOTSUPP, syscall.ENETUNREACH, syscall.ETIMEDOUT:
		return true // it concerns that one connection, which was aborted or blocked by a firewall (see accept(2))
	default: // EMFILE, ENFILE, ENOBUFS, ENOMEM; or a broken listening socket, for which the loop must not spin
		a.stall(errno)
		return false
	}
}

// stall makes the loop try again after a while.
func (a *acceptor) stall(errno syscall.Errno) {
	if !a.stalled {
		a.stalled = true
		epollDelete(a.loop.driver.epoll, a.fd)
	}
	a.retry.Reset(a.wait)
	if a.listener.trouble != nil {
		a.listener.trouble(os.NewSyscallError("accept", errno), a.wait)
	}
	a.wait = min(2*a.wait, lastBackoff)
}

func (a *acceptor) Expired(*Timer) { a.watch() }

// end accepts what is queued and stops accepting.
func (a *acceptor) end() {
	if a.generation == 0 {
		return
	}
	if !a.loop.stopping {
		for a.one() {
		}
	}
	a.retry.Stop()
	if !a.stalled {
		epollDelete(a.loop.driver.epoll, a.fd)
	}
	a.loop.unregister(&a.Socket)
	a.listener.leave()
}

// incoming is the driver's part of an Incoming.
type incoming struct {
	fd int32 // -1: opened or closed
}

// deliver passes the connection to the loop that will own it.
func (in *Incoming) deliver(l *Loop, accept func(*Incoming)) {
	in.loop = l.owner()
	if in.loop == l {
		in.hand(accept)
		return
	}
	if g := (&given{*in, accept}); !in.loop.Post(g) {
		g.Close()
	}
}

// Open makes the connection a socket of its loop. On an error the connection is closed.
func (in *Incoming) Open(s *Socket, handler Handler) error {
	if in.fd < 0 {
		return net.ErrClosed
	}
	if err := s.attach(in.loop, in.fd, in.peer, handler, accepted|mayWrite); err != nil {
		in.Close()
		return err
	}
	in.fd = -1
	return nil
}

// Close closes the connection without opening it.
func (in *Incoming) Close() {
	if in.fd >= 0 {
		closeDescriptor(in.fd)
		in.fd = -1
		in.loop.open.Add(-1)
	}
}
