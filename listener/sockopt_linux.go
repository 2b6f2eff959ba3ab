package listener

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// firstUnsent is the TCP_NOTSENT_LOWAT of new connections: how many bytes the kernel buffers that have not been sent yet. By default
// it buffers megabytes, so that some hundred clients that do not read could use up the memory for all sockets.
const firstUnsent = 32 << 10

// tuneListener sets options that accepted sockets inherit from the listening one: TCP keep-alive, which sends nine probes every 15 s
// after 15 s of silence, and firstUnsent.
func tuneListener(_, _ string, raw syscall.RawConn) error {
	var err error
	controlErr := raw.Control(func(fd uintptr) {
		for _, option := range [...][3]int{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
			{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, firstUnsent},
		} {
			if err = unix.SetsockoptInt(int(fd), option[0], option[1], option[2]); err != nil {
				return
			}
		}
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}
