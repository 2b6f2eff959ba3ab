//go:build e2e

package apps

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// startTLS starts lb with what a user would write for https. The header fields are what testssl.sh wants of a site.
func startTLS(t *testing.T, dir string) *balancer {
	t.Helper()
	selfSigned(t, dir)
	return startLB(t, dir, `
listen "LISTEN" {
  tls {
    certificate {
      cert = "DIR/a.pem"
      key  = "DIR/a.key"
    }
  }
}
admin {
  listen = "ADMIN"
}
site "s" {
  route "/" {
    response_headers {
      set = {
        "Strict-Transport-Security" = "max-age=31536000"
        "X-Content-Type-Options"    = "nosniff"
      }
    }
    respond {
      status = 200
      body   = "pong"
    }
  }
}
`)
}

// TestSslscan: sslscan finds nothing but TLS 1.2 and 1.3, and suites with forward secrecy and authenticated encryption.
func TestSslscan(t *testing.T) {
	lb := startTLS(t, t.TempDir())
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, need(t, "sslscan"), "--no-colour", "--sni-name=a.test", strings.TrimPrefix(lb.url, "http://")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text := string(out)
	for _, want := range []string{
		`SSLv2 +disabled`, `SSLv3 +disabled`, `TLSv1\.0 +disabled`, `TLSv1\.1 +disabled`, `TLSv1\.2 +enabled`, `TLSv1\.3 +enabled`,
		`Server supports TLS Fallback SCSV`, `Session renegotiation not supported`, `TLSv1\.2 not vulnerable to heartbleed`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(text) {
			t.Errorf("no line %q", want)
		}
	}
	suites := regexp.MustCompile(`(?m)^(?:Preferred|Accepted) .*$`).FindAllString(text, -1)
	safe := regexp.MustCompile(`TLSv1\.3 .*(GCM|CHACHA20)|TLSv1\.2 .* ECDHE-[A-Z]+-.*(GCM|CHACHA20)`)
	for _, suite := range suites {
		if !safe.MatchString(suite) {
			t.Errorf("a suite: %s", suite)
		}
	}
	if len(suites) < 4 || t.Failed() {
		t.Errorf("%s", text)
	}
}

// TestTestssl: testssl.sh finds nothing above "low", the authority of the test's certificate aside. It takes minutes.
func TestTestssl(t *testing.T) {
	if os.Getenv("LB_LONG") == "" {
		t.Skip("LB_LONG is not set")
	}
	dir := t.TempDir()
	lb := startTLS(t, dir)
	report := filepath.Join(dir, "report.json")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	// The exit status counts findings, so that the report tells more.
	out, _ := exec.CommandContext(ctx, need(t, "testssl"), "--warnings", "off", "--quiet", "--color", "0", "--ip", "127.0.0.1",
		"--severity", "MEDIUM", "--jsonfile", report, "a.test:"+port(lb.url)).CombinedOutput()
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var findings []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal(b, &findings); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if !strings.Contains(string(out), "Testing vulnerabilities") {
		t.Errorf("it ended early:\n%s", out)
	}
	for _, f := range findings {
		switch {
		case strings.HasPrefix(f.ID, "cert_"), strings.HasPrefix(f.ID, "overall_grade"), strings.HasPrefix(f.ID, "grade_cap"):
			// of the certificate, which is the test's
		case f.Severity == "MEDIUM", f.Severity == "HIGH", f.Severity == "CRITICAL":
			t.Errorf("%s: %s: %s", f.Severity, f.ID, f.Finding)
		}
	}
}
