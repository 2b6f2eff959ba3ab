package filter

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestBans(t *testing.T) {
	var b Bans
	now := time.Now()
	add := func(network string, d time.Duration) error {
		return b.Set(Ban{Network: netip.MustParsePrefix(network), Until: now.Add(d)}, now)
	}
	if b.Has(netip.MustParseAddr("192.0.2.1")) {
		t.Error("banned by nobody")
	}
	for network, good := range map[string]bool{
		"192.0.2.1/32": true, "198.51.100.77/24": true, "2001:db8::1/128": true, "2001:db8:1::/48": true, "::ffff:203.0.113.0/120": true,
		"0.0.0.0/0": false, "10.0.0.0/7": false, "::/0": false, "2000::/3": false,
	} {
		if err := add(network, time.Hour); (err == nil) != good {
			t.Errorf("%s: %v", network, err)
		}
	}
	for _, d := range []time.Duration{0, -time.Second, longestBan + time.Second} {
		if add("192.0.2.9/32", d) == nil {
			t.Errorf("a ban of %v", d)
		}
	}
	for client, want := range map[string]bool{
		"192.0.2.1": true, "::ffff:192.0.2.1": true, "192.0.2.2": false, "198.51.100.1": true, "198.51.101.1": false,
		"2001:db8::1": true, "2001:db8::2": false, "2001:db8:1:2::3": true, "203.0.113.5": true, "::1": false,
	} {
		if got := b.Has(netip.MustParseAddr(client)); got != want {
			t.Errorf("%s: %t", client, got)
		}
	}
	if b.Has(netip.Addr{}) {
		t.Error("no address")
	}
	if n := testing.AllocsPerRun(100, func() { b.Has(netip.MustParseAddr("2001:db8::2")) }); n > 0 {
		t.Errorf("%g allocations", n)
	}
	if !b.Lift(netip.MustParsePrefix("192.0.2.1/32"), now) || b.Lift(netip.MustParsePrefix("192.0.2.1/32"), now) || b.Has(netip.MustParseAddr("192.0.2.1")) {
		t.Error("a lifted ban")
	}
	if !b.Lift(netip.MustParsePrefix("::ffff:203.0.113.0/120"), now) {
		t.Error("a ban of an IPv4 network written as IPv6 cannot be lifted")
	}
	if n := len(b.List(now)); n != 3 {
		t.Errorf("%d bans", n)
	}
	if n := len(b.List(now.Add(2 * time.Hour))); n != 0 || b.current.Load() != nil {
		t.Errorf("%d expired bans", n)
	}
	if set := (&banned{until: map[netip.Prefix]int64{netip.MustParsePrefix("192.0.2.1/32"): 5}, bits: []int{32}}); set.has(netip.MustParseAddr("192.0.2.1"), 5) {
		t.Error("an expired ban is in force")
	}
	for i := range maxBans {
		if err := add(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), time.Hour); err != nil {
			t.Fatal(err)
		}
		if i == 100 { // each change copies the list
			break
		}
	}
}
