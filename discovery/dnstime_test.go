package discovery

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"lb/internal/dns"
	"lb/internal/lbtest"
)

// inFakeTime makes a discoverer's resolver query s, without a network, as the server with that address.
func inFakeTime(r *dns.Resolver, s *lbtest.DNS, server string) {
	r.Config = func() dns.Config { return dns.Config{Servers: []string{server}} }
	r.Hosts = ""
	r.Exchange = func(ctx context.Context, _ string, q dnsmessage.Question, c *dns.Config) (*dnsmessage.Message, error) {
		return s.Exchange(ctx, q, c.Wait())
	}
}

const (
	second = time.Second
	docker = "127.0.0.11:53"
)

// TestDNSTimeToLive: the next query is sent when the shortest time to live ends, but not before the interval.
func TestDNSTimeToLive(t *testing.T) {
	every := func(d time.Duration) []time.Duration { return []time.Duration{0, d, 2 * d, 3 * d} }
	cases := []struct {
		name     string
		interval time.Duration
		server   string
		set      func(s *lbtest.DNS)
		want     []time.Duration // when A and AAAA are asked for
	}{
		{"TTL over the interval", second, "", func(s *lbtest.DNS) { s.TTL = 30 }, every(30 * second)},
		{"TTL 0", 5 * second, "", func(s *lbtest.DNS) { s.TTL = 0 }, every(5 * second)},
		{"TTL below the interval", 5 * second, "", func(s *lbtest.DNS) { s.TTL = 1 }, every(5 * second)},
		{"TTL of a day", second, "", func(s *lbtest.DNS) { s.TTL = 86400 }, every(time.Hour)},
		{"TTL of a day, interval of two hours", 2 * time.Hour, "", func(s *lbtest.DNS) { s.TTL = 86400 }, every(2 * time.Hour)},
		{"greatest TTL", second, "", func(s *lbtest.DNS) { s.TTL = 1<<31 - 1 }, every(time.Hour)},
		{"TTL with its top bit set", 5 * second, "", func(s *lbtest.DNS) { s.TTL = 1<<31 | 30 }, every(5 * second)},
		{"the first alias lives shortest", second, "", func(s *lbtest.DNS) { s.TTL, s.Aliases = 300, []uint32{20, 60} }, every(20 * second)},
		{"the last alias lives shortest", second, "", func(s *lbtest.DNS) { s.TTL, s.Aliases = 300, []uint32{60, 20} }, every(20 * second)},
		{"the address lives shortest", second, "", func(s *lbtest.DNS) { s.TTL, s.Aliases = 10, []uint32{60, 20} }, every(10 * second)},
		{"an alias with the top bit set", second, "", func(s *lbtest.DNS) { s.TTL, s.Aliases = 300, []uint32{1 << 31} }, every(second)},
		{"IPv6 lives shorter", second, "", func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("127.0.0.2", "::1"); s.TTL, s.TTLIPv6 = 30, 7 }, every(7 * second)},
		{"IPv4 lives shorter", second, "", func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("127.0.0.2", "::1"); s.TTL, s.TTLIPv6 = 7, 30 }, every(7 * second)},
		{"IPv6 alone", second, "", func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("::1"); s.TTL, s.TTLIPv6 = 1, 30 }, every(30 * second)},
		{"IPv6 fails", 5 * second, "", func(s *lbtest.DNS) { s.TTL, s.FailIPv6 = 30, true }, every(5 * second)},
		{"the answer is slow", second, "", func(s *lbtest.DNS) { s.TTL, s.Takes = 30, 2*second },
			[]time.Duration{2 * second, 34 * second, 66 * second}},
		{"Docker's name server", second, docker, func(s *lbtest.DNS) { s.TTL = 600 }, every(second)},
		{"Docker's name server, mapped", second, "[::ffff:127.0.0.11]:53", func(s *lbtest.DNS) { s.TTL = 600 }, every(second)},
		{"a neighbour of Docker's", second, "127.0.0.12:53", func(s *lbtest.DNS) { s.TTL = 600 }, every(600 * second)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := lbtest.NewDNS(), time.Now()
				s.Addresses = lbtest.Addresses("127.0.0.2")
				c.set(s)
				d := NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: c.interval})
				inFakeTime(d.resolver, s, c.server)
				_, stop := follow(t, d)
				time.Sleep(c.want[len(c.want)-1] + time.Millisecond)
				stop()
				for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
					if got := s.When(kind, start); !slices.Equal(got, c.want) {
						t.Errorf("%v asked for at %v, want %v", kind, got, c.want)
					}
				}
			})
		})
	}
}

