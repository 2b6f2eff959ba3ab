package listener

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// readHeader takes a PROXY header off a stream that comes in pieces of those sizes. rest is what HTTP gets to see.
func readHeader(t testing.TB, stream string, sizes []byte) (source netip.AddrPort, rest string, taken bool) {
	t.Helper()
	for came := 0; ; {
		source, end, need, err := parseProxyHeader([]byte(stream[:came]))
		switch {
		case err != nil:
			if source.IsValid() || end != 0 || need != 0 {
				t.Fatalf("%q: %v, %d, %d with an error", stream[:came], source, end, need)
			}
			return source, "", false
		case need > 0 == (end > 0):
			t.Fatalf("%q: has %d, needs %d", stream[:came], end, need)
		case end > 0:
			return source, stream[end:], true
		case came == len(stream):
			return source, "", false
		}
		size := len(stream)
		if len(sizes) > 0 {
			size = max(int(sizes[0]), 1)
			sizes = append(sizes[1:len(sizes):len(sizes)], sizes[0])
		}
		came = min(came+size, len(stream))
	}
}

// exactly reads as much as the header needs each time, and reports what of the stream was read.
func exactly(stream string) (read int, taken bool) {
	for {
		_, _, need, err := parseProxyHeader([]byte(stream[:read]))
		if err != nil || need == 0 {
			return read, err == nil
		}
		if read += need; read > len(stream) {
			return read, false
		}
	}
}

// FuzzProxyHeader: whatever addresses a header names, in version 1 or 2, arrive, and what stands behind it
// is left as it is. An arbitrary header is taken to the end that its own length or line end gives, or not at all.
func FuzzProxyHeader(f *testing.F) {
	for _, tc := range proxyHeaders {
		f.Add([]byte(tc.header+"GET"), []byte{192, 0, 2, 1}, uint16(80), []byte{3})
		f.Add([]byte(tc.header+"\r\n"), netip.MustParseAddr("2001:db8::1").AsSlice(), uint16(65535), []byte{20, 1})
	}
	f.Fuzz(func(t *testing.T, raw, address []byte, port uint16, sizes []byte) {
		if addr, ok := netip.AddrFromSlice(address); ok && !addr.Is4In6() {
			checkAddress(t, netip.AddrPortFrom(addr, port), string(raw), sizes)
		}
		source, rest, taken := readHeader(t, string(raw), sizes)
		if source2, rest2, taken2 := readHeader(t, string(raw), nil); source != source2 || rest != rest2 || taken != taken2 {
			t.Fatalf("%q: %v %q %v in pieces, %v %q %v as a whole", raw, source, rest, taken, source2, rest2, taken2)
		}
		header, is := strings.CutSuffix(string(raw), rest)
		if n, taken2 := exactly(string(raw)); taken && (!taken2 || n != len(header)) {
			t.Fatalf("%q: %d bytes are read for a header of %d, %v", raw, n, len(header), taken2)
		}
		switch {
		case !taken:
		case !is:
			t.Fatalf("%q is followed by %q", raw, rest)
		case strings.HasPrefix(header, proxyV2Start):
			if len(header) != 16+int(binary.BigEndian.Uint16(raw[14:])) || raw[12]>>4 != 2 {
				t.Fatalf("%q was taken as a header", header)
			}
		case !strings.HasPrefix(header, "PROXY ") || strings.Index(header, "\r\n") != len(header)-2 || len(header) > 107 ||
			!strings.HasPrefix(header, "PROXY UNKNOWN") && !strings.HasSuffix(strings.Join(strings.Split(header, " ")[:5], " "), fmt.Sprint(" ", source.Port())):
			t.Fatalf("%q was taken as a header", header)
		}
	})
}

// checkAddress writes headers that name the source and reads them.
func checkAddress(t *testing.T, source netip.AddrPort, rest string, sizes []byte) {
	t.Helper()
	family, text := byte(0x11), "TCP4"
	if source.Addr().Is6() {
		family, text = 0x21, "TCP6"
	}
	v1 := fmt.Sprintf("PROXY %s %s %s %d 80\r\n", text, source.Addr(), source.Addr(), source.Port())
	v2 := proxyV2(1, family, len(sizes), source.String(), source.String())
	for _, header := range []string{v1, v2} {
		if got, behind, taken := readHeader(t, header+rest, sizes); !taken || got != source || behind != rest {
			t.Fatalf("%q%q: source %v, then %q, %v", header, rest, got, behind, taken)
		}
	}
}
