package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"lb/internal/wire"
)

// TestForwardedClient: the client is the last address of the chain that no trusted proxy has, and what
// stands before it is never looked at, since anybody could have written it.
func TestForwardedClient(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	peer := netip.MustParseAddr("10.0.0.1")
	for _, tc := range []struct {
		fields []string
		want   string
	}{
		{nil, "10.0.0.1"},
		{[]string{""}, "10.0.0.1"},
		{[]string{"192.0.2.1"}, "192.0.2.1"},
		{[]string{"6.6.6.6, 192.0.2.1"}, "192.0.2.1"},
		{[]string{"6.6.6.6, 192.0.2.1, 10.9.9.9"}, "192.0.2.1"},
		{[]string{"6.6.6.6", "192.0.2.1", "10.9.9.9 , 10.1.1.1"}, "192.0.2.1"},
		{[]string{"10.2.2.2,10.3.3.3"}, "10.2.2.2"},
		{[]string{"6.6.6.6, nonsense, 10.3.3.3"}, "10.3.3.3"},
		{[]string{"6.6.6.6, unknown"}, "10.0.0.1"},
		{[]string{"192.0.2.1:8080"}, "192.0.2.1"},
		{[]string{"2001:db8::1, fd00::2"}, "2001:db8::1"},
		{[]string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{[]string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		{[]string{"192.0.2.1,"}, "10.0.0.1"},
	} {
		var lines strings.Builder
		for _, f := range tc.fields {
			lines.WriteString("A: b\r\nX-Forwarded-For: " + f + "\r\n")
		}
		fields, err := wire.ParseFields([]byte(lines.String()), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := forwardedClient(fields, trusted, peer); got.String() != tc.want {
			t.Errorf("%q: %v, want %s", tc.fields, got, tc.want)
		}
	}
}

func TestSaneID(t *testing.T) {
	for id, want := range map[string]bool{
		"": false, "a": true, "7b1c2e4f-90aa": true, "Root=1-67891233-abcdef012345678912345678": true,
		"a b": false, "a\"b": false, "a,b": false, "a<b>": false, "\x00": false, "ä": false,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
	} {
		if saneID([]byte(id)) != want {
			t.Errorf("%q: %v, want %v", id, !want, want)
		}
	}
}

func TestChunk(t *testing.T) {
	const room = 10
	for _, n := range []int{1, 9, 10, 15, 16, 255, 256, 4095, 32<<10 - room - 2} {
		buf := make([]byte, room+n+2)
		for i := range n {
			buf[room+i] = 'x'
		}
		var d wire.ChunkDecoder
		d.Reset()
		framed := append(chunk(buf, room, n), "0\r\n\r\n"...)
		payload, read, err := d.Decode(framed)
		if payload != n || read != len(framed) || err != nil || !d.Done() {
			t.Errorf("%d bytes came back as %d, %d of %d read: %v", n, payload, read, len(framed), err)
		}
		if strings.Trim(string(framed[:payload]), "x") != "" {
			t.Errorf("%d bytes were changed", n)
		}
	}
}

// FuzzOnThisHost: whatever stands in a path, it stays on the host.
func FuzzOnThisHost(f *testing.F) {
	for _, s := range []string{"", "/", "//", "//a", `/\a`, `\/a`, "///a//b", "a//b", "/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := string(onThisHost([]byte(s)))
		if isNetworkPath([]byte(got)) {
			t.Errorf("%q leads to %q", s, got)
		}
		if !isNetworkPath([]byte(s)) && got != s {
			t.Errorf("%q became %q for nothing", s, got)
		}
	})
}

// FuzzAppendEscaped: what is escaped holds no byte that would end a request line or start a query.
func FuzzAppendEscaped(f *testing.F) {
	f.Add("/a b?c#d\r\n%")
	f.Fuzz(func(t *testing.T, path string) {
		for _, c := range appendEscaped(nil, []byte(path)) {
			if c <= ' ' || c >= 0x7f || c == '?' || c == '#' || c == '"' || c == '\\' {
				t.Errorf("%q: byte %q", path, c)
			}
		}
	})
}
