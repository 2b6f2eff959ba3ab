package server_test

import (
	"strings"
	"testing"

	"lb/admin"
	"lb/config"
	"lb/internal/cli"
	"lb/server"
)

// FuzzExplain: every question is refused or explained, and the printed text cannot move a terminal's cursor.
func FuzzExplain(f *testing.F) {
	f.Add("GET", "http://clock.test/a/b?c", "X-User: ann", "192.0.2.1")
	f.Add("PUT", "https://[::1]:8443/%2e%2e/x#y", "Host: b.wild.test", "::1")
	f.Add("G\r\nT", "http://a?b", "Cookie: a=b; c", "")
	f.Add("", "http://user:pass@a/old/\x80", "X-Forwarded-For: 10.0.0.1", "127.0.0.1")
	text := strings.NewReplacer("$DIR", f.TempDir()).Replace("trusted_proxies = [\"127.0.0.0/8\"]\n"+explainedSites) +
		"pool \"app\" {\n  balance = \"hash\"\n  backend \"127.0.0.1:1\" {}\n}\npool \"canary\" {\n  backend \"127.0.0.1:2\" {}\n}\n"
	cfg, diags := config.Parse([]config.Source{{Name: "lb.hcl", Text: []byte(text)}})
	if diags.HasErrors() {
		f.Fatal(diags)
	}
	f.Fuzz(func(t *testing.T, method, url, header, client string) {
		q := admin.Question{Method: method, URL: url, Header: []string{header}, Client: client}
		e, err := server.ExplainConfig(cfg, q)
		if (err == nil) != (server.CheckQuestion(q) == nil) {
			t.Fatalf("%v, but checked: %v", err, server.CheckQuestion(q))
		}
		if err != nil {
			return
		}
		if (e.Response == nil) != (len(e.Pools) > 0) {
			t.Errorf("both or neither respond: %+v", e)
		}
		var out strings.Builder
		if err := cli.WriteExplanation(&out, e); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(out.String(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }); i >= 0 {
			t.Errorf("a control character at %d of %q", i, out.String())
		}
	})
}
