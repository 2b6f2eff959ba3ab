package dns

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

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"lb/internal/lbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inFakeTime makes a resolver query s without a network.
func inFakeTime(r *Resolver, s *lbtest.DNS) {
	r.Hosts = ""
	r.Exchange = func(ctx context.Context, _ string, q dnsmessage.Question, c *Config) (*dnsmessage.Message, error) {
		return s.Exchange(ctx, q, c.Wait())
	}
}

// lookupText does one lookup and returns the addresses found, on one line.
func lookupText(r *Resolver, name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), LookupTimeout)
	defer cancel()
	found, err := r.Lookup(ctx, name)
	var words []string
	for _, f := range found {
		for _, a := range f.IPs {
			words = append(words, a.String())
		}
	}
	return strings.Join(words, " "), err
}

// TestLookupSearches: the names are tried in order, and both families are from the same one.
func TestLookupSearches(t *testing.T) {
	conf := Config{Servers: []string{"s:53"}, Search: []string{"a.test", "b.test"}, Ndots: 1}
	found := map[string][]netip.Addr{
		"app.a.test.": lbtest.Addresses("127.0.0.1"), "app.b.test.": lbtest.Addresses("127.0.0.2", "::2"),
		"late.b.test.": lbtest.Addresses("127.0.0.3"), "dotted.test.": lbtest.Addresses("127.0.0.4"), "dotted.test.a.test.": lbtest.Addresses("127.0.0.5"),
		"broken.b.test.": lbtest.Addresses("127.0.0.6"), "top.": lbtest.Addresses("127.0.0.7"),
	}
	for _, c := range []struct {
		name, want, err string
		asked           string // for A, in order
	}{
		{"app", "127.0.0.1", "", "app.a.test."}, // without the IPv6 address of app.b.test
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
			s := lbtest.NewDNS()
			s.Targets, s.Broken = found, map[string]bool{"broken.a.test.": true, "none.b.test.": true}
			r := New("")
			inFakeTime(r, s)
			r.Config = func() Config { return conf }
			got, err := lookupText(r, c.name)
			if got != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("found %q, %v; want %q, error %q", got, err, c.want, c.err)
			}
			slices.Sort(s.Names)
			var want []string
			for name := range strings.FieldsSeq(c.asked) {
				want = append(want, name, name) // A and AAAA
			}
			slices.Sort(want)
			if !slices.Equal(s.Names, want) {
				t.Errorf("asked for %q, want %q", s.Names, want)
			}
		})
	}
}

// TestLookupStaysWithTheName: after a name was found, a later failure does not lead to another search domain, but its removal
// does.
func TestLookupStaysWithTheName(t *testing.T) {
	s := lbtest.NewDNS()
	s.Targets = map[string][]netip.Addr{"app.a.test.": lbtest.Addresses("127.0.0.1"), "app.b.test.": lbtest.Addresses("127.0.0.2")}
	r := New("")
	inFakeTime(r, s)
	r.Config = func() Config {
		return Config{Servers: []string{"s:53"}, Search: []string{"a.test", "b.test"}, Ndots: 1}
	}
	if got, err := lookupText(r, "app"); got != "127.0.0.1" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	s.Broken = map[string]bool{"app.a.test.": true}
	if got, err := lookupText(r, "app"); got != "" || err == nil {
		t.Errorf("%q, %v; want the failure of the name that was found before", got, err)
	}
	s.Broken = nil
	delete(s.Targets, "app.a.test.")
	if got, err := lookupText(r, "app"); got != "127.0.0.2" || err != nil {
		t.Errorf("%q, %v; want the next domain's", got, err)
	}
}

// TestLookupAsksTheServersInTurn: servers are queried once each, until one of them responds; the rest of a lookup begins
// with the one that answered, and leaves time for it.
func TestLookupAsksTheServersInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		r := New("")
		conf := Config{Servers: []string{"silent:53", "refuses:53", "fails:53", "refers:53", "knows:53", "never:53"}, Search: []string{"a.test", "b.test"}, Ndots: 1}
		r.Config = func() Config { return conf }
		r.Hosts = ""
		r.Exchange = func(ctx context.Context, server string, q dnsmessage.Question, c *Config) (*dnsmessage.Message, error) {
			if q.Type == dnsmessage.TypeA {
				asked = append(asked, strings.TrimSuffix(server, ":53"))
			}
			m := &dnsmessage.Message{Header: dnsmessage.Header{Response: true, RecursionAvailable: true}}
			switch server {
			case "silent:53":
				time.Sleep(c.Wait())
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
		if took := time.Since(start); took != LookupTimeout/6 {
			t.Errorf("took %v, want a sixth of %v", took, LookupTimeout)
		}
		asked, conf.Servers = nil, []string{"silent:53"}
		if _, err := lookupText(r, "app"); !errors.Is(err, context.DeadlineExceeded) || len(asked) != 1 {
			t.Errorf("asked %v: %v; a server that says nothing is asked once", asked, err)
		}
		asked, conf = nil, Config{Servers: []string{"fails:53", "refuses:53", "refers:53"}, Rotate: true}
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
	s := lbtest.StartDNS(t)
	s.Change(func(s *lbtest.DNS) { s.Addresses = lbtest.Addresses("127.0.0.2", "::1") })
	r := New("")
	r.Config = func() Config { return Config{Servers: []string{s.Address}, TCP: true} }
	if got, err := lookupText(r, "app.test."); got != "127.0.0.2 ::1" || err != nil || s.OverTCP != 2 {
		t.Errorf("%q, %v; %d queries over TCP", got, err, s.OverTCP)
	}
}

// TestLookupOfLocalhost needs no name server, on a system with the usual hosts file.
func TestLookupOfLocalhost(t *testing.T) {
	text, _ := os.ReadFile("/etc/hosts")
	if !strings.Contains(string(text), "localhost") {
		t.Skip("there is no localhost in /etc/hosts")
	}
	r := New("")
	r.Exchange = func(context.Context, string, dnsmessage.Question, *Config) (*dnsmessage.Message, error) {
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
	if want := []string{"10.0.0.2:53", "[fe80::1%eth0]:53", "10.0.0.3:53"}; !slices.Equal(c.Servers, want) {
		t.Errorf("servers %q, want %q", c.Servers, want)
	}
	if c.Wait() != time.Second || !c.Rotate || !c.TCP {
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
	if c := parseResolvConf(""); c.Servers[0] != "127.0.0.1:53" || c.Ndots != 1 || c.Wait() != LookupTimeout || c.Rotate || c.TCP {
		t.Errorf("nothing configured: %+v", c)
	}
	for options, want := range map[string]time.Duration{
		"timeout:30": LookupTimeout / 2, "timeout:2": 2 * time.Second, "timeout:0": time.Second, "timeout:x": LookupTimeout / 2, "timeout": LookupTimeout / 2,
	} {
		if c := parseResolvConf("nameserver 10.0.0.2\nnameserver 10.0.0.3\noptions " + options); c.Wait() != want {
			t.Errorf("%s: a server has %v, want %v", options, c.Wait(), want)
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
