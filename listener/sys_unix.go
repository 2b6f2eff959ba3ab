//go:build unix

package listener

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

// isIPv6Only reports whether a listener on [::] does not serve IPv4.
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
