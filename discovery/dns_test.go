package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// awaitMore waits until n more lookups have reached the server.
func awaitMore(t *testing.T, s *dnsServer, n int) {
	t.Helper()
	awaitQueries(t, s, s.count(dnsmessage.TypeA)+n)
}

// awaitQueries waits until the server has been asked for IPv4 addresses n times.
func awaitQueries(t *testing.T, s *dnsServer, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.count(dnsmessage.TypeA) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("too few queries within 10s")
		}
	}
}

func TestDNSFollowsTheName(t *testing.T) {
	s := startDNS(t)
	s.change(func(s *dnsServer) { s.addresses = addresses("127.0.0.3", "127.0.0.2", "::1", "127.0.0.3") })
	updates, _ := follow(t, NewDNS(DNSOptions{Name: "app.test", Port: 5000, Interval: 10 * time.Millisecond, Resolver: s.address}))
	expect(t, updates, "127.0.0.2:5000, 127.0.0.3:5000, [::1]:5000")

	s.change(func(s *dnsServer) { slices.Reverse(s.addresses) }) // the order says nothing
	awaitMore(t, s, 3)
	expectNone(t, updates)

	s.changeBetween(t, func(s *dnsServer) { s.addresses = addresses("127.0.0.2", "127.0.0.4") })
	expect(t, updates, "127.0.0.2:5000, 127.0.0.4:5000")
}

func TestDNSTruncationGoesOnOverTCP(t *testing.T) {
	s := startDNS(t)
	s.change(func(s *dnsServer) { s.truncate = true })
	s.change(func(s *dnsServer) { s.addresses = addresses("127.0.0.2") })
	updates, _ := follow(t, NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: time.Hour, Resolver: s.address}))
	expect(t, updates, "127.0.0.2:80")
	s.change(func(s *dnsServer) {
		if s.overTCP == 0 {
			t.Error("no query over TCP")
		}
	})
}

// TestDNSKeepsTheLastSet: whatever the server does, the members stay, and it is logged once.
func TestDNSKeepsTheLastSet(t *testing.T) {
	cases := []struct {
		name   string
		breaks func(s *dnsServer)
		cause  string
	}{
		{"NXDOMAIN", func(s *dnsServer) { s.code = dnsmessage.RCodeNameError }, "no such host"},
		{"SERVFAIL", func(s *dnsServer) { s.code = dnsmessage.RCodeServerFailure }, "server misbehaving"},
		{"REFUSED", func(s *dnsServer) { s.code = dnsmessage.RCodeRefused }, "server misbehaving"},
		{"empty answer", func(s *dnsServer) { s.addresses = nil }, "no such host"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := startDNS(t)
			s.change(func(s *dnsServer) { s.addresses = addresses("127.0.0.2", "::1") })
			log, lines := logger()
			d := NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: time.Millisecond, Resolver: s.address, Log: log})
			updates, stop := follow(t, d)
			expect(t, updates, "127.0.0.2:80, [::1]:80")

			s.changeBetween(t, c.breaks)
			awaitMore(t, s, 6)
			expectNone(t, updates)
			s.change(func(s *dnsServer) { s.code = dnsmessage.RCodeSuccess; s.addresses = addresses("127.0.0.9") })
			for got := range updates { // the families may change one after the other
				if got == "127.0.0.9:80" {
					break
				}
			}
			stop()
			got := lines.lines()
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
	s := startDNS(t)
	s.change(func(s *dnsServer) { s.addresses = addresses("127.0.0.2", "::1") })
	updates, _ := follow(t, NewDNS(DNSOptions{Name: "app.test", Port: 80, Interval: time.Millisecond, Resolver: s.address}))
	expect(t, updates, "127.0.0.2:80, [::1]:80")
	s.change(func(s *dnsServer) { s.failIPv6 = true; s.addresses = addresses("127.0.0.3") })
	expect(t, updates, "127.0.0.3:80, [::1]:80")
}

