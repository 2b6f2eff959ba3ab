package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestForwardedPrefix: the backend gets the prefix that was removed, and a client cannot forge it.
func TestForwardedPrefix(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	site := func(route, more string) string {
		return "site \"s\" {\n  route \"" + route + "\" {\n    proxy {\n      pool = \"app\"\n" + more + "\n    }\n  }\n}\npool \"app\" {\n  backend \"" + b.Addr + "\" {}\n}\n"
	}
	for _, tc := range []struct{ name, text, target, prefix, path string }{
		{"cut", site("/app/", "strip_prefix = true"), "/app/x?q", "/app", "/x?q"},
		{"cut without a slash", site("/app", "strip_prefix = true"), "/app/x", "/app", "/x"},
		{"escaped", site("/a b/", "strip_prefix = true"), "/a%20b/x", "/a%20b", "/x"},
		{"rewritten", site("/app/", "strip_prefix = true\n      rewrite = \"/v2{path}\""), "/app/x", "/app", "/v2/x"},
		{"nothing to cut", site("/", "strip_prefix = true"), "/x", "", "/x"},
		{"kept", site("/app/", ""), "/app/x", "", "/app/x"},
	} {
		for _, trusted := range []bool{false, true} {
			text, want := tc.text, tc.prefix
			if trusted {
				text, want = "trusted_proxies = [\"127.0.0.0/8\"]\n"+text, "/outer"+tc.prefix
				if !strings.Contains(tc.text, "strip_prefix") {
					want = "/outer/"
				}
			}
			lb := start(t, text)
			lb.get(tc.target, "X-Forwarded-Prefix: /outer/")
			head, _ := b.last()
			if got := strings.Join(lbtest.Fields(head, "X-Forwarded-Prefix"), "|"); got != want || !strings.HasPrefix(head, "GET "+tc.path+" ") {
				t.Errorf("%s, trusted %v: prefix %q, want %q, in %q", tc.name, trusted, got, want, head)
			}
			lb.stop()
		}
	}
}