// TestSRVTimeToLive: the targets' addresses count too, those in the answer and those that were looked up.
func TestSRVTimeToLive(t *testing.T) {
	for _, c := range []struct {
		name   string
		server string
		set    func(s *lbtest.DNS)
		want   time.Duration
	}{
		{"asked for", "", func(s *lbtest.DNS) { s.TTL = 30 }, 30 * second},
		{"came along", "", func(s *lbtest.DNS) { s.TTL, s.Along = 30, true }, 30 * second},
		{"a target's address lives shorter", "", func(s *lbtest.DNS) { s.TTL, s.TTLIPv6 = 30, 9 }, 9 * second},
		{"one that came along lives shorter", "", func(s *lbtest.DNS) { s.TTL, s.TTLIPv6, s.Along = 30, 9, true }, 9 * second},
		{"a target fails", "", func(s *lbtest.DNS) { s.TTL, s.Broken = 30, map[string]bool{"b.test.": true} }, 5 * second},
		{"a day", "", func(s *lbtest.DNS) { s.TTL = 86400 }, time.Hour},
		{"none", "", func(s *lbtest.DNS) {}, 5 * second},
		{"top bit", "", func(s *lbtest.DNS) { s.TTL = 1<<31 | 30 }, 5 * second},
		{"Docker's name server", docker, func(s *lbtest.DNS) { s.TTL = 600 }, 5 * second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := lbtest.NewDNS(), time.Now()
				serveTargets(s)
				c.set(s)
				d := NewSRV(DNSOptions{Name: "app.test", Interval: 5 * second})
				inFakeTime(d.resolver, s, c.server)
				_, stop := follow(t, d)
				time.Sleep(2*c.want + time.Millisecond)
				stop()
				want := []time.Duration{0, c.want, 2 * c.want}
				if got := s.When(dnsmessage.TypeSRV, start); !slices.Equal(got, want) {
					t.Errorf("asked at %v, want %v", got, want)
				}
			})
		})
	}
}

// TestDNSAsksOnceAnInterval: a name that does not resolve neither prevents the start nor is queried all the time. The
// time to live of an empty answer does not count.
func TestDNSAsksOnceAnInterval(t *testing.T) {
	notFound := func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeNameError }
	cases := []struct {
		name     string
		interval time.Duration
		set      func(s *lbtest.DNS)
		random   float64
		want     []time.Duration
	}{
		{"never there", second, notFound, 0, []time.Duration{0, second, 3 * second, 7 * second, 12 * second, 17 * second}},
		{"an alias without addresses", second, func(s *lbtest.DNS) { s.Addresses, s.Aliases = nil, []uint32{600} }, 0,
			[]time.Duration{0, second, 3 * second, 7 * second, 12 * second, 17 * second}},
		{"fails", second, func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeServerFailure }, 0, []time.Duration{0, second, 3 * second, 7 * second}},
		{"jitter only adds", 2 * second, notFound, 0.5, []time.Duration{0, 2200 * time.Millisecond, 6600 * time.Millisecond, 12100 * time.Millisecond}},
		{"a long interval", time.Minute, notFound, 0, []time.Duration{0, time.Minute, 2 * time.Minute}},
		{"no answer", second, func(s *lbtest.DNS) { s.Silent = true }, 0, []time.Duration{0, 5 * second, 10 * second, 15 * second}},
		{"no answer, a long interval", time.Minute, func(s *lbtest.DNS) { s.Silent = true }, 0, []time.Duration{0, time.Minute, 2 * time.Minute}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := lbtest.NewDNS(), time.Now()
				s.Addresses = lbtest.Addresses("127.0.0.2")
				c.set(s)
				d := NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: c.interval, Random: func() float64 { return c.random }})
				inFakeTime(d.resolver, s, "")
				updates, stop := follow(t, d)
				time.Sleep(c.want[len(c.want)-1] + time.Millisecond)
				stop()
				for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
					if got := s.When(kind, start); !slices.Equal(got, c.want) {
						t.Errorf("%v asked for at %v, want %v", kind, got, c.want)
					}
				}
				expectNone(t, updates)
			})
		})
	}
}

