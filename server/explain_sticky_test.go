package server_test

import (
	"fmt"
	"strings"
	"testing"

	"lb/admin"
	"lb/internal/lbtest"
)

// TestExplainSticky: given the cookie of a real response, lb explain predicts the backend that set it.
func TestExplainSticky(t *testing.T) {
	text := "site \"s\" {\n  route \"/\" {\n    proxy {\n      pool = \"app\"\n    }\n  }\n}\npool \"app\" {\n  sticky {\n    secret = \"0123456789abcdef\"\n  }\n"
	for i := range 3 {
		name := fmt.Sprintf("backend-%d", i)
		text += fmt.Sprintf("  backend %q {}\n", lbtest.NewBackend(t, lbtest.Respond(lbtest.OK(name))).Addr)
	}
	r := start(t, text+"}\n")
	for range 6 {
		first := r.get("/")
		cookie, _, _ := strings.Cut(first.Field("Set-Cookie"), ";")
		if cookie == "" {
			t.Fatalf("no cookie: %s", first.Head)
		}
		p := r.explain(admin.Question{URL: "http://s:PORT/", Header: []string{"Cookie: " + cookie}}).Pools[0]
		if p.Choice == "" || !strings.Contains(p.Sticky, "belongs to "+p.Choice) {
			t.Fatalf("%q, %s", p.Choice, p.Sticky)
		}
		before := asked(t, r, p.Choice)
		if again := r.get("/", "Cookie: "+cookie); again.Body != first.Body {
			t.Errorf("the cookie of %s led to %s", first.Body, again.Body)
		}
		lbtest.Eventually(t, "the request is counted for "+p.Choice, func() bool { return asked(t, r, p.Choice) == before+1 })
	}
	if p := r.explain(admin.Question{URL: "http://s:PORT/"}).Pools[0]; p.Choice != "" || !strings.Contains(p.Sticky, "no cookie") {
		t.Errorf("%q, %s", p.Choice, p.Sticky)
	}
}
