//go:build e2e

package apps

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// h2spec is a conformance test suite for HTTP/2.
const h2spec = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"

// startHTTP2 runs lb with HTTP/2 on a listener with TLS and on one without, before an application that sends bodies back. It returns the address
// of the former.
func startHTTP2(t *testing.T) (lb *balancer, secure string) {
	t.Helper()
	addresses := freePorts(t, 2)
	app := &http.Server{Addr: addresses[0], Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.Copy(w, r.Body)
			return
		}
		size, _ := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
		_, _ = io.WriteString(w, strings.Repeat("x", size))
	})}
	stopped := make(chan struct{})
	go func() { _ = app.ListenAndServe(); close(stopped) }()
	t.Cleanup(func() { _ = app.Close(); <-stopped })
	dir := t.TempDir()
	out, err := exec.Command(need(t, "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90",
		"-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lb = startLB(t, dir, `
listen "LISTEN" {
  http2 = true
}
listen "`+addresses[1]+`" {
  tls {
    certificate {
      cert = "DIR/cert.pem"
      key  = "DIR/key.pem"
    }
  }
}
admin {
  listen = "ADMIN"
}
access_log {
  file = "DIR/access.log"
}
site "s" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "`+addresses[0]+`" {}
}
`)
	return lb, addresses[1]
}

// runTool runs a program to its end and returns what it prints.
func runTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v\n%s", filepath.Base(name), args, err, out)
	}
	return string(out)
}

// TestHTTP2Conformance runs h2spec. It needs the module proxy the first time.
func TestHTTP2Conformance(t *testing.T) {
	build := exec.Command("go", "install", h2spec)
	build.Env = append(build.Environ(), "GOBIN="+scratch)
	build.Dir = scratch // a module of its own
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("cannot build h2spec: %v\n%s", err, out)
	}
	_, secure := startHTTP2(t)
	out := runTool(t, filepath.Join(scratch, "h2spec"), "--strict", "-t", "-k", "-h", "127.0.0.1", "-p", port(secure), "-P", "/20")
	if !strings.Contains(out, " 0 skipped, 0 failed") {
		t.Errorf("%s", out)
	}
}

// TestHTTP2Clients: clients of others are served, with TLS and without.
func TestHTTP2Clients(t *testing.T) {
	lb, secure := startHTTP2(t)
	plain := strings.TrimPrefix(lb.url, "http://")
	t.Run("curl", func(t *testing.T) {
		curl := need(t, "curl")
		for _, args := range [][]string{{"--http2-prior-knowledge", lb.url + "/100000"}, {"-k", "--http2", "https://" + secure + "/100000"}} {
			out := runTool(t, curl, append([]string{"-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_download}"}, args...)...)
			if out != "2 200 100000" {
				t.Errorf("%v: %s", args, out)
			}
		}
		if out := runTool(t, curl, "-sS", "-k", "--http2", "--data-binary", strings.Repeat("y", 100_000), "https://"+secure+"/"); out != strings.Repeat("y", 100_000) {
			t.Errorf("%d bytes came back", len(out))
		}
	})
	t.Run("nghttp", func(t *testing.T) {
		nghttp := need(t, "nghttp")
		for _, base := range []string{lb.url, "https://" + secure} {
			out := runTool(t, nghttp, "-ns", base+"/0", base+"/1000", base+"/1000000")
			if strings.Count(out, " 200 ") != 3 {
				t.Errorf("%s", out)
			}
		}
	})
	t.Run("h2load", func(t *testing.T) {
		h2load := need(t, "h2load")
		for _, base := range []string{lb.url, "https://" + secure} {
			out := runTool(t, h2load, "-n", "20000", "-c", "50", "-m", "100", base+"/1000")
			if !strings.Contains(out, "20000 succeeded, 0 failed, 0 errored, 0 timeout") {
				t.Errorf("%s", out)
			}
		}
	})
	t.Run("python3-h2", func(t *testing.T) {
		needModules(t, "h2")
		host, port, _ := strings.Cut(plain, ":")
		if out := runTool(t, python, "testdata/http2/client.py", host, port); out != "ok\n" {
			t.Errorf("%s", out)
		}
	})
}
