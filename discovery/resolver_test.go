package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// lookupText does one lookup and returns the addresses that were found in one line.
func lookupText(r *resolver, name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	found, err := r.lookup(ctx, name)
	var words []string
	for _, f := range found {
		for _, a := range f.addresses {
			words = append(words, a.String())
		}
	}
	return strings.Join(words, " "), err
}

// TestLookupSearches: the names are tried in order, and both families come from the same one.
func TestLookupSearches(t *testing.T) {
	conf := resolvConf{servers: []string{"s:53"}, search: []string{"a.test", "b.test"}, ndots: 1}
	found := map[string][]netip.Addr{
		"app.a.test.": addresses("127.0.0.1"), "app.b.test.": addresses("127.0.0.2", "::2"),
		"late.b.test.": addresses("127.0.0.3"), "dotted.test.": addresses("127.0.0.4"), "dotted.test.a.test.": addresses("127.0.0.5"),
		"broken.b.test.": addresses("127.0.0.6"), "top.": addresses("127.0.0.7"),
	}
	for _, c := range []struct {
		name, want, err string
		asked           string // for A, in order
	}{
		{"app", "127.0.0.1", "", "app.a.test."}, // and not the IPv6 address of app.b.test
		{"late", "127.0.0.3", "", "late.a.test. late.b.test."},
		{"dotted.test", "127.0.0.4", "", "dotted.test."},
		{"top", "127.0.0.7", "", "top.a.test. top.b.test. top."},
		{"broken", "127.0.0.6", "", "broken.a.test. broken.b.test."},
		{"app.b.test.", "127.0.0.2 ::2", "", "app.b.test."},
		{"app.c.test.", "", "no such record", "app.c.test."},
		{"none", "", "the resolver returned ServerFailure", "none.a.test. none.b.test. none."},
		{"127.0.0.8", "127.0.0.8", "", ""},
		{"::ffff:127.0.0.8", "127.0.0.8", "", ""},
		{"fe80::1%eth0", "fe80::1%eth0", "", ""},
		{strings.Repeat("a", 64) + ".test", "", "is not a name", ""},
		{strings.Repeat("a.", 126) + "test", "", "is not a name", ""},
	} {
		t.Run(c.name[:min(len(c.name), 20)], func(t *testing.T) {
			s := newDNS()
			s.targets, s.broken = found, map[string]bool{"broken.a.test.": true, "none.b.test.": true}
			r := newResolver("")
			s.inFakeTime(r, "")
			r.conf = func() resolvConf { return conf }
			got, err := lookupText(r, c.name)
			if got != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("found %q, %v; want %q, error %q", got, err, c.want, c.err)
			}
			slices.Sort(s.names)
			var want []string
			for name := range strings.FieldsSeq(c.asked) {
				want = append(want, name, name) // A and AAAA
			}
			slices.Sort(want)
			if !slices.Equal(s.names, want) {
				t.Errorf("asked for %q, want %q", s.names, want)
			}
		})
	}
}

// TestLookupStaysWithTheName: where the name was found, a failure is no reason to look for it elsewhere; its
// absence is.
func TestLookupStaysWithTheName(t *testing.T) {
	s := newDNS()
	s.targets = map[string][]netip.Addr{"app.a.test.": addresses("127.0.0.1"), "app.b.test.": addresses("127.0.0.2")}
	r := newResolver("")
	s.inFakeTime(r, "")
	r.conf = func() resolvConf {
		return resolvConf{servers: []string{"s:53"}, search: []string{"a.test", "b.test"}, ndots: 1}
	}
	if got, err := lookupText(r, "app"); got != "127.0.0.1" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	s.broken = map[string]bool{"app.a.test.": true}
	if got, err := lookupText(r, "app"); got != "" || err == nil {
		t.Errorf("%q, %v; want the failure of the name that was found before", got, err)
	}
	s.broken = nil
	delete(s.targets, "app.a.test.")
	if got, err := lookupText(r, "app"); got != "127.0.0.2" || err != nil {
		t.Errorf("%q, %v; want the next domain's", got, err)
	}
}

// TestLookupAsksTheServersInTurn: until one of them knows; each once; the rest of a lookup begins with the
// one that answered, and leaves time for it.
func TestLookupAsksTheServersInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		r := newResolver("")
		conf := resolvConf{servers: []string{"silent:53", "refuses:53", "fails:53", "refers:53", "knows:53", "never:53"}, search: []string{"a.test", "b.test"}, ndots: 1}
		r.conf = func() resolvConf { return conf }
		r.hosts = ""
		r.exchange = func(ctx context.Context, server string, q dnsmessage.Question, c *resolvConf) (*dnsmessage.Message, error) {
			if q.Type == dnsmessage.TypeA {
				asked = append(asked, strings.TrimSuffix(server, ":53"))
			}
			m := &dnsmessage.Message{Header: dnsmessage.Header{Response: true, RecursionAvailable: true}}
			switch server {
			case "silent:53":
				time.Sleep(c.wait())
				return nil, context.DeadlineExceeded
			case "refuses:53":
				return nil, &net.OpError{Op: "read", Err: syscall.ECONNREFUSED}
			case "fails:53":
				m.RCode = dnsmessage.RCodeServerFailure
			case "refers:53":
				m.RecursionAvailable = false
			case "knows:53":
				if q.Name.String() != "app.b.test." {
					m.RCode = dnsmessage.RCodeNameError
				} else if q.Type == dnsmessage.TypeA {
					m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Type: q.Type}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
				}
			}
			return m, nil
		}
		start := time.Now()
		if got, err := lookupText(r, "app"); got != "127.0.0.1" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		if want := "silent refuses fails refers knows knows"; strings.Join(asked, " ") != want {
			t.Errorf("asked %v, want %s", asked, want)
		}
		if took := time.Since(start); took != lookupTimeout/6 {
			t.Errorf("took %v, want a sixth of %v", took, lookupTimeout)
		}
		asked, conf.servers = nil, []string{"silent:53"}
		if _, err := lookupText(r, "app"); !errors.Is(err, context.DeadlineExceeded) || len(asked) != 1 {
			t.Errorf("asked %v: %v; a server that says nothing is asked once", asked, err)
		}
		asked, conf = nil, resolvConf{servers: []string{"fails:53", "refuses:53", "refers:53"}, rotate: true}
		for range 3 {
			if _, err := lookupText(r, "app"); err == nil {
				t.Error("found")
			}
		}
		if want := "fails refuses refers refuses refers fails refers fails refuses"; strings.Join(asked, " ") != want {
			t.Errorf("with rotate: asked %v, want %s", asked, want)
		}
	})
}

