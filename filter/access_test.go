package filter

import (
	"net/netip"
	"testing"
)

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
