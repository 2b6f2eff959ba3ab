package discovery

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"lb/internal/dns"
	"lb/internal/lbtest"
)

// record makes an SRV record.
func record(priority, weight, port uint16, target string) dnsmessage.SRVResource {
	return dnsmessage.SRVResource{Priority: priority, Weight: weight, Port: port, Target: dnsmessage.MustNewName(target)}
}

// startSRV starts a server with three targets, two of them preferred.
func startSRV(t *testing.T) *lbtest.DNS {
	s := lbtest.StartDNS(t)
	s.Change(serveTargets)
	return s
}

const srvMembers = "127.0.0.1:5001 weight=30, 127.0.0.2:5002, 127.0.0.3:5003 weight=5 backup, [::1]:5002"

func discoverSRV(t *testing.T, s *lbtest.DNS) (updates <-chan string, stop func(), lines *logBuffer) {
	log, lines := logger()
	updates, stop = follow(t, NewSRV(DNSOptions{Name: "app.test", Interval: 5 * time.Millisecond, Resolver: s.Address, Log: log}))
	return updates, stop, lines
}

// rounds waits until n more lookups of the SRV records have reached the server.
func rounds(t *testing.T, s *lbtest.DNS, n int) {
	t.Helper()
	n += s.Count(dnsmessage.TypeSRV)
	for deadline := time.Now().Add(20 * time.Second); s.Count(dnsmessage.TypeSRV) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("too few queries within 20s")
		}
	}
}

func TestSRVFollowsTheName(t *testing.T) {
	for _, along := range []bool{false, true} {
		t.Run(fmt.Sprintf("addresses along %v", along), func(t *testing.T) {
			s := startSRV(t)
			s.Change(func(s *lbtest.DNS) { s.Along, s.Garbage = along, true })
			updates, stop, lines := discoverSRV(t, s)
			expect(t, updates, srvMembers)
			s.Change(func(s *lbtest.DNS) { slices.Reverse(s.SRV) }) // the order does not matter
			rounds(t, s, 3)
			expectNone(t, updates)
			s.Change(func(s *lbtest.DNS) { s.SRV = []dnsmessage.SRVResource{record(20, 7, 5003, "C.test.")} })
			expect(t, updates, "127.0.0.3:5003 weight=7")
			stop()
			if asked := s.Count(dnsmessage.TypeA); along && asked > 0 {
				t.Errorf("asked %d times for addresses that had come along", asked)
			}
			if got := lines.lines(); got[0] != "" {
				t.Errorf("log %q, want none", got)
			}
		})
	}
}

func TestSRVTruncationFallsBackToTCP(t *testing.T) {
	s := startSRV(t)
	s.Change(func(s *lbtest.DNS) { s.Truncate = true })
	updates, stop, _ := discoverSRV(t, s)
	expect(t, updates, srvMembers)
	stop()
	s.Change(func(s *lbtest.DNS) {
		if s.OverTCP == 0 {
			t.Error("no query over TCP")
		}
	})
}

// TestSRVKeepsTheLastSet: after any failure of the server, the members are kept, and it is logged once.
func TestSRVKeepsTheLastSet(t *testing.T) {
	cases := []struct {
		name   string
		breaks func(s *lbtest.DNS)
		cause  string
	}{
		{"NXDOMAIN", func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeNameError }, "no such record"},
		{"SERVFAIL", func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeServerFailure }, "the resolver returned ServerFailure"},
		{"no record", func(s *lbtest.DNS) { s.SRV = nil }, "no such record"},
		{"service decidedly not available", func(s *lbtest.DNS) { s.SRV = []dnsmessage.SRVResource{record(0, 0, 0, ".")} }, "no target has an address"},
		{"targets without address", func(s *lbtest.DNS) { s.Targets = nil }, "no target has an address"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := startSRV(t)
			s.Change(func(s *lbtest.DNS) { s.Along = true }) // so that a round is one answer
			updates, stop, lines := discoverSRV(t, s)
			expect(t, updates, srvMembers)
			s.Change(c.breaks)
			rounds(t, s, 4)
			expectNone(t, updates)
			s.Change(func(s *lbtest.DNS) {
				s.Code, s.SRV = dnsmessage.RCodeSuccess, []dnsmessage.SRVResource{record(0, 1, 80, "a.test.")}
				s.Targets = map[string][]netip.Addr{"a.test.": lbtest.Addresses("127.0.0.9")}
			})
			for got := range updates { // a round may be in progress
				if got == "127.0.0.9:80" {
					break
				}
			}
			stop()
			got := lines.lines()
			if len(got) != 2 || !strings.Contains(got[0], "cannot resolve the SRV records of app.test: "+c.cause+"; keeping the last known addresses") ||
				!strings.Contains(got[1], "name resolves again") {
				t.Errorf("log %q, want the trouble once and its end once", got)
			}
		})
	}
}

