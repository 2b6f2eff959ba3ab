package networks

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func TestContains(t *testing.T) {
	s, err := Parse([]byte("# ours\n10.0.0.0/8\n\n10.1.0.0/16 ; within\r\n192.0.2.7\n2001:db8::/32 # documentation\n2001:db8:1::5\n::ffff:198.51.100.0/120\n203.0.113.0/25\n203.0.113.128/25\n255.255.255.255"))
	if err != nil || s.Len() != 9 {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "9.255.255.255": false, "11.0.0.0": false, "10.1.2.3": true, "::ffff:10.1.2.3": true,
		"192.0.2.6": false, "192.0.2.7": true, "192.0.2.8": false, "198.51.100.9": true, "198.51.101.0": false,
		"203.0.113.127": true, "203.0.113.128": true, "203.0.114.0": false, "255.255.255.255": true, "255.255.255.254": false,
		"2001:db8::1": true, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": true, "2001:db9::": false, "::": false, "0.0.0.0": false,
	} {
		if got := s.Contains(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
	if s.Contains(netip.Addr{}) || new(Set).Contains(netip.MustParseAddr("10.0.0.1")) {
		t.Error("no address, or no network")
	}
	all, err := Parse([]byte("0.0.0.0/0\n::/0"))
	if err != nil || !all.Contains(netip.MustParseAddr("0.0.0.0")) || !all.Contains(netip.MustParseAddr("ffff::")) {
		t.Error(err)
	}
}

func TestBadLists(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8\nx\n":                     `line 2 is not a network: "x"`,
		"10.0.0.1/8":                          "has host bits after the first 8",
		"10.0.0.0/33":                         "line 1 is not a network",
		"10.0.0.0/8 10.1.0.0/16":              "line 1 is not a network",
		"fe80::1%eth0":                        "line 1 is not a network",
		"10.0.0.0/08":                         "line 1 is not a network",
		strings.Repeat("1", 1000):             "line 1 is not a network",
		strings.Repeat("10.0.0.1\n", 1<<20+1): "it has more than 1048576 networks",
	} {
		if s, err := Parse([]byte(text)); s != nil || err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

// TestLikePrefixes: the set has the addresses that one of the networks has.
func TestLikePrefixes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		if random.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(4)), byte(random.IntN(256))})
		}
		b := netip.MustParseAddr("2001:db8::").As16()
		binary.BigEndian.PutUint16(b[6:], uint16(random.IntN(16)))
		binary.BigEndian.PutUint16(b[8:], uint16(random.IntN(16)))
		return netip.AddrFrom16(b)
	}
	for range 200 {
		var list []netip.Prefix
		var text strings.Builder
		for range random.IntN(20) {
			a := address()
			p := netip.PrefixFrom(a, a.BitLen()-random.IntN(a.BitLen()+1)).Masked()
			list = append(list, p)
			fmt.Fprintln(&text, p)
		}
		s, err := Parse([]byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			a, want := address(), false
			for _, p := range list {
				want = want || p.Contains(a)
			}
			if s.Contains(a) != want {
				t.Fatalf("%s is in %v: %t", a, list, !want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("10.0.0.0/8\n::1 # x")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Parse([]byte(text)); (s == nil) == (err == nil) {
			t.Fatal("both or neither")
		}
	})
}

func BenchmarkContains(b *testing.B) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "%d.%d.%d.0/25\n", 1+i>>16, i>>8&255, i&255)
	}
	s, err := Parse([]byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("1.77.3.200")
	for b.Loop() {
		s.Contains(a)
	}
}
