package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestReloadCounters: both series exist from the start, which does not count as a reload.
func TestReloadCounters(t *testing.T) {
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	lb := start(t, proxyTo("", b.Addr))
	for _, step := range []struct{ text, success, failure string }{
		{"", "0", "0"}, {proxyTo("", b.Addr), "1", "0"}, {"site {", "1", "1"}, {proxyTo("", b.Addr), "2", "1"},
	} {
		if step.text != "" {
			_ = lb.reload(step.text)
		}
		for result, want := range map[string]string{"success": step.success, "failure": step.failure} {
			if got := lb.metric(`lb_config_reloads_total{result="` + result + `"}`); got != want {
				t.Errorf("after %q %s stands at %q, want %s", step.text, result, got, want)
			}
		}
	}
}

// TestReloadWarnsOfFixedSettings: the response has a warning, with its place, about a log destination that a reload cannot change.
func TestReloadWarnsOfFixedSettings(t *testing.T) {
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	lb := start(t, proxyTo("", b.Addr))
	if status, body := lb.askAdmin("POST", "/api/v1/reload"); status != 200 || strings.Contains(body, "warning") {
		t.Errorf("without a change: %d %s", status, body)
	}
	lb.mu.Lock()
	lb.text = strings.Replace(lb.text, "lb.log\"", "other.log\"\n  format = \"json\"", 1)
	lb.mu.Unlock()
	for range 2 {
		status, body := lb.askAdmin("POST", "/api/v1/reload")
		if status != 200 || !strings.Contains(body, "lb.hcl:") || !strings.Contains(body, ": warning: the log's format and file stay") {
			t.Errorf("with a change: %d %s", status, body)
		}
	}
	if !strings.Contains(lb.read("lb.log"), "the log's format and file stay") {
		t.Errorf("the log says nothing:\n%s", lb.read("lb.log"))
	}
}

// TestRefusedReloadHidesSecrets: the diagnostics of a reload, with a secret on each faulty line, do not show the secret in the
// log, the response or the status.
func TestRefusedReloadHidesSecrets(t *testing.T) {
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	t.Setenv("LB_TEST_SECRET", "hush-7361")
	lb := start(t, proxyTo("", b.Addr))
	for says, pool := range map[string]string{
		`unknown attribute \"secrt\"`:           "  sticky {\n    secrt = \"hush-7361\"\n  }\n",
		"a string without its closing quote":    "  sticky {\n    secret = \"hush-7361\n  }\n",
		"an equals sign before the brace":       "  token hunter = \"hush-7361\"\n",
		`balance cannot be \"…\"`:               "  balance = env(\"LB_TEST_SECRET\")\n",
		"two attributes on one line":            "  hash_key = \"client_ip\" secret = \"hush-7361\"\n",
		`backend \"http://…@127.0.0.1:5001\"`:   "  backend \"http://a:hush-7361@127.0.0.1:5001\" {}\n",
		"contains a line break or another cont": "  discover \"consul\" {\n    service = \"app\"\n    token = \"\\thush-7361\\u0001\"\n  }\n",
	} {
		lb.set(proxyTo(pool, b.Addr))
		status, body := lb.askAdmin("POST", "/api/v1/reload")
		if status != 422 || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s", says, status, body)
		}
		_, state := lb.askAdmin("GET", "/api/v1/status")
		if !strings.Contains(state, says) {
			t.Errorf("the status does not say %q: %s", says, state)
		}
		for where, text := range map[string]string{"response": body, "status": state, "log": lb.read("lb.log")} {
			if strings.Contains(text, "hush") {
				t.Errorf("%s: the %s shows the secret:\n%s", says, where, text)
			}
		}
	}
	if !strings.Contains(lb.read("lb.log"), "reload refused") {
		t.Errorf("the log says nothing:\n%s", lb.read("lb.log"))
	}
}
