//go:build linux && (amd64 || arm64) && !portable

package netloop

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
)

// mostOfFile is how many bytes one call of sendfile sends, so that it takes no more than some hundred microseconds.
const mostOfFile = 1 << 20

// plug is the driver's part of a Socket.
type plug struct {
	fd int32
}

// Descriptor returns the socket's descriptor, for options that this package does not cover; -1 if it is not available. It must not be
// closed, read or written, and no duplicate may outlive the socket.
func (s *Socket) Descriptor() int {
	if s.generation == 0 {
		return -1
	}
	return int(s.fd)
}

// attach makes the open descriptor a socket of the loop. On an error the caller still owns the descriptor.
func (s *Socket) attach(l *Loop, fd int32, peer netip.AddrPort, handler Handler, f flags) error {
	if l.stopping {
		return ErrStopped
	}
	*s = Socket{loop: l, handler: handler, peer: peer, flags: f, plug: plug{fd}}
	l.register(s)
	if errno := epollAdd(l.driver.epoll, fd, edges, s.slot, s.generation); errno != 0 {
		s.flags &^= accepted
		l.unregister(s)
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// note records what the kernel reports and returns what is new to the handler.
func (s *Socket) note(bits uint32) (e Events) {
	if s.flags&raw != 0 {
		return Readable
	}
	if s.flags&connecting != 0 {
		return s.noteDial(bits)
	}
	if bits&(syscall.EPOLLIN|syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 && s.flags&mayRead == 0 {
		s.flags |= mayRead
		e |= Readable
	}
	if bits&(syscall.EPOLLOUT|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 && s.flags&mayWrite == 0 {
		s.flags |= mayWrite
		e |= Writable
	}
	if bits&(syscall.EPOLLRDHUP|syscall.EPOLLHUP) != 0 && s.flags&hungUp == 0 {
		s.flags |= hungUp
		e |= HungUp
	}
	if bits&syscall.EPOLLERR != 0 && s.flags&failed == 0 {
		s.flags |= failed
		e |= Failed
	}
	if bits&syscall.EPOLLPRI != 0 {
		s.flags |= urgent
	}
	return e
}

func (s *Socket) receive(p []byte) (int, error) {
	if s.flags&mayRead == 0 {
		if s.generation == 0 {
			return 0, net.ErrClosed
		}
		return 0, ErrWouldBlock
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, errno := recv(s.fd, p)
		switch errno {
		case 0:
			if n == 0 {
				return 0, io.EOF
			}
			// A short read means that the socket is empty, and more bytes will cause a new event. The end of the stream would not, if it
			// was reported before.
			if n < len(p) && s.flags&(hungUp|failed|urgent) == 0 {
				s.flags &^= mayRead
			}
			return n, nil
		case syscall.EAGAIN:
			s.flags &^= mayRead
			return 0, ErrWouldBlock
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

func (s *Socket) send(head, body []byte, more bool) (int, error) {
	if s.flags&mayWrite == 0 {
		if s.generation == 0 {
			return 0, net.ErrClosed
		}
		return 0, ErrWouldBlock
	}
	size := len(head) + len(body)
	if size == 0 {
		return 0, nil
	}
	d := &s.loop.driver
	switch {
	case len(head) == 0:
		head, body = body, nil
	case len(body) == 0:
	case size <= joinSize:
		n := copy(d.join, head)
		copy(d.join[n:], body)
		head, body = d.join[:size], nil
	}
	flags := uintptr(syscall.MSG_NOSIGNAL)
	if more {
		flags |= msgMore
	}
	for {
		var n int
		var errno syscall.Errno
		if len(body) == 0 {
			n, errno = sendto(s.fd, head, flags)
		} else {
			n, errno = d.send.send(s.fd, head, body, flags)
		}
		switch errno {
		case 0:
			if n < size {
				s.flags &^= mayWrite
			}
			return n, nil
		case syscall.EAGAIN:
			s.flags &^= mayWrite
			return 0, ErrWouldBlock
		case syscall.EINTR:
		default:
			s.flags |= mayRead // what the peer sent before it closed, which no event has announced yet
			return 0, errno
		}
	}
}

func (s *Socket) sendFile(file *os.File, offset int64, n int) (int, error) {
	if s.flags&mayWrite == 0 {
		if s.generation == 0 {
			return 0, net.ErrClosed
		}
		return 0, ErrWouldBlock
	}
	if n == 0 {
		return 0, nil
	}
	for {
		// A short count may also mean the end of the file, so only EAGAIN means that the socket is full.
		done, errno := sendfile(s.fd, int32(file.Fd()), offset, min(n, mostOfFile))
		runtime.KeepAlive(file)
		switch errno {
		case 0:
			if done == 0 {
				return 0, io.ErrUnexpectedEOF
			}
			return done, nil
		case syscall.EAGAIN:
			s.flags &^= mayWrite
			return 0, ErrWouldBlock
		case syscall.EINTR:
		default:
			s.flags |= mayRead
			return 0, errno
		}
	}
}

func (s *Socket) pending() int { return 0 }

func (s *Socket) shutdown() error {
	if err := syscall.Shutdown(int(s.fd), syscall.SHUT_WR); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		return err
	}
	return nil
}

func (s *Socket) disconnect(reset bool) {
	if reset {
		_ = syscall.SetsockoptLinger(int(s.fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	}
	closeDescriptor(s.fd)
	s.fd = -1
	s.flags = 0
}

func (s *Socket) pendingError() error {
	if s.generation == 0 {
		return net.ErrClosed
	}
	code, err := syscall.GetsockoptInt(int(s.fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	switch {
	case err != nil:
		return err
	case code == 0: // a read or a write has already returned it
		return syscall.ECONNRESET
	}
	return syscall.Errno(code)
}

func (s *Socket) local() netip.AddrPort {
	if s.generation == 0 {
		return netip.AddrPort{}
	}
	return s.loop.driver.from.local(s.fd)
}
