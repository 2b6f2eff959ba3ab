//go:build linux && (amd64 || arm64) && !portable

package netloop

import "syscall"

// portable says that goroutines read ahead of the loop, so that an end behind unread bytes is not seen before they were read.
const portable = false

// portBound is what the driver buffers of a socket.
const portBound = 0

// arrived reports whether the kernel has something for the socket to read.
func arrived(s *Socket) bool {
	n, _, err := syscall.Recvfrom(s.Descriptor(), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n > 0 && err == nil
}
