package proxyprotocol

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// readHeader reads a PROXY header from a stream that arrives in pieces of the given sizes. rest is what HTTP gets.
func readHeader(t testing.TB, stream string, sizes []byte) (source netip.AddrPort, rest string, taken bool) {
	t.Helper()
	for came := 0; ; {
		source, end, need, err := Parse([]byte(stream[:came]))
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

// exactly reads only what the header needs, and returns what was read of the stream.
func exactly(stream string) (read int, taken bool) {
	for {
		_, _, need, err := Parse([]byte(stream[:read]))
		if err != nil || need == 0 {
			return read, err == nil
		}
		if read += need; read > len(stream) {
			return read, false
		}
	}
}

// FuzzProxyHeader: the addresses in a header, version 1 or 2, are read correctly, and what follows it is left unchanged. An arbitrary
// header is read to the end that its length or line end gives, or rejected.
func FuzzProxyHeader(f *testing.F) {
	for _, tc := range headers {
		f.Add([]byte(tc.v1+"GET"), []byte{192, 0, 2, 1}, uint16(80), []byte{3})
		f.Add([]byte(tc.v2+"\r\n"), netip.MustParseAddr("2001:db8::1").AsSlice(), uint16(65535), []byte{20, 1})
	}
	for _, bad := range []string{"PROXY TCP6 192.0.2.1 192.0.2.2 4567 80\r\n", v2Start + "\x21\x44\x00\x00", v2Start + "\x21\x12\x00\x0c123456789012", "PROXY UNKNOWN ffff::1\r\n"} {
		f.Add([]byte(bad), []byte{192, 0, 2, 1}, uint16(0), []byte{1})
	}
	f.Fuzz(func(t *testing.T, raw, address []byte, port uint16, sizes []byte) {
		if addr, ok := netip.AddrFromSlice(address); ok {
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
		case strings.HasPrefix(header, v2Start):
			if len(header) != 16+int(binary.BigEndian.Uint16(raw[14:])) || raw[12]>>4 != 2 {
				t.Fatalf("%q was taken as a header", header)
			}
		case !strings.HasPrefix(header, "PROXY ") || strings.Index(header, "\r\n") != len(header)-2 || len(header) > 107 ||
			!strings.HasPrefix(header, "PROXY UNKNOWN") && !strings.HasSuffix(strings.Join(strings.Split(header, " ")[:5], " "), fmt.Sprint(" ", source.Port())):
			t.Fatalf("%q was taken as a header", header)
		}
	})
}

// checkAddress writes headers with the source and reads them.
func checkAddress(t *testing.T, source netip.AddrPort, rest string, sizes []byte) {
	t.Helper()
	c := Connection{Source: source, Destination: netip.MustParseAddrPort("192.0.2.1:80"), ALPN: "h2", TLSVersion: "TLSv1.3", Authority: sizes}
	source = netip.AddrPortFrom(source.Addr().Unmap().WithZone(""), source.Port())
	for _, v := range []Version{V1, V2} {
		header := string(AppendUniqueID(Append(nil, v, &c), 0, v, sizes))
		if got, behind, taken := readHeader(t, header+rest, sizes); !taken || got != source || behind != rest {
			t.Fatalf("%q%q: source %v, then %q, %v", header, rest, got, behind, taken)
		}
	}
}
