package proxyprotocol

import (
	"net/netip"
	"strings"
	"testing"
)

func at(s string) netip.AddrPort {
	if s == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(s)
}

var headers = []struct {
	name   string
	c      Connection
	v1, v2 string
}{
	{"IPv4", Connection{Source: at("192.0.2.1:4567"), Destination: at("192.0.2.2:80")},
		"PROXY TCP4 192.0.2.1 192.0.2.2 4567 80\r\n",
		v2Start + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x11\xd7\x00\x50"},
	{"IPv6", Connection{Source: at("[2001:db8::1]:65535"), Destination: at("[::1]:0")},
		"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n",
		v2Start + "\x21\x21\x00\x24\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01" + strings.Repeat("\x00", 15) + "\x01\xff\xff\x00\x00"},
	{"mapped", Connection{Source: at("[::ffff:192.0.2.1]:1"), Destination: at("[::ffff:192.0.2.2]:10")},
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 10\r\n",
		v2Start + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x0a"},
	{"two families", Connection{Source: at("[fe80::1%eth0]:100"), Destination: at("192.0.2.2:1000")},
		"PROXY TCP6 fe80::1 ::ffff:192.0.2.2 100 1000\r\n",
		v2Start + "\x21\x21\x00\x24\xfe\x80" + strings.Repeat("\x00", 13) + "\x01" + strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x02\x00\x64\x03\xe8"},
	{"no destination", Connection{Source: at("192.0.2.1:4567")},
		"PROXY TCP4 192.0.2.1 0.0.0.0 4567 0\r\n",
		v2Start + "\x21\x11\x00\x0c\xc0\x00\x02\x01\x00\x00\x00\x00\x11\xd7\x00\x00"},
	{"unknown", Connection{Destination: at("192.0.2.2:80")}, "PROXY UNKNOWN\r\n", v2Start + "\x21\x00\x00\x00"},
	{"extensions", Connection{ALPN: "h2", Authority: []byte("a.example"), TLSVersion: "TLSv1.3"}, "PROXY UNKNOWN\r\n",
		v2Start + "\x21\x00\x00\x23" + "\x01\x00\x02h2" + "\x02\x00\x09a.example" + "\x20\x00\x0f\x01\x00\x00\x00\x01" + "\x21\x00\x07TLSv1.3"},
	{"client certificate", Connection{TLSVersion: "TLSv1.2", ClientCert: true}, "PROXY UNKNOWN\r\n",
		v2Start + "\x21\x00\x00\x12" + "\x20\x00\x0f\x05\x00\x00\x00\x00" + "\x21\x00\x07TLSv1.2"},
	{"name too long", Connection{Authority: make([]byte, 256)}, "PROXY UNKNOWN\r\n", v2Start + "\x21\x00\x00\x00"},
}

// TestAppend: the bytes of headers, behind other bytes.
func TestAppend(t *testing.T) {
	for _, h := range headers {
		if got := string(Append([]byte("x"), V1, &h.c)); got != "x"+h.v1 {
			t.Errorf("%s, version 1: %q, want %q", h.name, got[1:], h.v1)
		}
		if got := string(Append([]byte("x"), V2, &h.c)); got != "x"+h.v2 {
			t.Errorf("%s, version 2: %q, want %q", h.name, got[1:], h.v2)
		}
		if got := Append(nil, None, &h.c); got != nil {
			t.Errorf("%s: %q without a version", h.name, got)
		}
	}
}

// TestAppendUniqueID: the ID counts towards the length; it is left out where there is no place for it.
func TestAppendUniqueID(t *testing.T) {
	unknown := &Connection{}
	v1, v2 := string(Append(nil, V1, unknown)), string(Append(nil, V2, unknown))
	for _, c := range []struct {
		v    Version
		id   string
		want string
	}{
		{V2, "abc", v2Start + "\x21\x00\x00\x06\x05\x00\x03abc"},
		{V2, strings.Repeat("a", 128), v2Start + "\x21\x00\x00\x83\x05\x00\x80" + strings.Repeat("a", 128)},
		{V2, strings.Repeat("a", 129), v2},
		{V2, "", v2},
		{V1, "abc", v1},
	} {
		if got := string(AppendUniqueID(Append(nil, c.v, unknown), 0, c.v, []byte(c.id))); got != c.want {
			t.Errorf("version %d, %q: %q, want %q", c.v, c.id, got, c.want)
		}
	}
}

// TestAppendLocal: Parse takes a header without a client for one of the peer itself.
func TestAppendLocal(t *testing.T) {
	for v, want := range map[Version]string{None: "", V1: "PROXY UNKNOWN\r\n", V2: v2Start + "\x20\x00\x00\x00"} {
		got := AppendLocal(nil, v)
		if string(got) != want {
			t.Errorf("version %d: %q, want %q", v, got, want)
		}
		if v == None {
			continue
		}
		if source, end, need, err := Parse(got); source.IsValid() || end != len(got) || need != 0 || err != nil {
			t.Errorf("version %d: read as %v, %d, %d, %v", v, source, end, need, err)
		}
	}
}

// TestAppendAllocates: a header is appended for each request to such a backend.
func TestAppendAllocates(t *testing.T) {
	buffer := make([]byte, 0, 512)
	c := headers[0].c
	c.ALPN, c.TLSVersion, c.Authority = "h2", "TLSv1.3", []byte("a.example")
	if n := testing.AllocsPerRun(100, func() { buffer = Append(Append(buffer[:0], V1, &c), V2, &c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