// TestDNSStopsAtOnce: a server that never answers must not hold up the end.
func TestDNSStopsAtOnce(t *testing.T) {
	s := startDNS(t)
	s.change(func(s *dnsServer) { s.silent = true })
	updates, stop := follow(t, NewDNS(DNSOptions{Name: "app.test", Port: 80, Resolver: s.address}))
	awaitQueries(t, s, 1)
	stop() // hangs if the query that waits holds it up
	expectNone(t, updates)
}

// lookups is a resolver in fake time that notes when it is asked.
type lookups struct {
	mu    sync.Mutex
	start time.Time
	at    []time.Duration // of the questions for IPv4
	err   error
	takes time.Duration
}

func (l *lookups) lookup(ctx context.Context, network, _ string) ([]netip.Addr, error) {
	l.mu.Lock()
	if network == "ip4" {
		l.at = append(l.at, time.Since(l.start))
	}
	err, takes := l.err, l.takes
	l.mu.Unlock()
	if takes > 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(takes):
		}
	}
	if err != nil || network == "ip6" {
		return nil, err
	}
	return addresses("127.0.0.2"), nil
}

// TestDNSAsksOnceAnInterval is mistake 13: a name that does not resolve neither stops the start nor is
// asked all the time.
func TestDNSAsksOnceAnInterval(t *testing.T) {
	notFound := &net.DNSError{Name: "app", Err: "no such host", IsNotFound: true}
	second := time.Second
	cases := []struct {
		name     string
		interval time.Duration
		err      error
		takes    time.Duration
		random   float64
		want     []time.Duration
	}{
		{"resolves", 2 * second, nil, 0, 0, []time.Duration{0, 2 * second, 4 * second, 6 * second, 8 * second}},
		{"slow", 2 * second, nil, second, 0, []time.Duration{0, 2 * second, 4 * second, 6 * second, 8 * second}},
		{"never there", second, notFound, 0, 0, []time.Duration{0, second, 3 * second, 7 * second, 12 * second, 17 * second}},
		{"jitter only adds", 2 * second, notFound, 0, 0.5, []time.Duration{0, 2200 * time.Millisecond, 6600 * time.Millisecond, 12100 * time.Millisecond}},
		{"a long interval", time.Minute, notFound, 0, 0, []time.Duration{0, time.Minute, 2 * time.Minute}},
		{"no answer", second, nil, time.Hour, 0, []time.Duration{0, 5 * second, 10 * second, 15 * second}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lookups{start: time.Now(), err: c.err, takes: c.takes}
				d := NewDNS(DNSOptions{Name: "app", Port: 80, Interval: c.interval, Lookup: l.lookup, Random: func() float64 { return c.random }})
				updates, stop := follow(t, d)
				time.Sleep(c.want[len(c.want)-1] + time.Millisecond)
				stop()
				if !slices.Equal(l.at, c.want) {
					t.Errorf("asked at %v, want %v", l.at, c.want)
				}
				if c.err == nil && c.takes < lookupTimeout {
					expect(t, updates, "127.0.0.2:80")
				}
				expectNone(t, updates)
			})
		})
	}
}

func TestDNSLogsChangesOfCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := logger()
		l := &lookups{start: time.Now(), err: &net.DNSError{Err: "no such host", IsNotFound: true}}
		_, stop := follow(t, NewDNS(DNSOptions{Name: "app", Port: 80, Interval: time.Second, Lookup: l.lookup, Log: log}))
		set := func(err error) {
			time.Sleep(time.Minute)
			l.mu.Lock()
			l.err = err
			l.mu.Unlock()
		}
		set(errors.New("other trouble"))
		set(nil)
		set(&net.DNSError{Err: "read udp 127.0.0.1:4444->127.0.0.1:53: i/o timeout", IsTimeout: true})
		set(&net.DNSError{Err: "read udp 127.0.0.1:5555->127.0.0.1:53: i/o timeout", IsTimeout: true})
		time.Sleep(time.Minute)
		stop()
		want := []string{
			"cannot resolve app: no such host; trying again until it resolves",
			"cannot resolve app: other trouble; trying again until it resolves",
			"name resolves again",
			"cannot resolve app: no answer from the resolver; keeping the last known addresses",
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
