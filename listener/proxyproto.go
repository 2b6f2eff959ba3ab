package listener

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"lb/netloop"
)

// The PROXY protocol, https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
const (
	proxyV1Start = "PROXY "
	proxyV1Min   = len("PROXY UNKNOWN\r\n")
	proxyV1Max   = 107 // bytes of a version 1 header, CRLF included

	proxyV2Start = "\r\n\r\n\x00\r\nQUIT\n"
	proxyV2Min   = 16
	proxyV2Max   = 4 << 10 // bytes of addresses and extensions that are taken in version 2
)

var (
	errProxyHeader   = errors.New("malformed PROXY header")
	errUntrustedPeer = errors.New("peer is not among the trusted proxies")
)

// readHeader takes the client's address from the PROXY header that must come first.
func (c *conn) readHeader() {
	o := c.opening
	for {
		buf := c.worker.Loop.Scratch()
		n := copy(buf, o.came)
		room := buf[n:]
		if c.listener.TLS { // what follows must stay in the socket for the handshake
			_, _, need, _ := parseProxyHeader(o.came)
			room = room[:need]
		}
		k, err := c.Socket.Read(room)
		if err == netloop.ErrWouldBlock {
			return
		}
		if err != nil {
			c.refuseHeader(err)
			return
		}
		source, end, need, err := parseProxyHeader(buf[:n+k])
		switch {
		case err != nil:
			c.refuseHeader(err)
			return
		case need > 0:
			o.came = append(o.came[:0], buf[:n+k]...)
			continue
		case source.IsValid():
			c.Info.Peer = source
		}
		o.came = nil
		c.admit(buf[end : n+k])
		return
	}
}

// refuseHeader closes a connection without a usable PROXY header.
func (c *conn) refuseHeader(err error) {
	c.listener.socket.set.log.Debug("no usable PROXY header", "peer", c.Info.Peer, "listener", c.listener.Address, "error", err)
	c.end()
}

// parseProxyHeader reads the PROXY header that b begins with, in version 1 or 2. A zero source means the peer itself. end is the length of the
// header; if b does not have all of it, need is how many more bytes it has at least.
func parseProxyHeader(b []byte) (source netip.AddrPort, end, need int, err error) {
	switch {
	case len(b) == 0:
		return source, 0, proxyV1Min, nil
	case isPrefix(b, proxyV2Start):
		return parseProxyV2(b)
	case isPrefix(b, proxyV1Start):
		return parseProxyV1(b)
	}
	return source, 0, 0, errProxyHeader
}

// isPrefix reports whether b begins with start, as far as it has come.
func isPrefix(b []byte, start string) bool {
	k := min(len(b), len(start))
	return string(b[:k]) == start[:k]
}

// parseProxyV1 reads "PROXY TCP4|TCP6 source destination port port CRLF", or "PROXY UNKNOWN … CRLF".
func parseProxyV1(b []byte) (source netip.AddrPort, end, need int, err error) {
	end = bytes.IndexByte(b, '\n') + 1
	switch {
	case end > proxyV1Max, end == 0 && len(b) >= proxyV1Max:
		return source, 0, 0, errProxyHeader
	case end == 0 && len(b) < proxyV1Min:
		return source, 0, proxyV1Min - len(b), nil
	case end == 0 && b[len(b)-1] == '\r':
		return source, 0, 1, nil
	case end == 0:
		return source, 0, 2, nil
	}
	line, ok := strings.CutSuffix(string(b[:end]), "\r\n")
	fields := strings.Split(line, " ")
	switch {
	case !ok || len(fields) < 2:
		return source, 0, 0, errProxyHeader
	case fields[1] == "UNKNOWN":
		return source, end, 0, nil
	case len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6":
		return source, 0, 0, errProxyHeader
	}
	source, err = proxyV1Address(fields[1], fields[2], fields[4])
	if err == nil {
		_, err = proxyV1Address(fields[1], fields[3], fields[5])
	}
	if err != nil {
		return netip.AddrPort{}, 0, 0, err
	}
	return source, end, 0, nil
}

func proxyV1Address(family, address, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" || a.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, errProxyHeader
	}
	n := 0
	for _, c := range []byte(port) {
		if c < '0' || c > '9' || n > 65535 {
			return netip.AddrPort{}, errProxyHeader
		}
		n = n*10 + int(c-'0')
	}
	if port == "" || n > 65535 || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, errProxyHeader
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// parseProxyV2 reads the binary header.
func parseProxyV2(b []byte) (source netip.AddrPort, end, need int, err error) {
	if len(b) < proxyV2Min {
		return source, 0, proxyV2Min - len(b), nil
	}
	length := int(binary.BigEndian.Uint16(b[14:]))
	command, family := b[12], b[13]
	if command&0xf0 != 0x20 || command&0x0f > 1 || length > proxyV2Max {
		return source, 0, 0, errProxyHeader
	}
	end = proxyV2Min + length
	if len(b) < end {
		return source, 0, end - len(b), nil
	}
	if command&0x0f == 0 { // LOCAL: the proxy itself speaks, a health check say
		return source, end, 0, nil
	}
	source, ok := proxyV2Source(family, b[proxyV2Min:end])
	if !ok {
		return netip.AddrPort{}, 0, 0, errProxyHeader
	}
	return source, end, 0, nil
}

// proxyV2Source returns a zero address for families other than TCP over IPv4 or IPv6.
func proxyV2Source(family byte, b []byte) (source netip.AddrPort, ok bool) {
	switch family {
	case 0x11:
		if len(b) < 12 {
			return source, false
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), binary.BigEndian.Uint16(b[8:])), true
	case 0x21:
		if len(b) < 36 {
			return source, false
		}
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), binary.BigEndian.Uint16(b[32:])), true
	case 0x00, 0x12, 0x22, 0x31, 0x32:
		return source, true
	}
	return source, false
}
