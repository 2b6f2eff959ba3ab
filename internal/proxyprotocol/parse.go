package proxyprotocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
)

var errMalformed = errors.New("malformed PROXY header")

// Parse parses the PROXY header at the start of b, version 1 or 2. A zero source means the peer itself. end is the length of
// the header. If b is incomplete, need is the minimum number of missing bytes.
func Parse(b []byte) (source netip.AddrPort, end, need int, err error) {
	switch {
	case len(b) == 0:
		return source, 0, v1Min, nil
	case isPrefix(b, v2Start):
		return parseV2(b)
	case isPrefix(b, v1Start):
		return parseV1(b)
	}
	return source, 0, 0, errMalformed
}

// isPrefix reports whether b begins with start, or is the beginning of start.
func isPrefix(b []byte, start string) bool {
	k := min(len(b), len(start))
	return string(b[:k]) == start[:k]
}

// parseV1 parses "PROXY TCP4|TCP6 source destination port port CRLF", or "PROXY UNKNOWN … CRLF".
func parseV1(b []byte) (source netip.AddrPort, end, need int, err error) {
	end = bytes.IndexByte(b, '\n') + 1
	switch {
	case end > v1Max, end == 0 && len(b) >= v1Max:
		return source, 0, 0, errMalformed
	case end == 0 && len(b) < v1Min:
		return source, 0, v1Min - len(b), nil
	case end == 0 && b[len(b)-1] == '\r':
		return source, 0, 1, nil
	case end == 0:
		return source, 0, 2, nil
	}
	line, ok := strings.CutSuffix(string(b[:end]), "\r\n")
	fields := strings.Split(line, " ")
	switch {
	case !ok || len(fields) < 2:
		return source, 0, 0, errMalformed
	case fields[1] == "UNKNOWN":
		return source, end, 0, nil
	case len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6":
		return source, 0, 0, errMalformed
	}
	source, err = v1Address(fields[1], fields[2], fields[4])
	if err == nil {
		_, err = v1Address(fields[1], fields[3], fields[5])
	}
	if err != nil {
		return netip.AddrPort{}, 0, 0, err
	}
	return source, end, 0, nil
}

func v1Address(family, address, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" || a.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, errMalformed
	}
	n := 0
	for _, c := range []byte(port) {
		if c < '0' || c > '9' || n > 65535 {
			return netip.AddrPort{}, errMalformed
		}
		n = n*10 + int(c-'0')
	}
	if port == "" || n > 65535 || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, errMalformed
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// parseV2 parses the binary header.
func parseV2(b []byte) (source netip.AddrPort, end, need int, err error) {
	if len(b) < v2Min {
		return source, 0, v2Min - len(b), nil
	}
	length := int(binary.BigEndian.Uint16(b[14:]))
	command, family := b[12], b[13]
	if command&0xf0 != v2Version || command&0x0f > v2Proxy || length > v2Max {
		return source, 0, 0, errMalformed
	}
	end = v2Min + length
	if len(b) < end {
		return source, 0, end - len(b), nil
	}
	if command&0x0f == v2Local { // LOCAL: from the proxy itself, such as a health check
		return source, end, 0, nil
	}
	source, ok := v2Source(family, b[v2Min:end])
	if !ok {
		return netip.AddrPort{}, 0, 0, errMalformed
	}
	return source, end, 0, nil
}

// v2Source returns a zero address for families other than TCP over IPv4 or IPv6.
func v2Source(family byte, b []byte) (source netip.AddrPort, ok bool) {
	switch family {
	case v2TCP4:
		if len(b) < 12 {
			return source, false
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), binary.BigEndian.Uint16(b[8:])), true
	case v2TCP6:
		if len(b) < 36 {
			return source, false
		}
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), binary.BigEndian.Uint16(b[32:])), true
	case v2Unspecified, 0x12, 0x22, 0x31, 0x32:
		return source, true
	}
	return source, false
}
