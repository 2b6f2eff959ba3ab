package cli

import (
	"strings"
	"testing"
	"time"

	"lb/admin"
)

// TestStatusWarnsOfCertificates: valid certificates are not mentioned.
func TestStatusWarnsOfCertificates(t *testing.T) {
	pools, _ := twoPools()
	end := time.Date(2026, 11, 29, 12, 30, 0, 0, time.UTC)
	client := &Client{Addr: serve(t, admin.Options{Pools: pools, Status: func() admin.Status {
		return admin.Status{Certificates: []admin.Certificate{
			{Subject: "good.example", State: "valid", NotAfter: end},
			{Subject: "new.example", State: "not_yet_valid", NotAfter: end},
			{Subject: "acme.example", State: "failed", Error: "no such host"},
			{Subject: "b.example\x1b", State: "broken", NotAfter: end, Error: "no PEM"},
		}}
	}})}
	var out, warnings strings.Builder
	if err := client.WriteStatus(t.Context(), &out, &warnings); err != nil {
		t.Fatal(err)
	}
	want := "lb: warning: the certificate of new.example is not yet valid; it ends on 2026-11-29 12:30 UTC\n" +
		"lb: warning: the certificate of acme.example was not obtained or renewed: no such host\n" +
		"lb: warning: the certificate of b.example"
	if !strings.HasPrefix(warnings.String(), want) || strings.Contains(warnings.String(), "\x1b") || !strings.HasSuffix(warnings.String(), "UTC: no PEM\n") {
		t.Errorf("%q", &warnings)
	}
	if !strings.Contains(out.String(), "127.0.0.1:5001") {
		t.Errorf("%q", &out)
	}
}