// TestSRVSilentServer: the set is also kept if the server does not respond, which is reported once.
func TestSRVSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lbtest.NewDNS()
		serveTargets(s)
		log, lines := logger()
		d := NewSRV(DNSOptions{Name: "app.test", Interval: time.Second, Log: log})
		inFakeTime(d.resolver, s, "")
		updates, stop := follow(t, d)
		expect(t, updates, srvMembers)
		s.Change(func(s *lbtest.DNS) { s.Silent = true })
		time.Sleep(time.Minute)
		stop()
		expectNone(t, updates)
		if got := lines.lines(); len(got) != 1 || !strings.Contains(got[0], "no response from the resolver") {
			t.Errorf("log %q", got)
		}
	})
}

// TestSRVKeepsATarget: a target that cannot be resolved temporarily keeps its addresses; one that no longer exists loses them.
func TestSRVKeepsATarget(t *testing.T) {
	s := startSRV(t)
	updates, stop, lines := discoverSRV(t, s)
	expect(t, updates, srvMembers)
	s.Change(func(s *lbtest.DNS) {
		s.Broken = map[string]bool{"b.test.": true}
		s.Targets["a.test."] = lbtest.Addresses("127.0.0.9")
	})
	for got := range updates { // a round may be in progress
		if got == strings.Replace(srvMembers, "127.0.0.1:5001 weight=30, 127.0.0.2:5002, 127.0.0.3:5003 weight=5 backup", "127.0.0.2:5002, 127.0.0.3:5003 weight=5 backup, 127.0.0.9:5001 weight=30", 1) {
			break
		}
	}
	rounds(t, s, 3)
	expectNone(t, updates)
	s.Change(func(s *lbtest.DNS) { delete(s.Broken, "b.test."); delete(s.Targets, "b.test.") })
	expect(t, updates, "127.0.0.3:5003 weight=5 backup, 127.0.0.9:5001 weight=30")
	stop()
	if got := lines.lines(); len(got) != 1 || !strings.Contains(got[0], `cannot resolve "b.test.", a target of "app.test": the resolver returned ServerFailure`) {
		t.Errorf("log %q, want the target logged once", got)
	}
}

// TestSRVSkipsBadEntries: entries that cannot be backends are skipped and reported once.
func TestSRVSkipsBadEntries(t *testing.T) {
	s := startSRV(t)
	s.Change(func(s *lbtest.DNS) {
		s.Targets["b.test."] = lbtest.Addresses("0.0.0.0", "224.0.0.1", "127.0.0.2")
		s.SRV = append(s.SRV, record(10, 1, 0, "a.test."), record(30, 9, 5001, "a.test."))
	})
	updates, stop, lines := discoverSRV(t, s)
	expect(t, updates, "127.0.0.1:5001 weight=30, 127.0.0.2:5002, 127.0.0.3:5003 weight=5 backup")
	rounds(t, s, 4)
	stop()
	expectNone(t, updates)
	got := strings.Join(lines.lines(), "\n")
	for _, want := range []string{"0.0.0.0 is not the address of a backend", "224.0.0.1 is not the address", `127.0.0.1:0`} {
		if strings.Count(got, want) != 1 {
			t.Errorf("log %s\nwant %q once", got, want)
		}
	}
}

// TestSRVUsesTheSystemsSettings: servers one after the other, search domains in order.
func TestSRVUsesTheSystemsSettings(t *testing.T) {
	dead, s := lbtest.StartDNS(t), startSRV(t)
	dead.Change(func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeRefused })
	d := NewSRV(DNSOptions{Name: "app", Interval: time.Millisecond})
	d.resolver.Config = func() dns.Config {
		return dns.Config{Servers: []string{dead.Address, s.Address}, Search: []string{"none", "test"}, Ndots: 1}
	}
	updates, _ := follow(t, d)
	expect(t, updates, srvMembers)
}
