//go:build linux && (amd64 || arm64) && !portable

package netloop

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// How long a dial waits before it retries while the accept queue of a unix socket is full, for which the kernel has no event.
const (
	firstRetry = time.Millisecond
	lastRetry  = 64 * time.Millisecond
)

// Dial opens the socket and connects it to the address. The handler gets Connected or Failed, always later. The only timeout is the
// kernel's, which is minutes: to end the dial earlier, close the socket. Dial returns an error if the socket could not be opened.
func (l *Loop) Dial(s *Socket, address netip.AddrPort, handler Handler) error {
	var to sockaddr
	return l.dial(s, to.set(address), &to, address, handler)
}

// DialUnix is Dial for a unix socket.
func (l *Loop) DialUnix(s *Socket, path string, handler Handler) error {
	var to sockaddr
	if errno := to.setPath(path); errno != 0 {
		return errno
	}
	return l.dial(s, syscall.AF_UNIX, &to, netip.AddrPort{}, handler)
}

func (l *Loop) dial(s *Socket, family uintptr, to *sockaddr, peer netip.AddrPort, handler Handler) error {
	fd, errno := openSocket(family)
	if errno != 0 {
		return errno
	}
	if family != syscall.AF_UNIX {
		tune(fd)
	}
	errno = to.connect(fd)
	if err := s.attach(l, fd, peer, handler, connecting); err != nil {
		closeDescriptor(fd)
		return err
	}
	switch errno {
	case 0:
		l.Later(&dialResult{l, s.registration(), nil})
	case syscall.EINPROGRESS, syscall.EINTR: // an event will follow
	case syscall.EAGAIN:
		r := &dialRetry{loop: l, socket: s.registration(), to: *to, wait: firstRetry}
		r.timer.Init(l, r)
		r.timer.Reset(r.wait)
	default:
		l.Later(&dialResult{l, s.registration(), errno})
	}
	return nil
}

// tune sets the options of every TCP connection: no Nagle algorithm, and the keep-alive probes that Go uses by default.
func tune(fd int32) {
	setOption(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	setOption(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	setOption(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15)
	setOption(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15)
	setOption(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9)
}

// dialResult delivers the result of a dial that was known at once.
type dialResult struct {
	loop   *Loop
	socket registration
	err    error
}

func (r *dialResult) Run() {
	s := r.loop.find(r.socket)
	if s == nil || s.flags&connecting == 0 {
		return
	}
	s.deliver(s.dialed(r.err))
}

// dialRetry is a dial to a unix socket whose accept queue is full.
type dialRetry struct {
	loop   *Loop
	socket registration
	to     sockaddr
	wait   time.Duration
	timer  Timer
}

func (r *dialRetry) Expired(*Timer) {
	s := r.loop.find(r.socket)
	if s == nil {
		return
	}
	errno := r.to.connect(s.fd)
	if errno == syscall.EAGAIN {
		r.wait = min(2*r.wait, lastRetry)
		r.timer.Reset(r.wait)
		return
	}
	result := dialResult{r.loop, r.socket, nil}
	if errno != 0 {
		result.err = errno
	}
	result.Run()
}

// noteDial is note for a socket that is connecting. The kernel reports such a socket as hung up before connect has begun, and while a
// unix socket's queue is full; only the end of an attempt counts.
func (s *Socket) noteDial(bits uint32) Events {
	if !s.peer.IsValid() {
		return 0 // the result for a unix socket does not come by event
	}
	if bits&(syscall.EPOLLOUT|syscall.EPOLLERR|syscall.EPOLLHUP) == 0 {
		return 0
	}
	code, err := syscall.GetsockoptInt(int(s.fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err == nil && code != 0 {
		err = syscall.Errno(code)
	}
	e := s.dialed(err)
	if e == Connected {
		e |= s.note(bits)
	}
	return e
}

// dialed ends the dial.
func (s *Socket) dialed(err error) Events {
	s.flags &^= connecting
	if err == nil && s.peer.IsValid() && s.local() == s.peer {
		err = syscall.ECONNREFUSED // the kernel chose the same port as the source port, so the socket is connected to itself
	}
	if err != nil {
		s.err = err
		s.flags |= failed
		return Failed
	}
	s.flags |= mayWrite
	return Connected
}

func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}
