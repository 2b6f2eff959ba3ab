package onloop

import "golang.org/x/sys/unix"

// unheard reports whether it is certain that nothing of the present request came to the backend, which has ended
// its stream. The end bears the number of the last byte that had come before it (RFC 9293 section 3.10.7.4), so
// if the system counts none of the request as acknowledged now, the backend had ended the connection before it could
// read any. Nothing of the sort is known of a reset, nor of the end of a unix socket.
func (c *Conn) unheard() bool {
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
	const syn = 1                    // which is counted like a byte
	acked := int64(info.Bytes_acked) // zero before Linux 4.1
	return acked >= syn && acked <= c.before+syn
}
