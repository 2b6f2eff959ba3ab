package http1

import (
	"golang.org/x/sys/unix"

	"lb/netloop"
)

// unsent is how many bytes the system may take for a client that reads beyond what is on its way: more than a socket holds.
const unsent = 64 << 20

// takeMore ends the limit of TCP_NOTSENT_LOWAT that a listener may have set for clients that are not known to read. It saves
// system calls for large responses.
func takeMore(s *netloop.Socket) {
	if fd := s.Descriptor(); fd >= 0 && s.Peer().IsValid() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	}
}
