package listener

import "golang.org/x/sys/unix"

// hasHungUp reports whether the peer of a socket has at least ended its sending side. It does not wait. Of a descriptor that is
// not known, -1, it says no.
func hasHungUp(fd int) bool {
	if fd < 0 {
		return false
	}
	look := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(look[:], 0)
	return err == nil && n > 0
}
