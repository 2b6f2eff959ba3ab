package listener

import "golang.org/x/sys/unix"

// hasHungUp reports whether the peer of a socket has closed the connection or its sending side. It does not block. For the descriptor
// -1 it returns false.
func hasHungUp(fd int) bool {
	if fd < 0 {
		return false
	}
	poll := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(poll[:], 0)
	return err == nil && n > 0
}
