package server_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"lb/admin"
	"lb/internal/lbtest"
)

// tlsListener is the configuration of a listener with the certificate in $DIR/c.pem and $DIR/c.key.
const tlsListener = "listen \"127.0.0.1:0\" {\n  tls {\n    certificate {\n      cert = \"$DIR/c.pem\"\n      key  = \"$DIR/c.key\"\n    }\n  }\n}\n"

const respondSite = "site \"s\" {\n  route \"/\" {\n    respond {\n      body = \"x\"\n    }\n  }\n}\n"

// certificates returns the certificates in the status.
func (r *running) certificates() []admin.Certificate {
	r.t.Helper()
	var status admin.Status
	if err := json.Unmarshal([]byte(r.admin("GET", "/api/v1/status")), &status); err != nil {
		r.t.Fatal(err)
	}
	return status.Certificates
}

// startTLS is start for a configuration that needs the certificate files of path in its directory.
func startTLS(t testing.TB, path, text string) *running {
	t.Helper()
	return start(t, strings.NewReplacer("$DIR/c.pem", path+".pem", "$DIR/c.key", path+".key").Replace(text))
}

// TestReplacedCertificate: replaced files are used without a reload, and connections stay open. If the files are invalid, the old
// certificate stays in use. Status, metrics and log report the state.
func TestReplacedCertificate(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/c"
	writeCertificate(t, path, 1, "clock.test")
	lb := startTLS(t, path, tlsListener+respondSite)
	kept, serial := lb.dialTLS("clock.test")
	if serial != 1 {
		t.Errorf("serial %d at the start", serial)
	}
	present := func(want int64) {
		t.Helper()
		lbtest.Eventually(t, "the certificate", func() bool { _, serial := lb.dialTLS("clock.test"); return serial == want })
	}
	lb.wantMetric(`lb_certificates{state="valid"}`, "1")
	until := time.Now().Add(10 * time.Hour).Truncate(time.Second)
	writeCertificateUntil(t, path, 2, until, "clock.test")
	present(2)
	lb.wantMetric(`lb_tls_certificate_expiry_timestamp_seconds{subject="clock.test"}`, fmt.Sprint(until.Unix()))
	if all := lb.certificates(); len(all) != 1 || all[0].State != "valid" || all[0].File != path+".pem" || !all[0].NotAfter.Equal(until) || all[0].Names[0] != "clock.test" {
		t.Errorf("%+v", all)
	}

	if err := os.WriteFile(path+".pem", []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	lb.wantMetric(`lb_certificates{state="broken"}`, "1")
	if all := lb.certificates(); len(all) != 1 || all[0].State != "broken" || !strings.Contains(all[0].Error, "PEM") {
		t.Errorf("%+v", all)
	}
	if log := lb.read("lb.log"); strings.Count(log, "cannot use the certificate files") != 1 || !strings.Contains(log, path+".pem") {
		t.Errorf("log: %s", log)
	}
	present(2)
	if err := lb.reload(strings.NewReplacer("$DIR/c.pem", path+".pem", "$DIR/c.key", path+".key").Replace(tlsListener + respondSite)); err == nil {
		t.Error("a reload accepts broken files")
	}
	writeCertificateUntil(t, path, 3, time.Now().Add(20*time.Minute), "clock.test")
	present(3)
	lb.wantMetric(`lb_certificates{state="expiring"}`, "1")
	lb.wantMetric(`lb_certificates{state="broken"}`, "0")
	if log := lb.read("lb.log"); !strings.Contains(log, "a certificate expires soon") {
		t.Errorf("log: %s", log)
	}
	if status, body := ask(t, kept, "clock.test"); !strings.Contains(status, "200") || body != "x" {
		t.Errorf("%s %q", status, body)
	}
	if err := lb.reload("listen \"127.0.0.1:0\" {}\n" + respondSite); err != nil {
		t.Fatal(err)
	}
	if page := lb.admin("GET", "/metrics"); strings.Contains(page, `subject="clock.test"`) || len(lb.certificates()) != 0 {
		t.Error("a certificate that is not presented any more is shown")
	}
}
