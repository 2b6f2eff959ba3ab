package proxy

import (
	"net/netip"
	"testing"

	"lb/internal/stablehash"
	"lb/message"
)

// keyed returns a request with the given header lines from the client 192.0.2.7.
func keyed(t *testing.T, block string) *Exchange {
	t.Helper()
	fields := message.Lines([]byte(block), nil)
	return &Exchange{
		Request: &message.Request{Fields: fields}, clean: []byte("/a/b"), query: []byte("?c=d"), clientIP: netip.MustParseAddr("192.0.2.7"),
	}
}

func TestHashKeyReadsItsPart(t *testing.T) {
	textKey := func(s string) uint64 { return stablehash.New().AddString(s).Sum() }
	address := netip.MustParseAddr("192.0.2.7").As16()
	client := textKey(string(address[:]))
	for _, c := range []struct {
		key, block string
		want       uint64
	}{
		{"client_ip", "X-User: ann\r\n", client},
		{"path", "", textKey("/a/b")},
		{"uri", "", textKey("/a/b?c=d")},
		{"header:X-User", "x-uSER:  ann \r\nX-User: bob\r\n", textKey("ann")},
		{"header:X-User", "X-Users: ann\r\n", client},
		{"header:X-User", "X-User:\r\n", client},
		{"cookie:sid", "Cookie: a=b; sid=42; sid=43\r\n", textKey("42")},
		{"cookie:sid", "Cookie: xsid=1\r\nCookie: sid=42\r\n", textKey("42")},
		{"cookie:sid", "cookie: sid=x=y ;z\r\n", textKey("x=y")},
		{"cookie:sid", "Cookie: SID=42; sid; sid=\r\n", client},
		{"cookie:sid", "", client},
	} {
		if got := NewHashKey(c.key).of(keyed(t, c.block)); got != c.want {
			t.Errorf("%s of %q: %x, want %x", c.key, c.block, got, c.want)
		}
	}
	if got := (HashKey{}).of(keyed(t, "")); got != 0 {
		t.Errorf("no key: %x", got)
	}
}

func TestHashKeyDoesNotAllocate(t *testing.T) {
	x := keyed(t, "Accept: */*\r\nCookie: a=b; sid=42\r\nX-User: ann\r\n")
	for _, text := range []string{"client_ip", "path", "uri", "header:X-User", "cookie:sid", "header:none"} {
		key := NewHashKey(text)
		if n := testing.AllocsPerRun(100, func() { key.of(x) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func BenchmarkHashKey(b *testing.B) {
	fields := message.Lines([]byte("Accept: */*\r\nCookie: a=b; sid=0123456789abcdef0123456789abcdef\r\n"), nil)
	x := &Exchange{Request: &message.Request{Fields: fields}}
	key := NewHashKey("cookie:sid")
	b.ReportAllocs()
	for b.Loop() {
		key.of(x)
	}
}
