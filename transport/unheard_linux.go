package transport

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// unheard reports whether it is certain that nothing of the present request came to the backend, which has ended
// its stream. The end bears the number of the last byte that had come before it (RFC 9293 section 3.10.7.4), so
// if the system counts none of the request as acknowledged now, the backend had ended the connection before it could
// read any. Nothing of the sort is known of a reset, nor of the end of a unix socket.
func (c *Conn) unheard() bool {
	socket := c.nc.Conn
	if c.under != nil {
		socket = c.under.Conn
	}
	sc, ok := socket.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var acked int64
	err = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			acked = int64(info.Bytes_acked) // zero before Linux 4.1
		}
	})
	const syn = 1 // which is counted like a byte
	return err == nil && acked >= syn && acked <= c.before+syn
}
