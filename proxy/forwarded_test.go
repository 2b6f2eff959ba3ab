package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"lb/message"
	"lb/route"
)

// TestForwardedClient: the client is the last address of the chain that is not a trusted proxy's. What precedes it is ignored,
// since it could be forged.
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
		fields := message.Lines([]byte(lines.String()), nil)
		if got := forwardedClient(fields, trusted, peer); got.String() != tc.want {
			t.Errorf("%q: %v, want %s", tc.fields, got, tc.want)
		}
	}
}

// FuzzForwardedClient: for any fields, the client is the peer or an address of the chain that is followed only by trusted proxies.
// How the chain is split into fields makes no difference, nor does anything that precedes the client's own address.
func FuzzForwardedClient(f *testing.F) {
	for _, s := range []string{"", "192.0.2.1", "6.6.6.6, 192.0.2.1, 10.9.9.9", "10.2.2.2,10.3.3.3", "unknown, 10.1.1.1", "[2001:db8::1]:443,fd00::2", ",", "1.2.3.4,,10.1.1.1"} {
		f.Add(s, "6.6.6.6", uint8(1))
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, chain, before string, split uint8) {
		if !message.IsFieldValue([]byte(chain)) || !message.IsFieldValue([]byte(before)) {
			return // no field holds it
		}
		client := clientOf(t, trusted, peer, chain)
		items := strings.Split(chain, ",")
		if at := int(split) % len(items); at > 0 {
			if other := clientOf(t, trusted, peer, strings.Join(items[:at], ","), strings.Join(items[at:], ",")); other != client && strings.TrimSpace(items[at]) != "" {
				t.Fatalf("%q: %v, or %v if split at %d", chain, client, other, at)
			}
		}
		last := peer
		for i := len(items) - 1; i >= 0 && last != client; i-- {
			addr, ok := parseAddr([]byte(strings.Trim(items[i], " \t")))
			if !ok || !trusted[0].Contains(last) && !trusted[1].Contains(last) {
				t.Fatalf("%q: %v stands before something that is no trusted proxy", chain, client)
			}
			last = addr
		}
		if last != client {
			t.Fatalf("%q: %v is not in it", chain, client)
		}
		if trusted[0].Contains(client) || trusted[1].Contains(client) {
			return // all of it is trusted, so what stands before counts
		}
		if other := clientOf(t, trusted, peer, before+", "+chain); other != client {
			t.Fatalf("%q before %q makes %v of %v", before, chain, other, client)
		}
		if other := clientOf(t, trusted, peer, before, chain); other != client {
			t.Fatalf("the field %q before %q makes %v of %v", before, chain, other, client)
		}
	})
}

func clientOf(t *testing.T, trusted []netip.Prefix, peer netip.Addr, values ...string) netip.Addr {
	t.Helper()
	fields := message.Lines([]byte("X-Forwarded-For: "+strings.Join(values, "\r\nX-Forwarded-For: ")+"\r\n"), nil)
	return forwardedClient(fields, trusted, peer)
}

// FuzzOnThisHost: no path leads to another host.
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

// FuzzAppendEscaped: an escaped path contains no byte that would end a request line or start a query.
func FuzzAppendEscaped(f *testing.F) {
	f.Add("/a b?c#d\r\n%")
	f.Fuzz(func(t *testing.T, path string) {
		for _, c := range route.AppendEscaped(nil, []byte(path)) {
			if c <= ' ' || c >= 0x7f || c == '?' || c == '#' || c == '"' || c == '\\' {
				t.Errorf("%q: byte %q", path, c)
			}
		}
	})
}