// TestDNSRetriesAtThePace: a failure after an answer with a long time to live is retried soon, and the new answer
// has its own time to live.
func TestDNSRetriesAtThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := lbtest.NewDNS(), time.Now()
		s.Addresses, s.TTL = lbtest.Addresses("127.0.0.2"), 60
		d := NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: second, Random: func() float64 { return 0 }})
		inFakeTime(d.resolver, s, "")
		updates, stop := follow(t, d)
		expect(t, updates, "127.0.0.2:80")
		s.Change(func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeNameError })
		time.Sleep(62 * second)
		s.Change(func(s *lbtest.DNS) { s.Code, s.Addresses = dnsmessage.RCodeSuccess, lbtest.Addresses("127.0.0.3") })
		expect(t, updates, "127.0.0.3:80")
		time.Sleep(61 * second)
		stop()
		want := []time.Duration{0, 60 * second, 61 * second, 63 * second, 123 * second}
		if got := s.When(dnsmessage.TypeA, start); !slices.Equal(got, want) {
			t.Errorf("asked at %v, want %v", got, want)
		}
	})
}

// TestDNSDockersNameServer queries a server at the address of Docker's own name server, over the network.
func TestDNSDockersNameServer(t *testing.T) {
	s := lbtest.StartDNSAt(t, "127.0.0.11")
	s.Change(func(s *lbtest.DNS) { s.Addresses, s.TTL = lbtest.Addresses("127.0.0.2"), 600 })
	updates, _ := follow(t, NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: 10 * time.Millisecond, Resolver: s.Address}))
	expect(t, updates, "127.0.0.2:80")
	s.ChangeBetween(t, func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("127.0.0.2", "127.0.0.3") })
	expect(t, updates, "127.0.0.2:80, 127.0.0.3:80")
}

// TestDNSHostsFile: a name in the hosts file is not queried, with any resolver; the file is read again
// after each interval.
func TestDNSHostsFile(t *testing.T) {
	for _, resolver := range []string{"", "127.0.0.1:53"} {
		synctest.Test(t, func(t *testing.T) {
			s := lbtest.NewDNS()
			s.Addresses, s.TTL = lbtest.Addresses("127.0.0.9"), 600
			hosts := filepath.Join(t.TempDir(), "hosts")
			write := func(text string) {
				if err := os.WriteFile(hosts, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("127.0.0.2 app.test\n")
			d := NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: second, Resolver: resolver})
			inFakeTime(d.resolver, s, resolver)
			d.resolver.Hosts = hosts
			updates, stop := follow(t, d)
			synctest.Wait()
			expect(t, updates, "127.0.0.2:80")
			write("127.0.0.3 APP.test. # moved\n::1 other app.test\n")
			time.Sleep(second + time.Millisecond)
			expect(t, updates, "127.0.0.3:80, [::1]:80")
			if n := s.Count(dnsmessage.TypeA); n > 0 {
				t.Errorf("asked %d times for a name in the hosts file", n)
			}
			write("")
			time.Sleep(second)
			expect(t, updates, "127.0.0.9:80")
			stop()
		})
	}
}

// TestDNSLogsChangesOfCondition: each problem is logged once.
func TestDNSLogsChangesOfCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := logger()
		s := lbtest.NewDNS()
		s.Addresses, s.Code = lbtest.Addresses("127.0.0.2"), dnsmessage.RCodeNameError
		d := NewDNS(DNSOptions{Name: "app.test.", Port: 80, Interval: second, Log: log})
		inFakeTime(d.resolver, s, "")
		_, stop := follow(t, d)
		for _, change := range []func(s *lbtest.DNS){
			func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeRefused },
			func(s *lbtest.DNS) { s.Code = dnsmessage.RCodeSuccess },
			func(s *lbtest.DNS) { s.Silent = true },
			func(*lbtest.DNS) {},
		} {
			time.Sleep(time.Minute)
			s.Change(change)
		}
		stop()
		want := []string{
			"cannot resolve app.test: no such host; trying again until it resolves",
			"cannot resolve app.test: the resolver returned Refused; trying again until it resolves",
			"name resolves again",
			"cannot resolve app.test: no response from the resolver; keeping the last known addresses",
		}
		got := lines.lines()
		if len(got) != len(want) {
			t.Fatalf("%d lines, want %d: %q", len(got), len(want), got)
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("line %q, want %q in it", got[i], want[i])
			}
		}
	})
}

// serveTargets gives the server SRV records with three targets, two of them preferred.
func serveTargets(s *lbtest.DNS) {
	s.SRV = []dnsmessage.SRVResource{
		record(20, 5, 5003, "c.test."), record(10, 30, 5001, "a.test."), record(10, 0, 5002, "b.test."),
	}
	s.Targets = map[string][]netip.Addr{
		"a.test.": lbtest.Addresses("127.0.0.1"), "b.test.": lbtest.Addresses("127.0.0.2", "::1"), "c.test.": lbtest.Addresses("127.0.0.3"),
	}
}
