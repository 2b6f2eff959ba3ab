package http1

import (
	"golang.org/x/sys/unix"

	"lb/netloop"
)

// unsent is the TCP_NOTSENT_LOWAT of clients that read promptly, in bytes: more than a send buffer, so that it has no effect.
const unsent = 64 << 20

// takeMore removes the limit of TCP_NOTSENT_LOWAT that a listener may have set, which saves system calls in large responses.
func takeMore(s *netloop.Socket) {
	if fd := s.Descriptor(); fd >= 0 && s.Peer().IsValid() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	}
}
