package server_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"lb/internal/acmetest"
	"lb/internal/lbtest"
)

// TestHTTPSSample: with configs/https.hcl lb obtains a certificate, redirects to https, and has browsers stay there; lb explain says so.
func TestHTTPSSample(t *testing.T) {
	t.Parallel()
	sample, err := os.ReadFile("../configs/https.hcl")
	if err != nil {
		t.Fatal(err)
	}
	acme := acmetest.Start(t, acmetest.Options{})
	app := record(t, lbtest.OK("x"))
	text := string(sample)
	for old, replacement := range map[string]string{
		`listen ":443"`: `listen "127.0.0.1:0"`, `listen ":80"`: `listen "0.0.0.0:0"`, "clock.example.com": "clock.test",
		`"/var/lib/lb/acme"`: fmt.Sprintf("\"$DIR/acme\"\n      directory = %q\n      ca = %q", acme.URL, acme.CAFile), "127.0.0.1:5000": app.Addr,
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("the sample has no %s", old)
		}
		text = strings.ReplaceAll(text, old, replacement)
	}
	lb := startACME(t, t.TempDir(), text, acme)
	lb.wantCertificate("clock.test", "valid")
	conn, err := tls.Dial("tcp", lb.addr(), &tls.Config{ServerName: "clock.test", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if names := conn.ConnectionState().PeerCertificates[0].DNSNames; len(names) != 1 || names[0] != "clock.test" {
		t.Errorf("the certificate is for %q", names)
	}
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: clock.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Get("Strict-Transport-Security"); r.StatusCode != 200 || got != "max-age=31536000" {
		t.Errorf("status %d, Strict-Transport-Security %q", r.StatusCode, got)
	}
	_, plain, _ := net.SplitHostPort(lb.Addrs()[1].String())
	redirect := lbtest.Get(t, "127.0.0.1:"+plain, "/a?b", "Host: clock.test")
	if redirect.Status() != 308 || !strings.HasPrefix(redirect.Field("Location"), "https://clock.test") || redirect.Field("Strict-Transport-Security") != "" {
		t.Errorf("%q", redirect.Head)
	}
}
