package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestReloadCounters: both series are there from the start, which is no reload.
func TestReloadCounters(t *testing.T) {
	b := lbtest.NewBackend(t, lbtest.Answer(lbtest.OK("x")))
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

// TestReloadSaysWhatItCannotChange: the answer has a warning, with its place, of a log that goes elsewhere.
func TestReloadSaysWhatItCannotChange(t *testing.T) {
	b := lbtest.NewBackend(t, lbtest.Answer(lbtest.OK("x")))
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
