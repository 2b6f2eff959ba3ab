//go:build linux && (amd64 || arm64) && !portable

package netloop

import "syscall"

// portable says that goroutines read ahead of the loop, so that the end of a stream is not detected before the bytes before it are read.
const portable = false

// portBound is how many bytes the driver buffers for a socket.
const portBound = 0

// arrived reports whether the kernel has something for the socket to read.
func arrived(s *Socket) bool {
	n, _, err := syscall.Recvfrom(s.Descriptor(), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n > 0 && err == nil
}
