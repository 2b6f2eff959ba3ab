package front

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// controlListener makes the kernel probe silent clients: 15 s of silence, then every 15 s, nine times.
func controlListener(_, _ string, raw syscall.RawConn) error {
	var err error
	controlErr := raw.Control(func(fd uintptr) {
		for _, option := range [...][3]int{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
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
