package listener

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// link is one end of a connection between two processes, which keeps the boundaries of messages.
type link struct {
	*net.UnixConn
	tags   []byte // of the older processes, one after the other
	buffer []byte // for one message
	serves bool   // the newer process has said so
}

// A message of a link is an address of 16 bytes, a port, the length of what the system said of the packet, that, and the packet.
const (
	messageHead = 16 + 2 + 2
	mostMessage = messageHead + 256 + 2048
)

// write sends a packet. One for which there is no room is lost, as on a network.
func (l *link) write(m *ipv4.Message) {
	from, ok := m.Addr.(*net.UDPAddr)
	if !ok {
		return
	}
	address := from.AddrPort().Addr().As16()
	b := append(l.buffer[:0], address[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(from.Port))
	b = binary.BigEndian.AppendUint16(b, uint16(m.NN))
	b = append(append(b, m.OOB[:m.NN]...), m.Buffers[0][:m.N]...)
	trySend(l.UnixConn, b)
}

// serving is the message by which the newer process says that it reads the socket. No packet is as short.
var serving = []byte{1}

// read reads one packet.
func (l *link) read(ms []ipv4.Message) (int, error) {
	for {
		n, err := l.Read(l.buffer)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, io.EOF
		}
		if n == len(serving) {
			l.serves = true
			continue
		}
		if m := &ms[0]; unpack(l.buffer[:n], m) {
			return 1, nil
		}
	}
}

// unpack makes a packet of a message. It reports false if it is none.
func unpack(b []byte, m *ipv4.Message) bool {
	if len(b) < messageHead {
		return false
	}
	address := netip.AddrFrom16([16]byte(b)).Unmap()
	port, size := binary.BigEndian.Uint16(b[16:]), int(binary.BigEndian.Uint16(b[18:]))
	b = b[messageHead:]
	if size > len(b) || size > len(m.OOB) || len(b)-size > len(m.Buffers[0]) {
		return false
	}
	m.Addr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, port))
	m.NN = copy(m.OOB, b[:size])
	m.N = copy(m.Buffers[0], b[size:])
	return true
}
