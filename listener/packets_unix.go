//go:build unix

package listener

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// trySend sends a message if there is room for it now.
func trySend(c *net.UnixConn, b []byte) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Write(func(fd uintptr) bool {
			_ = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
			return true
		})
	}
}

// linked returns the two ends of a link: ours, and a file for the other process.
func linked() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
		_ = unix.SetNonblock(fd, true)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "link"), os.NewFile(uintptr(fds[1]), "link")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err == nil {
		if end, ok := conn.(*net.UnixConn); ok {
			return end, theirs, nil
		}
		_ = conn.Close()
		err = errors.ErrUnsupported
	}
	_ = theirs.Close()
	return nil, nil, err
}
