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
)

// record makes an SRV record.
func record(priority, weight, port uint16, target string) dnsmessage.SRVResource {
	return dnsmessage.SRVResource{Priority: priority, Weight: weight, Port: port, Target: dnsmessage.MustNewName(target)}
}

// startSRV starts a server with three targets, two of them preferred.
func startSRV(t *testing.T) *dnsServer {
	s := startDNS(t)
	s.change((*dnsServer).serveTargets)
	return s
}

const srvMembers = "127.0.0.1:5001 weight=30, 127.0.0.2:5002, 127.0.0.3:5003 weight=5 backup, [::1]:5002"

func (s *dnsServer) discover(t *testing.T) (updates <-chan string, stop func(), lines *logBuffer) {
	log, lines := logger()
	updates, stop = follow(t, NewSRV(DNSOptions{Name: "app.test", Interval: 5 * time.Millisecond, Resolver: s.address, Log: log}))
	return updates, stop, lines
}

// rounds waits until n more lookups of the SRV records have reached the server.
func (s *dnsServer) rounds(t *testing.T, n int) {
	t.Helper()
	n += s.count(dnsmessage.TypeSRV)
	for deadline := time.Now().Add(20 * time.Second); s.count(dnsmessage.TypeSRV) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("too few queries within 20s")
		}
	}
}

func TestSRVFollowsTheName(t *testing.T) {
	for _, along := range []bool{false, true} {
		t.Run(fmt.Sprintf("addresses along %v", along), func(t *testing.T) {
			s := startSRV(t)
			s.change(func(s *dnsServer) { s.along, s.garbage = along, true })
			updates, stop, lines := s.discover(t)
			expect(t, updates, srvMembers)
			s.change(func(s *dnsServer) { slices.Reverse(s.srv) }) // the order says nothing
			s.rounds(t, 3)
			expectNone(t, updates)
			s.change(func(s *dnsServer) { s.srv = []dnsmessage.SRVResource{record(20, 7, 5003, "C.test.")} })
			expect(t, updates, "127.0.0.3:5003 weight=7")
			stop()
			if asked := s.count(dnsmessage.TypeA); along && asked > 0 {
				t.Errorf("asked %d times for addresses that had come along", asked)
			}
			if got := lines.lines(); got[0] != "" {
				t.Errorf("log %q, want none", got)
			}
		})
	}
}

func TestSRVTruncationGoesOnOverTCP(t *testing.T) {
	s := startSRV(t)
	s.change(func(s *dnsServer) { s.truncate = true })
	updates, stop, _ := s.discover(t)
	expect(t, updates, srvMembers)
	stop()
	s.change(func(s *dnsServer) {
		if s.overTCP == 0 {
			t.Error("no query over TCP")
		}
	})
}

// TestSRVKeepsTheLastSet: whatever the server does, the members stay, and it is logged once.
func TestSRVKeepsTheLastSet(t *testing.T) {
	cases := []struct {
		name   string
		breaks func(s *dnsServer)
		cause  string
	}{
		{"NXDOMAIN", func(s *dnsServer) { s.code = dnsmessage.RCodeNameError }, "no such record"},
		{"SERVFAIL", func(s *dnsServer) { s.code = dnsmessage.RCodeServerFailure }, "the resolver returned ServerFailure"},
		{"no record", func(s *dnsServer) { s.srv = nil }, "no such record"},
		{"service decidedly not available", func(s *dnsServer) { s.srv = []dnsmessage.SRVResource{record(0, 0, 0, ".")} }, "no target has an address"},
		{"targets without address", func(s *dnsServer) { s.targets = nil }, "no target has an address"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := startSRV(t)
			s.change(func(s *dnsServer) { s.along = true }) // so that a round is one answer
			updates, stop, lines := s.discover(t)
			expect(t, updates, srvMembers)
			s.change(c.breaks)
			s.rounds(t, 4)
			expectNone(t, updates)
			s.change(func(s *dnsServer) {
				s.code, s.srv = dnsmessage.RCodeSuccess, []dnsmessage.SRVResource{record(0, 1, 80, "a.test.")}
				s.targets = map[string][]netip.Addr{"a.test.": addresses("127.0.0.9")}
			})
			for got := range updates { // a round may be under way
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

// TestSRVSilentServer: a server that says nothing keeps the set too, and is told of once.
func TestSRVSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDNS()
		s.serveTargets()
		log, lines := logger()
		d := NewSRV(DNSOptions{Name: "app.test", Interval: time.Second, Log: log})
		s.inFakeTime(d.resolver, "")
		updates, stop := follow(t, d)
		expect(t, updates, srvMembers)
		s.change(func(s *dnsServer) { s.silent = true })
		time.Sleep(time.Minute)
		stop()
		expectNone(t, updates)
		if got := lines.lines(); len(got) != 1 || !strings.Contains(got[0], "no response from the resolver") {
			t.Errorf("log %q", got)
		}
	})
}

// TestSRVKeepsATarget: a target that cannot be resolved for now keeps its addresses, one that is said to
// have none loses them.
func TestSRVKeepsATarget(t *testing.T) {
	s := startSRV(t)
	updates, stop, lines := s.discover(t)
	expect(t, updates, srvMembers)
	s.change(func(s *dnsServer) {
		s.broken = map[string]bool{"b.test.": true}
		s.targets["a.test."] = addresses("127.0.0.9")
	})
	for got := range updates { // a round may be under way
		if got == strings.Replace(srvMembers, "127.0.0.1:5001 weight=30, 127.0.0.2:5002, 127.0.0.3:5003 weight=5 backup", "127.0.0.2:5002, 127.0.0.3:5003 weight=5 backup, 127.0.0.9:5001 weight=30", 1) {
			break
		}
	}
	s.rounds(t, 3)
	expectNone(t, updates)
	s.change(func(s *dnsServer) { delete(s.broken, "b.test."); delete(s.targets, "b.test.") })
	expect(t, updates, "127.0.0.3:5003 weight=5 backup, 127.0.0.9:5001 weight=30")
	stop()
	if got := lines.lines(); len(got) != 1 || !strings.Contains(got[0], `cannot resolve "b.test.", a target of "app.test": the resolver returned ServerFailure`) {
		t.Errorf("log %q, want the target told once", got)
	}
}

// TestSRVSkipsBadEntries: what cannot be a backend is left out and told once.
func TestSRVSkipsBadEntries(t *testing.T) {
	s := startSRV(t)
	s.change(func(s *dnsServer) {
		s.targets["b.test."] = addresses("0.0.0.0", "224.0.0.1", "127.0.0.2")
		s.srv = append(s.srv, record(10, 1, 0, "a.test."), record(30, 9, 5001, "a.test."))
	})
	updates, stop, lines := s.discover(t)
	expect(t, updates, "127.0.0.1:5001 weight=30, 127.0.0.2:5002, 127.0.0.3:5003 weight=5 backup")
	s.rounds(t, 4)
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
	dead, s := startDNS(t), startSRV(t)
	dead.change(func(s *dnsServer) { s.code = dnsmessage.RCodeRefused })
	d := NewSRV(DNSOptions{Name: "app", Interval: time.Millisecond})
	d.resolver.conf = func() resolvConf {
		return resolvConf{servers: []string{dead.address, s.address}, search: []string{"none", "test"}, ndots: 1}
	}
	updates, _ := follow(t, d)
	expect(t, updates, srvMembers)
}
