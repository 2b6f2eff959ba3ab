//go:build unix

package front

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptorLimit returns how many descriptors the process may have open.
func descriptorLimit() (int, bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<30 {
		return 0, false
	}
	return int(limit.Cur), true
}

// readable reports whether a read from the socket would return at once: with bytes, the end or an error.
func readable(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	found := false
	raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		found = err != unix.EAGAIN && err != unix.EWOULDBLOCK
	})
	return found
}

// isIPv6Only reports whether a listener on [::] leaves IPv4 to others.
func isIPv6Only(ln net.Listener) bool {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	only := 0
	raw.Control(func(fd uintptr) { only, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY) })
	return err == nil && only != 0
}

// canIPv6 reports whether the kernel has IPv6 sockets.
func canIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0)
	if err != nil {
		return err != unix.EAFNOSUPPORT
	}
	unix.Close(fd)
	return true
}

// receiveNow reads what is there without waiting; nothing says that there is nothing, and no end or error.
func receiveNow(nc net.Conn, p []byte) (n int, nothing bool) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, false
	}
	raw.Control(func(fd uintptr) {
		n, _, err = unix.Recvfrom(int(fd), p, unix.MSG_DONTWAIT)
		nothing = err == unix.EAGAIN || err == unix.EWOULDBLOCK || err == unix.EINTR
	})
	return n, nothing
}
