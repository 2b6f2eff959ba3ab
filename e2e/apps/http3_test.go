//go:build e2e

package apps

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// TestHTTP3HandOver: a download by HTTP/3 goes on while the configuration is reloaded and new binaries take over, also if the last of them has
// no HTTP/3, and new connections come to the newest one.
func TestHTTP3HandOver(t *testing.T) {
	dir := t.TempDir()
	selfSigned(t, dir)
	const size = 8 << 20
	write(t, dir, "large", strings.Repeat("0123456789abcdef", size/16))
	text := "listen \"LISTEN\" {\n  http3 = true\n  tls {\n    certificate {\n      cert = \"DIR/a.pem\"\n      key  = \"DIR/a.key\"\n    }\n  }\n}\nadmin {\n  listen = \"ADMIN\"\n}\n" +
		"access_log {\n  format = \"off\"\n}\nlog {\n  file = \"DIR/lb.log\"\n}\nsite \"s\" {\n  route \"/\" {\n    static {\n      root = \"DIR\"\n    }\n  }\n}\n"
	live := filepath.Join(dir, "lb")
	install(t, binary, live)
	write(t, dir, "start", "#!/bin/sh\nexec "+live+" \"$@\" >/dev/null 2>&1\n")
	start := filepath.Join(dir, "start")
	if err := os.Chmod(start, 0o755); err != nil {
		t.Fatal(err)
	}
	lb := startProgram(t, start, dir, text)
	pid := lb.pid()
	t.Cleanup(func() {
		if last := lb.pid(); last != 0 && last != lb.Process.Pid {
			_ = syscall.Kill(last, syscall.SIGKILL)
		}
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(dir, "lb.log"))
			t.Logf("%s", b)
		}
	})
	address := strings.TrimPrefix(lb.url, "http://")
	first := getHTTP3(t, address, "/large")
	defer first.Body.Close()
	half := make([]byte, size/4)
	if _, err := io.ReadFull(first.Body, half); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a reload", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "lb.log"))
		return strings.Contains(string(b), "configuration reloaded")
	})
	replace := func() {
		t.Helper()
		before := pid
		if err := syscall.Kill(before, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a new process serves", func() bool {
			if now := lb.pid(); now != 0 {
				pid = now
			}
			return pid != before
		})
		if !alive(before) {
			t.Fatal("the process before has ended, and with it the download")
		}
	}
	var others []*http.Response
	for range 2 {
		replace()
		response := getHTTP3(t, address, "/large")
		defer response.Body.Close()
		others = append(others, response)
		if _, err := io.ReadFull(first.Body, half); err != nil {
			t.Fatalf("after a new process has taken over: %v", err)
		}
	}
	served := pid
	lb.configure(t, strings.Replace(text, "http3 = true", "http3 = false", 1))
	replace()
	for i, response := range append(others, first) {
		if n, err := io.Copy(io.Discard, response.Body); err != nil || i == len(others) && n != size/4 || i < len(others) && n != size {
			t.Errorf("download %d: %d bytes, %v", i, n, err)
		}
	}
	eventually(t, "the processes before have ended", func() bool { return !alive(lb.Process.Pid) && !alive(served) })
	lb.configure(t, text)
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if response := getHTTP3(t, address, "/large"); response.StatusCode != 200 {
		t.Error(response.Status)
	} else {
		response.Body.Close()
	}
}

// selfSigned writes a certificate for a.test and its key as a.pem and a.key.
func selfSigned(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.Command(need(t, "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
		"-subj", "/CN=a.test", "-addext", "subjectAltName=DNS:a.test", "-keyout", filepath.Join(dir, "a.key"), "-out", filepath.Join(dir, "a.pem")).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
}

// TestHTTP3Chromium: a browser that is told to use QUIC gets a page by HTTP/3.
func TestHTTP3Chromium(t *testing.T) {
	dir := t.TempDir()
	selfSigned(t, dir)
	lb := startLB(t, dir, "listen \"LISTEN\" {\n  http3 = true\n  tls {\n    certificate {\n      cert = \"DIR/a.pem\"\n      key  = \"DIR/a.key\"\n    }\n  }\n}\nadmin {\n  listen = \"ADMIN\"\n}\n"+
		"site \"s\" {\n  route \"/\" {\n    respond {\n      status       = 200\n      content_type = \"text/html\"\n      body         = \"<p id=a>by QUIC</p>\"\n    }\n  }\n}\n")
	b, err := os.ReadFile(filepath.Join(dir, "a.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	origin := "a.test:" + port(lb.url)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(need(t, "chromium")), chromedp.NoSandbox,
		chromedp.Flag("origin-to-force-quic-on", origin), chromedp.Flag("host-resolver-rules", "MAP a.test 127.0.0.1"),
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(key[:])))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("https://"+origin+"/"), chromedp.WaitVisible(chromedp.CSS("#a"))); err != nil {
		t.Fatal(err)
	}
	if status, body := get("http://" + lb.admin + "/metrics"); status != 200 || strings.Contains(body, "lb_http_requests_total{protocol=\"h3\"} 0\n") {
		t.Errorf("no request has come by HTTP/3: %d", status)
	}
}

// getHTTP3 sends a request on a connection of its own, and returns when the head of the response has come.
func getHTTP3(t *testing.T, address, path string) *http.Response {
	t.Helper()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	transport := &quic.Transport{Conn: udp}
	t.Cleanup(func() {
		transport.Close()
		udp.Close()
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := transport.Dial(ctx, at, &tls.Config{ServerName: "a.test", InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest("GET", "https://a.test"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http3.Transport{DisableCompression: true}).NewClientConn(conn).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}