// TestLookupByTCPAlone: the option use-vc.
func TestLookupByTCPAlone(t *testing.T) {
	s := startDNS(t)
	s.change(func(s *dnsServer) { s.addresses = addresses("127.0.0.2", "::1") })
	r := newResolver("")
	r.conf = func() resolvConf { return resolvConf{servers: []string{s.address}, tcp: true} }
	if got, err := lookupText(r, "app.test."); got != "127.0.0.2 ::1" || err != nil || s.overTCP != 2 {
		t.Errorf("%q, %v; %d queries over TCP", got, err, s.overTCP)
	}
}

// TestLookupOfLocalhost needs no name server, on a system with the usual hosts file.
func TestLookupOfLocalhost(t *testing.T) {
	text, _ := os.ReadFile("/etc/hosts")
	if !strings.Contains(string(text), "localhost") {
		t.Skip("there is no localhost in /etc/hosts")
	}
	r := newResolver("")
	r.exchange = func(context.Context, string, dnsmessage.Question, *resolvConf) (*dnsmessage.Message, error) {
		return nil, errors.New("asked")
	}
	if got, err := lookupText(r, "localhost"); err != nil || !strings.Contains(got, "127.0.0.1") && !strings.Contains(got, "::1") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHosts(t *testing.T) {
	const text = "# comment\n127.0.0.1\tlocalhost\n::1 localhost ip6-localhost\n10.0.0.1 App app.test. #10.0.0.2 late\n" +
		"junk app\n10.0.0.3\n ::ffff:10.0.0.4 other APP app\nfe80::1%eth0 zoned"
	for name, want := range map[string]string{
		"localhost": "127.0.0.1 ::1", "app": "10.0.0.1 10.0.0.4", "APP.test": "10.0.0.1", "app.test.": "10.0.0.1",
		"late": "", "ap": "", "zoned": "fe80::1%eth0", "": "", "10.0.0.1": "",
	} {
		var got []string
		for _, a := range parseHosts(text, name) {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := lookupHosts(filepath.Join(t.TempDir(), "none"), "localhost"); got != nil {
		t.Errorf("from a file that is not there: %v", got)
	}
}

func TestResolvConf(t *testing.T) {
	c := parseResolvConf("# a comment\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver junk\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n" +
		"domain old.test\nsearch a.test b.test.\noptions timeout:1 ndots:2\noptions\noptions rotate use-vc edns0\n")
	if want := []string{"10.0.0.2:53", "[fe80::1%eth0]:53", "10.0.0.3:53"}; !slices.Equal(c.servers, want) {
		t.Errorf("servers %q, want %q", c.servers, want)
	}
	if c.wait() != time.Second || !c.rotate || !c.tcp {
		t.Errorf("options: %+v", c)
	}
	for name, want := range map[string]string{
		"app":       "app.a.test. app.b.test. app.",
		"_h.tcp.x":  "_h.tcp.x. _h.tcp.x.a.test. _h.tcp.x.b.test.",
		"app.test.": "app.test.",
	} {
		if got := strings.Join(c.names(name), " "); got != want {
			t.Errorf("names of %q: %q, want %q", name, got, want)
		}
	}
	if c := parseResolvConf(""); c.servers[0] != "127.0.0.1:53" || c.ndots != 1 || c.wait() != lookupTimeout || c.rotate || c.tcp {
		t.Errorf("nothing configured: %+v", c)
	}
	for options, want := range map[string]time.Duration{
		"timeout:30": lookupTimeout / 2, "timeout:2": 2 * time.Second, "timeout:0": time.Second, "timeout:x": lookupTimeout / 2, "timeout": lookupTimeout / 2,
	} {
		if c := parseResolvConf("nameserver 10.0.0.2\nnameserver 10.0.0.3\noptions " + options); c.wait() != want {
			t.Errorf("%s: a server has %v, want %v", options, c.wait(), want)
		}
	}
}

// TestResolvConfDomain: without a search list the domain of this host is searched, as by the system's
// resolver; "search ." is a list, though an empty one.
func TestResolvConfDomain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"app."}
	if _, domain, _ := strings.Cut(host, "."); domain != "" {
		want = []string{"app." + domain + ".", "app."}
	}
	c := readResolvConf(path)
	if got := c.names("app"); !slices.Equal(got, want) {
		t.Errorf("names of app: %q, want %q", got, want)
	}
	if err := os.WriteFile(path, []byte("search .\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = readResolvConf(path)
	if got := c.names("app"); !slices.Equal(got, []string{"app."}) {
		t.Errorf("names of app with search .: %q", got)
	}
}
