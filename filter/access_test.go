package filter

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"lb/internal/networks"
)

// TestAccessFiles: the networks of files count as those of the lists.
func TestAccessFiles(t *testing.T) {
	file := func(text string) *atomic.Pointer[networks.Set] {
		s, err := networks.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		p := &atomic.Pointer[networks.Set]{}
		p.Store(s)
		return p
	}
	listed := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	for _, c := range []struct {
		name    string
		access  Access
		allowed string // of 10.0.0.1, 198.51.100.1 and 203.0.113.1, and a client without an address
	}{
		{"allow_file", Access{AllowFile: file("10.0.0.0/8")}, "10.0.0.1"},
		{"both allow", Access{AllowFile: file("10.0.0.0/8"), Allow: listed}, "10.0.0.1 198.51.100.1"},
		{"empty allow_file", Access{AllowFile: file("")}, ""},
		{"deny_file", Access{DenyFile: file("10.0.0.0/8")}, "198.51.100.1 203.0.113.1"},
		{"empty deny_file", Access{DenyFile: file("")}, "10.0.0.1 198.51.100.1 203.0.113.1"},
		{"deny wins", Access{AllowFile: file("10.0.0.0/8\n203.0.113.0/24"), DenyFile: file("10.0.0.1")}, "203.0.113.1"},
		{"deny_file and allow", Access{Allow: listed, DenyFile: file("198.51.100.1")}, ""},
	} {
		var allowed []string
		for _, client := range []string{"10.0.0.1", "198.51.100.1", "203.0.113.1"} {
			if c.access.Permits(netip.MustParseAddr(client)) {
				allowed = append(allowed, client)
			}
		}
		if got := strings.Join(allowed, " "); got != c.allowed {
			t.Errorf("%s: allows %q, want %q", c.name, got, c.allowed)
		}
		if c.access.Permits(netip.Addr{}) {
			t.Errorf("%s: allows a client without an address", c.name)
		}
	}
}

func TestAccess(t *testing.T) {
	prefixes := func(list ...string) (p []netip.Prefix) {
		for _, s := range list {
			p = append(p, netip.MustParsePrefix(s))
		}
		return p
	}
	for _, tc := range []struct {
		allow, deny []netip.Prefix
		addr        string
		want        bool
	}{
		{nil, nil, "1.2.3.4", true},
		{nil, nil, "", true},
		{prefixes("10.0.0.0/8"), nil, "10.1.2.3", true},
		{prefixes("10.0.0.0/8"), nil, "::ffff:10.1.2.3", true},
		{prefixes("10.0.0.0/8"), nil, "11.1.2.3", false},
		{prefixes("10.0.0.0/8"), nil, "", false},
		{nil, prefixes("10.0.0.0/8"), "::ffff:10.1.2.3", false},
		{nil, prefixes("10.0.0.0/8"), "11.0.0.1", true},
		{nil, prefixes("10.0.0.0/8"), "", false},
		{prefixes("10.0.0.0/8"), prefixes("10.9.0.0/16"), "10.9.1.1", false},
		{prefixes("10.0.0.0/8"), prefixes("10.9.0.0/16"), "10.8.1.1", true},
		{prefixes("2001:db8::/32"), nil, "2001:db8::1", true},
		{prefixes("2001:db8::/32"), nil, "1.2.3.4", false},
		{nil, prefixes("::/0"), "1.2.3.4", true}, // IPv4 is no part of IPv6
	} {
		var addr netip.Addr
		if tc.addr != "" {
			addr = netip.MustParseAddr(tc.addr)
		}
		a := Access{Allow: tc.allow, Deny: tc.deny}
		if got := a.Permits(addr); got != tc.want {
			t.Errorf("allow %v deny %v: %q %v, want %v", tc.allow, tc.deny, tc.addr, got, tc.want)
		}
	}
}
