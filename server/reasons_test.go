package server_test

import (
	"encoding/json"
	"strings"
	"testing"

	"lb/admin"
	"lb/internal/cli"
	"lb/internal/lbtest"
	"lb/pool"
)

// table is the output of lb status.
func (r *running) table() string {
	r.t.Helper()
	var pools []pool.PoolStatus
	if text := r.admin("GET", "/api/v1/pools"); json.Unmarshal([]byte(text), &pools) != nil {
		r.t.Fatalf("pools: %s", text)
	}
	var out strings.Builder
	if err := cli.WriteTable(&out, pools); err != nil {
		r.t.Fatal(err)
	}
	return out.String()
}

// lineOf returns the lines of a text that contain an address.
func lineOf(text, address string) (lines string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, address) {
			lines += line
		}
	}
	return lines
}

// TestReasonsNameTheFailure: status and explanation of a backend that is unused or on trial say what happened to its requests or
// checks: with and without checks, beside another backend or alone.
func TestReasonsNameTheFailure(t *testing.T) {
	alive := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x"))).Addr
	resets := lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadRequest(); c.Reset() }).Addr
	dead := deadAddress(t)
	const eject = "  eject {\n    failures = 1\n    duration = \"1ms\"\n  }\n  queue {\n    while_down = \"10ms\"\n  }\n"
	for _, c := range []struct {
		name, more, backend string
		alone               bool
		reason              string
		trial               bool
	}{
		{"refuses", eject, dead, false, "connection refused", false},
		{"refuses, alone", eject, dead, true, "connection refused", false},
		{"refuses, with checks", eject + "  health {\n    interval = \"20ms\"\n  }\n", dead, false, "connection refused", false},
		{"refuses, with checks, alone", eject + "  health {\n    interval = \"20ms\"\n  }\n", dead, true, "connection refused", false},
		{"resets", eject, resets, false, "connection reset", true},
	} {
		backends := []string{c.backend, alive}
		if c.alone {
			backends = backends[:1]
		}
		lb := start(t, proxyTo(c.more, backends...))
		lbtest.Eventually(t, c.name+": the reason", func() bool {
			lb.get("/")
			line := lineOf(lb.table(), c.backend)
			return strings.Contains(line, c.reason) && strings.Contains(line, "on trial") == c.trial
		})
		for range 20 {
			if !c.trial {
				lb.get("/")
			}
			line := lineOf(lb.table(), c.backend)
			if !strings.Contains(line, c.reason) || strings.Contains(line, "on trial") != c.trial {
				t.Errorf("%s: %s", c.name, line)
			}
			var text strings.Builder
			e := lb.explain(admin.Question{URL: "http://a:PORT/"})
			if err := cli.WriteExplanation(&text, e); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text.String(), c.reason) {
				t.Errorf("%s: explained as\n%s", c.name, text.String())
				break
			}
		}
		lb.stop()
	}
}
