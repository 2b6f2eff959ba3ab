package discovery

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"lb/internal/lbtest"
)

// awaitMore waits until n more lookups have reached the server.
func awaitMore(t *testing.T, s *lbtest.DNS, n int) {
	t.Helper()
	awaitQueries(t, s, s.Count(dnsmessage.TypeA)+n)
}

// awaitQueries waits until the server has been asked for IPv4 addresses n times.
func awaitQueries(t *testing.T, s *lbtest.DNS, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.Count(dnsmessage.TypeA) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("too few queries within 10s")
		}
	}
}

func TestDNSFollowsTheName(t *testing.T) {
	s := lbtest.StartDNS(t)
	s.Change(func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("127.0.0.3", "127.0.0.2", "::1", "127.0.0.3") })
	updates, _ := follow(t, NewDNS(DNSOptions{Name: "app.test", Port: 5000, Interval: 10 * time.Millisecond, Resolver: s.Address}))
	expect(t, updates, "127.0.0.2:5000, 127.0.0.3:5000, [::1]:5000")

	s.Change(func(s *lbtest.DNS) { slices.Reverse(s.Addresses) }) // the order does not matter
	awaitMore(t, s, 3)
	expectNone(t, updates)

	s.ChangeBetween(t, func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("127.0.0.2", "127.0.0.4") })
	expect(t, updates, "127.0.0.2:5000, 127.0.0.4:5000")
}

func TestDNSTruncationFallsBackToTCP(t *testing.T) {
	s := lbtest.StartDNS(t)
	s.Change(func(s *lbtest.DNS) { s.Truncate = true })
	s.Change(func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("127.0.0.2") })
	updates, _ := follow(t, NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: time.Hour, Resolver: s.Address}))
	expect(t, updates, "127.0.0.2:80")
	s.Change(func(s *lbtest.DNS) {
		if s.OverTCP == 0 {
			t.Error("no query over TCP")
		}
	})
}

// TestDNSKeepsTheLastSet: after any failure of the server, the members are kept, and it is logged once.
func TestDNSKeepsTheLastSet(t *testing.T) {
	cases := []struct {
		name   string
		breaks func(s *lbtest.DNS)
		cause  string
	}{
		{"NXDOMAIN", func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeNameError }, "no such host"},
		{"SERVFAIL", func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeServerFailure }, "the resolver returned ServerFailure"},
		{"REFUSED", func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeRefused }, "the resolver returned Refused"},
		{"empty answer", func(s *lbtest.DNS) { s.Addresses = nil }, "no such host"},
		{"block list", func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("0.0.0.0", "::") }, "no address in the response can be a backend's"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := lbtest.StartDNS(t)
			s.Change(func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("127.0.0.2", "::1") })
			log, lines := logger()
			d := NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: time.Millisecond, Resolver: s.Address, Log: log})
			updates, stop := follow(t, d)
			expect(t, updates, "127.0.0.2:80, [::1]:80")

			s.ChangeBetween(t, c.breaks)
			awaitMore(t, s, 6)
			expectNone(t, updates)
			s.Change(func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeSuccess; s.Addresses = lbtest.Addresses("127.0.0.9") })
			for got := range updates { // the families may change one after the other
				if got == "127.0.0.9:80" {
					break
				}
			}
			stop()
			got := slices.DeleteFunc(lines.lines(), func(line string) bool { return strings.Contains(line, "is skipped") })
			if len(got) != 2 || !strings.Contains(got[0], "cannot resolve app.test: "+c.cause+"; keeping the last known addresses") ||
				!strings.Contains(got[1], "name resolves again") {
				t.Errorf("log %q, want the trouble once and its end once", got)
			}
		})
	}
}

// TestDNSKeepsOneFamily: a server that fails for AAAA alone must not hide the IPv4 members, nor drop
// the IPv6 members that were known.
func TestDNSKeepsOneFamily(t *testing.T) {
	s := lbtest.StartDNS(t)
	s.Change(func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("127.0.0.2", "::1") })
	updates, _ := follow(t, NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: time.Millisecond, Resolver: s.Address}))
	expect(t, updates, "127.0.0.2:80, [::1]:80")
	s.Change(func(s *lbtest.DNS) { s.FailIPv6 = true; s.Addresses = lbtest.Addresses("127.0.0.3") })
	expect(t, updates, "127.0.0.3:80, [::1]:80")
}

// TestDNSStopsAtOnce: a server that never responds must not delay the end.
func TestDNSStopsAtOnce(t *testing.T) {
	s := lbtest.StartDNS(t)
	s.Change(func(s *lbtest.DNS) { s.Silent = true })
	updates, stop := follow(t, NewDNS(DNSOptions{Name: "app.test", Port: 80, Resolver: s.Address}))
	awaitQueries(t, s, 1)
	stop() // hangs if the waiting query delays it
	expectNone(t, updates)
}
