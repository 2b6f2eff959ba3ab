package front

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
)

// readHeader takes a PROXY header off a stream. rest is what HTTP gets to see.
func readHeader(f *connection, stream string, sizes []byte) (peer netip.AddrPort, rest string, taken bool) {
	c := newConn(f.listener, &pieces{left: stream, sizes: sizes})
	if !c.readProxyHeader() {
		return peer, "", false
	}
	b, _ := io.ReadAll(&c.link)
	return c.Peer(), string(b), true
}

// FuzzProxyHeader: whatever addresses a header names, in version 1 or 2, arrive, and what stands behind it
// is left as it is. An arbitrary header is taken to the end that its own length or line end gives, or not at all.
func FuzzProxyHeader(f *testing.F) {
	for _, tc := range proxyHeaders {
		f.Add([]byte(tc.header+"GET"), []byte{192, 0, 2, 1}, uint16(80), []byte{3})
		f.Add([]byte(tc.header+"\r\n"), netip.MustParseAddr("2001:db8::1").AsSlice(), uint16(65535), []byte{20, 1})
	}
	front := newConnection(true)
	f.Fuzz(func(t *testing.T, raw, address []byte, port uint16, sizes []byte) {
		if addr, ok := netip.AddrFromSlice(address); ok && !addr.Is4In6() {
			checkAddress(t, front, netip.AddrPortFrom(addr, port), string(raw), sizes)
		}
		peer, rest, taken := readHeader(front, string(raw), sizes)
		if peer2, rest2, taken2 := readHeader(front, string(raw), nil); peer != peer2 || rest != rest2 || taken != taken2 {
			t.Fatalf("%q: %v %q %v in pieces, %v %q %v as a whole", raw, peer, rest, taken, peer2, rest2, taken2)
		}
		header, is := strings.CutSuffix(string(raw), rest)
		switch {
		case !taken:
		case !is:
			t.Fatalf("%q is followed by %q", raw, rest)
		case strings.HasPrefix(header, proxyV2Start):
			if len(header) != 16+int(binary.BigEndian.Uint16(raw[14:])) || raw[12]>>4 != 2 {
				t.Fatalf("%q was taken as a header", header)
			}
		case !strings.HasPrefix(header, "PROXY ") || strings.Index(header, "\r\n") != len(header)-2 || len(header) > 107 ||
			!strings.HasPrefix(header, "PROXY UNKNOWN") && !strings.HasSuffix(strings.Join(strings.Split(header, " ")[:5], " "), fmt.Sprint(" ", peer.Port())):
			t.Fatalf("%q was taken as a header", header)
		}
	})
}

// checkAddress writes headers that name the source and reads them.
func checkAddress(t *testing.T, front *connection, source netip.AddrPort, rest string, sizes []byte) {
	t.Helper()
	family, text := byte(0x11), "TCP4"
	if source.Addr().Is6() {
		family, text = 0x21, "TCP6"
	}
	v1 := fmt.Sprintf("PROXY %s %s %s %d 80\r\n", text, source.Addr(), source.Addr(), source.Port())
	v2 := proxyV2(1, family, len(sizes), source.String(), source.String())
	for _, header := range []string{v1, v2} {
		if peer, got, taken := readHeader(front, header+rest, sizes); !taken || peer != source || got != rest {
			t.Fatalf("%q%q: peer %v, then %q, %v", header, rest, peer, got, taken)
		}
	}
}
