package server_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"lb/admin"
	"lb/config"
	"lb/internal/cli"
	"lb/server"
)

// explanation returns an explanation as it is printed.
func explanation(t *testing.T, e *admin.Explanation) string {
	t.Helper()
	var text strings.Builder
	if err := cli.WriteExplanation(&text, e); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestExplainHTTPS: for a URL of https the explanation has the protocols and certificates of the listener, and the server name is the one
// of which a real handshake gets the certificate; for backends it has how connections begin.
func TestExplainHTTPS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeCertificate(t, dir+"/c", 1, "clock.test", "*.clock.test")
	writeCertificateUntil(t, dir+"/old", 2, time.Now().Add(-time.Minute), "old.test")
	more := fmt.Sprintf("    certificate {\n      cert = %q\n      key  = %q\n    }\n  }\n}\n", dir+"/old.pem", dir+"/old.key")
	text := strings.TrimSuffix(tlsListener, "  }\n}\n") + more + "listen \"127.0.0.1:1080\" {\n  http2 = true\n}\n" +
		proxyTo("  proxy_protocol = \"v2\"\n  tls {\n    server_name = \"app.test\"\n  }\n", "127.0.0.1:1")
	lb := startTLS(t, dir+"/c", strings.Replace(text, "127.0.0.1:1080", "0.0.0.0:0", 1))
	_, port, err := net.SplitHostPort(lb.addr())
	if err != nil {
		t.Fatal(err)
	}
	cfg, found := config.Parse([]config.Source{{Name: "lb.hcl", Text: []byte(strings.NewReplacer("$DIR", dir, "127.0.0.1:0", "127.0.0.1:"+port).Replace(text))}})
	if cfg == nil {
		t.Fatal(found)
	}
	until := ", until " + time.Now().Add(time.Hour).UTC().Format("2006-01-02 ")
	for _, c := range []struct {
		host   string
		serial int64
		want   []string
	}{
		{"clock.test", 1, []string{"protocols    h2, http/1.1", "certificate  clock.test (for clock.test, *.clock.test), from " + dir + "/c.pem: valid" + until, "by the name clock.test\n"}},
		{"a.clock.test", 1, []string{"/c.pem: valid", "by the name a.clock.test\n"}},
		{"old.test", 2, []string{"certificate  old.test, from " + dir + "/old.pem: expired, until "}},
		{"other.test", 1, []string{"none has the name other.test, so that clients reject it"}},
	} {
		q := admin.Question{URL: "https://" + c.host + ":" + port + "/"}
		if conn, serial := lb.dialTLS(c.host); serial != c.serial {
			t.Errorf("%s: a client gets certificate %d, want %d", c.host, serial, c.serial)
		} else {
			conn.Close()
		}
		offline, err := server.ExplainConfig(cfg, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []*admin.Explanation{lb.explain(q), offline} {
			out := explanation(t, e)
			for _, want := range append(c.want, "connection  a PROXY header (v2), so that none is shared by clients; then TLS, where the certificate must have the name app.test\n") {
				if !strings.Contains(out, want) {
					t.Errorf("%s, offline: %v: the explanation has no %q:\n%s", c.host, e.Offline, want, out)
				}
			}
		}
	}
	offline, err := server.ExplainConfig(cfg, admin.Question{URL: "http://clock.test:1080/"})
	if err != nil {
		t.Fatal(err)
	}
	if out := explanation(t, offline); !strings.Contains(out, "protocols  http/1.1, h2 (prior knowledge)\n") || strings.Contains(out, "certificate  ") {
		t.Errorf("for http:\n%s", out)
	}
}

// TestExplainACME: without a running lb, the names of certificates by ACME are known, and files that cannot be loaded are named.
func TestExplainACME(t *testing.T) {
	const broken = "    certificate {\n      cert = \"/nowhere/c.pem\"\n      key = \"/nowhere/c.key\"\n    }\n"
	text := "listen \"127.0.0.1:8443\" {\n  tls {\n" + broken +
		"    acme {\n      domains = [\"clock.test\"]\n      on_demand {\n        ask = \"http://127.0.0.1:9/ask\"\n      }\n    }\n  }\n}\n" + sitesOK
	for _, c := range []struct{ text, host, want string }{
		{strings.Replace(text, broken, "", 1), "clock.test", "certificate  clock.test, by ACME\n             by the name clock.test\n"},
		{strings.Replace(text, broken, "", 1), "other.test", "none has the name other.test; one is obtained on demand if http://127.0.0.1:9/ask agrees\n"},
		{text, "clock.test", "cannot load the certificate \"/nowhere/c.pem\": "},
	} {
		cfg, found := config.Parse([]config.Source{{Name: "lb.hcl", Text: []byte(c.text)}}, config.WithoutFileChecks())
		if cfg == nil {
			t.Fatal(found)
		}
		e, err := server.ExplainConfig(cfg, admin.Question{URL: "https://" + c.host + ":8443/"})
		if err != nil {
			t.Fatal(err)
		}
		if out := explanation(t, e); !strings.Contains(out, c.want) {
			t.Errorf("%s: the explanation has no %q:\n%s", c.host, c.want, out)
		}
	}
}
