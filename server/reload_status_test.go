package server_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lb/admin"
	"lb/internal/lbtest"
)

// lastReload returns the status of the last reload, and since when the configuration has been in force.
func (r *running) lastReload() (admin.Reload, time.Time) {
	r.t.Helper()
	var s admin.Status
	if err := json.Unmarshal([]byte(r.admin("GET", "/api/v1/status")), &s); err != nil || s.Reload == nil {
		r.t.Fatalf("no last reload: %v", err)
	}
	return *s.Reload, s.InForce
}

// TestStatusReportsTheLastReload: the diagnostics of a failed reload, with places and remedies, and the warnings of a successful
// one; and since when the configuration has been in force, which a failed reload does not change.
func TestStatusReportsTheLastReload(t *testing.T) {
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	text := proxyTo("", b.Addr)
	lb := start(t, text)
	first, started := lb.lastReload()
	if !first.OK || len(first.Diagnostics) != 0 || started.IsZero() {
		t.Errorf("after the start: %+v, in force since %v", first, started)
	}

	if lb.reload(strings.Replace(text, "pool \"app\" {", "pool \"app\" {\n  balence = \"first\"", 1)) == nil {
		t.Fatal("an unknown attribute was accepted")
	}
	refused, since := lb.lastReload()
	if refused.OK || refused.Time.Before(started) || len(refused.Diagnostics) != 1 || !since.Equal(started) {
		t.Fatalf("refused: %+v, in force since %v, before since %v", refused, since, started)
	}
	d := refused.Diagnostics[0]
	if d.Severity != "error" || filepath.Base(d.File) != "lb.hcl" || d.Line == 0 || d.Column != 3 ||
		!strings.Contains(d.Summary, "balence") || !strings.Contains(d.Detail, "balance") || d.Source != `  balence = "…"` {
		t.Errorf("the diagnostic is %+v", d)
	}

	if lb.reload("listen \"not an address\" {}\n"+text) == nil {
		t.Fatal("a listener without a port was accepted")
	}
	occupied := lbtest.NewBackend(t, func(*lbtest.Conn) {})
	if lb.reload("listen \""+occupied.Addr+"\" {}\n"+text) == nil {
		t.Fatal("an address in use was accepted")
	}
	if failed, _ := lb.lastReload(); failed.OK || len(failed.Diagnostics) != 0 || !strings.Contains(failed.Error, "already in use") {
		t.Errorf("failed after the check: %+v", failed)
	}

	if err := lb.reload(text + "pool \"spare\" {\n  backend \"127.0.0.1:1\" {}\n}\n"); err != nil {
		t.Fatal(err)
	}
	warned, since := lb.lastReload()
	if !warned.OK || len(warned.Diagnostics) != 1 || warned.Diagnostics[0].Severity != "warning" || !since.After(started) {
		t.Errorf("with a warning: %+v, in force since %v", warned, since)
	}
}
