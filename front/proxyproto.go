package front

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
)

// The PROXY protocol, https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
const (
	proxyV1Max   = 107     // bytes of a version 1 header, CRLF included
	proxyV2Max   = 4 << 10 // bytes of addresses and extensions that are taken in version 2
	proxyV2Start = "\r\n\r\n\x00\r\nQUIT\n"
)

var (
	errProxyHeader   = errors.New("malformed PROXY header")
	errUntrustedPeer = errors.New("peer is not among the trusted proxies")
)

// readProxyHeader takes the client's address from the PROXY header that must come first. It
// reports false if the connection is to be closed.
func (c *Conn) readProxyHeader() bool {
	err := errUntrustedPeer
	if c.peerTrusted() {
		c.renewHead()
		err = c.parseProxyHeader()
	}
	if err != nil {
		c.listener.socket.front.log.Debug("no usable PROXY header", "peer", c.peer, "listener", c.listener.Address, "error", err)
	}
	return err == nil
}

// peerTrusted lets the peers of a unix socket pass: its file's mode is what guards it.
func (c *Conn) peerTrusted() bool {
	if !c.peer.IsValid() {
		return true
	}
	for _, prefix := range c.listener.options.TrustedProxies {
		if prefix.Contains(c.peer.Addr()) {
			return true
		}
	}
	return false
}

func (c *Conn) parseProxyHeader() error {
	buf := make([]byte, 16+proxyV2Max)
	n, err := io.ReadAtLeast(&c.link, buf, len("PROXY \r\n"))
	if err != nil {
		return err
	}
	end, source := 0, netip.AddrPort{}
	if k := min(n, len(proxyV2Start)); string(buf[:k]) == proxyV2Start[:k] {
		end, source, err = parseProxyV2(&c.link, buf, n, &n)
	} else {
		end, source, err = parseProxyV1(&c.link, buf, n, &n)
	}
	if err != nil {
		return err
	}
	if source.IsValid() {
		c.peer = source
	}
	if n > end {
		c.link.ahead = append(c.link.ahead, buf[end:n]...)
	}
	return nil
}

// parseProxyV1 reads "PROXY TCP4|TCP6 source destination port port CRLF", or "PROXY UNKNOWN … CRLF".
// have bytes are in buf; *total is how many are there in the end. A zero source means the peer itself.
func parseProxyV1(r io.Reader, buf []byte, have int, total *int) (end int, source netip.AddrPort, err error) {
	for end = bytes.IndexByte(buf[:have], '\n') + 1; end == 0; end = bytes.IndexByte(buf[:have], '\n') + 1 {
		if have >= proxyV1Max {
			return 0, source, errProxyHeader
		}
		n, err := r.Read(buf[have:])
		if have += n; n == 0 && err != nil {
			return 0, source, err
		}
	}
	*total = have
	line, ok := strings.CutSuffix(string(buf[:end]), "\r\n")
	if !ok || end > proxyV1Max {
		return 0, source, errProxyHeader
	}
	fields := strings.Split(line, " ")
	if fields[0] != "PROXY" || len(fields) < 2 {
		return 0, source, errProxyHeader
	}
	if fields[1] == "UNKNOWN" {
		return end, source, nil
	}
	if len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6" {
		return 0, source, errProxyHeader
	}
	source, err = proxyV1Address(fields[1], fields[2], fields[4])
	if err == nil {
		_, err = proxyV1Address(fields[1], fields[3], fields[5])
	}
	return end, source, err
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

// parseProxyV2 reads the binary header. Arguments and results are as for parseProxyV1.
func parseProxyV2(r io.Reader, buf []byte, have int, total *int) (end int, source netip.AddrPort, err error) {
	fill := func(want int) error {
		for have < want {
			n, err := r.Read(buf[have:])
			if have += n; n == 0 && err != nil {
				return err
			}
		}
		return nil
	}
	if err := fill(16); err != nil {
		return 0, source, err
	}
	if string(buf[:12]) != proxyV2Start {
		return 0, source, errProxyHeader
	}
	length := int(binary.BigEndian.Uint16(buf[14:]))
	command, family := buf[12], buf[13]
	if command&0xf0 != 0x20 || command&0x0f > 1 || length > proxyV2Max {
		return 0, source, errProxyHeader
	}
	end = 16 + length
	if err := fill(end); err != nil {
		return 0, source, err
	}
	*total = have
	if command&0x0f == 0 { // LOCAL: the proxy itself speaks, a health check say
		return end, source, nil
	}
	source, ok := proxyV2Source(family, buf[16:end])
	if !ok {
		return 0, source, errProxyHeader
	}
	return end, source, nil
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
