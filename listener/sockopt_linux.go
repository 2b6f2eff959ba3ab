package listener

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// firstUnsent is how many bytes beyond what is on its way the kernel is to take for a client at first. By itself it takes
// megabytes, and some hundred clients that do not read would leave no memory for the sockets of the others.
const firstUnsent = 32 << 10

// tuneListener sets what accepted sockets inherit from the listening one: the kernel probes silent clients
// after 15 s, every 15 s, nine times; and takes firstUnsent bytes.
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
