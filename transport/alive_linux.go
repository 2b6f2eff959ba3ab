package transport

import (
	"crypto/tls"
	"net"
	"syscall"
	"unsafe"
)

// liveness looks, without waiting and without taking anything, at what the kernel has received
// on an idle connection.
type liveness struct {
	raw    syscall.RawConn
	peek   func(fd uintptr)
	byte   [1]byte
	result int
	secure bool
}

func (l *liveness) init(nc net.Conn) {
	if secure, ok := nc.(*tls.Conn); ok {
		l.secure = true
		nc = secure.NetConn()
	}
	if sc, ok := nc.(syscall.Conn); ok {
		l.raw, _ = sc.SyscallConn()
	}
	// Built once, so that a look allocates nothing.
	l.peek = func(fd uintptr) {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&l.byte[0])), 1,
			syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		l.result = int(n)
		if errno != 0 {
			l.result = -int(errno)
		}
	}
}

// alive reports whether the connection can carry another request: the peer has neither ended
// it nor sent anything unasked. Under TLS bytes may be session tickets, so there
// only the end of the stream and errors count.
func (c *Conn) alive() bool {
	l := &c.look
	if l.raw == nil {
		return true
	}
	if err := l.raw.Control(l.peek); err != nil {
		return false
	}
	return l.result == -int(syscall.EAGAIN) || l.secure && l.result > 0
}
