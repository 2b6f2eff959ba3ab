package transport

import (
	"crypto/tls"
	"io"
	"net"
	"syscall"
	"unsafe"
)

// liveness looks, without waiting, at what has come on an idle connection.
type liveness struct {
	raw    syscall.RawConn
	peek   func(fd uintptr)
	byte   [1]byte
	result int // of the system call; -errno if it failed

	secure *tls.Conn // nil: plain
}

func (l *liveness) init(nc net.Conn) {
	if secure, ok := nc.(*tls.Conn); ok {
		l.secure = secure
		return
	}
	if sc, ok := nc.(syscall.Conn); ok {
		l.raw, _ = sc.SyscallConn()
	}
	// Built once, so that a look allocates nothing.
	l.peek = func(fd uintptr) { l.result = receive(fd, l.byte[:], syscall.MSG_PEEK) }
}

// sees reports whether alive can tell anything.
func (l *liveness) sees() bool { return l.secure != nil || l.raw != nil }

// alive reports whether the connection can carry another request: the peer has neither ended
// it nor sent anything unasked. Under TLS what came is read, since it may be a session
// ticket, which means nothing, as well as the end of the stream or the beginning of a response.
func (c *Conn) alive() bool {
	l := &c.look
	if l.secure != nil {
		c.under.hasty = true
		n, err := l.secure.Read(l.byte[:])
		c.under.hasty = false
		return n == 0 && err == errQuiet
	}
	if l.raw == nil {
		return true
	}
	if err := l.raw.Control(l.peek); err != nil {
		return false
	}
	return l.result == -int(syscall.EAGAIN)
}

// receive is one recv(2) that does not wait.
func receive(fd uintptr, p []byte, flags uintptr) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		flags|syscall.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return -int(errno)
	}
	return int(n)
}

// read takes, while the socket is hasty, what is there, and fails with errQuiet if that is nothing.
func (s *socket) read(p []byte) (int, error) {
	if !s.hasty || len(p) == 0 {
		return s.Conn.Read(p)
	}
	sc, ok := s.Conn.(syscall.Conn)
	if !ok {
		return 0, errQuiet
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	n := 0
	if err := raw.Control(func(fd uintptr) { n = receive(fd, p, 0) }); err != nil {
		return 0, err
	}
	switch {
	case n == -int(syscall.EAGAIN):
		return 0, errQuiet
	case n < 0:
		return 0, syscall.Errno(-n)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// errQuiet is a temporary net.Error, after which TLS can be read on.
var errQuiet error = quiet{}

type quiet struct{}

func (quiet) Error() string   { return "nothing has come" }
func (quiet) Timeout() bool   { return true }
func (quiet) Temporary() bool { return true }
