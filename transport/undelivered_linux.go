package transport

import "golang.org/x/sys/unix"

// undelivered reports whether it is certain that a backend that closed the connection received nothing of the current request. A FIN
// acknowledges everything received before it (RFC 9293 section 3.10.7.4): if no byte of the request has been acknowledged, the
// backend closed the connection before it could read any. A reset, and the end of a unix socket, allow no such conclusion.
func (c *Conn) undelivered() bool {
	if !c.Peer().IsValid() {
		return false
	}
	if c.Descriptor() < 0 {
		return false
	}
	info, err := unix.GetsockoptTCPInfo(c.Descriptor(), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return false
	}
	const syn = 1                    // counted like a byte
	acked := int64(info.Bytes_acked) // zero before Linux 4.1
	return acked >= syn && acked <= c.before+syn
}
