package command

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"lb/config"
)

// TestCheckDomains: a name without an address, and one that leads to another machine, are warnings. Behind a router the latter is
// not checked.
func TestCheckDomains(t *testing.T) {
	text := "listen \":443\" {\n  tls {\n    acme {\n      domains = [\"here.test\", \"other.test\", \"missing.test\", \"broken.test\", \"192.0.2.1\"]\n      profile = \"shortlived\"\n    }\n  }\n}\n" +
		"listen \":444\" {\n  tls {\n    acme {\n      domains = [\"*.missing.test\"]\n      dns {\n        exec = \"/bin/true\"\n      }\n    }\n  }\n}\n" +
		"site \"s\" {\n  route \"/\" {\n    respond {}\n  }\n}\n"
	cfg, diags := config.Parse([]config.Source{{Name: "lb.hcl", Text: []byte(text)}}, config.WithoutFileChecks())
	if cfg == nil {
		t.Fatal(diags)
	}
	look := func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "here.test":
			return []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:203.0.113.7")}, nil
		case "other.test":
			return []netip.Addr{netip.MustParseAddr("203.0.113.8")}, nil
		case "broken.test":
			return nil, errors.New("out of order")
		}
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	public, private := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("10.0.0.7")
	for _, c := range []struct {
		local []netip.Addr
		want  []string
	}{
		{[]netip.Addr{private, public}, []string{`"other.test", for which a certificate is to be obtained, leads to 203.0.113.8`, `for "missing.test": the name has no address`, `cannot look up "broken.test"`}},
		{[]netip.Addr{private}, []string{`for "missing.test": the name has no address`, `cannot look up "broken.test"`}},
	} {
		found := checkDomains(cfg, look, c.local)
		if len(found) != len(c.want) {
			t.Errorf("%v: %v", c.local, found)
			continue
		}
		for i, d := range found {
			if !strings.Contains(d.Summary, c.want[i]) || d.Detail == "" || d.Severity != config.Warning || d.Pos.Line != 3 {
				t.Errorf("%v: %+v, want %q", c.local, d, c.want[i])
			}
		}
	}
}
