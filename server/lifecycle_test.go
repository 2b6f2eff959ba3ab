package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// writeCertificate writes a self-signed certificate for names to PATH.pem and PATH.key.
func writeCertificate(t testing.TB, path string, serial int64, names ...string) {
	t.Helper()
	writeCertificateUntil(t, path, serial, time.Now().Add(time.Hour), names...)
}

// writeCertificateUntil is writeCertificate with an end; the certificate became valid an hour ago.
func writeCertificateUntil(t testing.TB, path string, serial int64, until time.Time, names ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path+name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// dialTLS connects with a server name, and returns the serial number of the certificate.
func (r *running) dialTLS(name string) (*tls.Conn, int64) {
	r.t.Helper()
	c, err := tls.Dial("tcp", r.addr(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		r.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	r.t.Cleanup(func() { c.Close() })
	return c, c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func ask(t testing.TB, c *tls.Conn, host string) (status string, body string) {
	t.Helper()
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	response := string(buf[:n])
	_, body, _ = strings.Cut(response, "\r\n\r\n")
	status, _, _ = strings.Cut(strings.TrimPrefix(response, "HTTP/1.1 "), " ")
	return status, body
}

// TestTLS: names select certificates, a reload replaces them under open connections, the backend is informed of https, and a
// connection for an unknown name does not serve a site (421).
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, filepath.Join(dir, "a"), 1, "a.example")
	writeCertificate(t, filepath.Join(dir, "b"), 2, "b.example")
	b := record(t, lbtest.OK("x"))
	text := strings.NewReplacer("TLS", dir, "ADDR", b.Addr).Replace(`
listen "127.0.0.1:0" {
  tls {
    certificate {
      cert = "TLS/a.pem"
      key  = "TLS/a.key"
    }
    certificate {
      cert = "TLS/b.pem"
      key  = "TLS/b.key"
    }
  }
}
site "a" {
  hosts = ["a.example", "b.example"]
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "ADDR" {}
}`)
	lb := start(t, text)
	for name, want := range map[string]int64{"a.example": 1, "b.example": 2, "c.example": 1} {
		if _, serial := lb.dialTLS(name); serial != want {
			t.Errorf("%s: certificate %d, want %d", name, serial, want)
		}
	}
	open, _ := lb.dialTLS("a.example")
	if status, _ := ask(t, open, "b.example"); status != "200" {
		t.Errorf("another site's name on one connection: %s", status)
	}
	head, _ := b.last()
	if got := lbtest.Fields(head, "X-Forwarded-Proto"); len(got) != 1 || got[0] != "https" {
		t.Errorf("X-Forwarded-Proto %q", got)
	}
	stranger, _ := lb.dialTLS("c.example")
	if status, _ := ask(t, stranger, "a.example"); status != "421" {
		t.Errorf("a connection made for a name of no site: %s, want 421", status)
	}
	// A broken file changes nothing.
	if err := os.WriteFile(filepath.Join(dir, "a.key"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := lb.reload(text); err == nil {
		t.Error("a broken key was accepted")
	}
	if _, serial := lb.dialTLS("a.example"); serial != 1 {
		t.Errorf("after a failed reload: certificate %d", serial)
	}
	writeCertificate(t, filepath.Join(dir, "a"), 3, "a.example")
	if err := lb.reload(text); err != nil {
		t.Fatal(err)
	}
	if _, serial := lb.dialTLS("a.example"); serial != 3 {
		t.Errorf("after the reload: certificate %d, want 3", serial)
	}
	if status, _ := ask(t, open, "a.example"); status != "200" {
		t.Errorf("the open connection: %s", status)
	}
	lb.wantMetric(`lb_requests_total{site="a",code="200"}`, "2")
}

// TestHealthSurvivesReload: a backend that is down stays down throughout a reload.
func TestHealthSurvivesReload(t *testing.T) {
	dead := deadAddress(t)
	good := record(t, lbtest.OK("x"))
	health := func(interval string) string {
		return proxyTo("  health {\n    type = \"tcp\"\n    interval = \""+interval+"\"\n    fast_interval = \"10ms\"\n  }\n", dead, good.Addr)
	}
	lb := start(t, health("1h"))
	up := func(address string) string { return `lb_backend_up{pool="app",backend="` + address + `"}` }
	lb.wantMetric(up(dead), "0")
	lb.wantMetric(up(good.Addr), "1")
	for i := range 10 {
		if err := lb.reload(health([]string{"2h", "1h"}[i%2])); err != nil {
			t.Fatal(err)
		}
		if got := lb.metric(up(dead)); got != "0" {
			t.Fatalf("reload %d: up is %q", i, got)
		}
		for range 4 {
			if r := lb.get("/"); r.Status() != 200 {
				t.Fatalf("reload %d: %d", i, r.Status())
			}
		}
	}
	if got := lb.metric(`lb_retries_total{pool="app",reason="connect"}`); got != "0" && got != "" {
		t.Errorf("%s requests went to the backend that is down", got)
	}
}

// TestLogsAreReopened: after a log file was renamed, the next lines go to a new file with the old name.
func TestLogsAreReopened(t *testing.T) {
	lb := start(t, sitesOK)
	lb.get("/before")
	lbtest.Eventually(t, "the first line", func() bool { return strings.Contains(lb.read("access.log"), "/before") })
	for _, name := range []string{"access.log", "lb.log"} {
		if err := os.Rename(filepath.Join(lb.dir, name), filepath.Join(lb.dir, name+".1")); err != nil {
			t.Fatal(err)
		}
	}
	lb.Reopen()
	lb.get("/after")
	lbtest.Eventually(t, "the new file's line", func() bool { return strings.Contains(lb.read("access.log"), "/after") })
	if strings.Contains(lb.read("access.log"), "/before") || strings.Contains(lb.read("access.log.1"), "/after") {
		t.Error("a line is in the wrong file")
	}
	if !strings.Contains(lb.read("lb.log"), "log files reopened") {
		t.Errorf("lb.log: %q", lb.read("lb.log"))
	}
}

// TestAccessLogChanges: a reload may move the log, turn it off and on again. No request is logged twice or lost.
func TestAccessLogChanges(t *testing.T) {
	lb := start(t, sitesOK)
	lb.get("/one")
	if err := lb.reload("access_log {\n  file = \"$DIR/second.log\"\n}\n" + sitesOK); err != nil {
		t.Fatal(err)
	}
	lb.get("/two")
	if err := lb.reload("access_log {\n  format = \"off\"\n}\n" + sitesOK); err != nil {
		t.Fatal(err)
	}
	lb.get("/three")
	c := lb.dial()
	c.Send("nonsense\r\n\r\n") // an invalid request is not logged either, and has no effect
	if r := c.ReadResponse("GET"); r.Status() != 400 {
		t.Errorf("%q", r.Head)
	}
	if err := lb.reload(sitesOK); err != nil {
		t.Fatal(err)
	}
	lb.get("/four")
	lb.stop()
	first, second := lb.read("access.log"), lb.read("second.log")
	for path, want := range map[string][2]int{"/one": {1, 0}, "/two": {0, 1}, "/three": {0, 0}, "/four": {1, 0}} {
		if got := [2]int{strings.Count(first, path), strings.Count(second, path)}; got != want {
			t.Errorf("%s is in the logs %v times, want %v", path, got, want)
		}
	}
}

// TestDelayBeforeStop: during shutdown.delay the balancer serves requests, but reports that it is not ready.
func TestDelayBeforeStop(t *testing.T) {
	lb := start(t, "shutdown {\n  delay = \"1h\"\n}\n"+sitesOK)
	if got := lb.adminStatus("/readyz"); got != 200 {
		t.Errorf("ready: %d", got)
	}
	hurry, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- lb.Stop(hurry) }()
	lbtest.Eventually(t, "readyz says 503", func() bool { return lb.adminStatus("/readyz") == 503 })
	if got := lb.adminStatus("/healthz"); got != 200 {
		t.Errorf("healthz: %d", got)
	}
	if r := lb.get("/"); r.Status() != 200 {
		t.Errorf("during the delay: %d", r.Status())
	}
	cancel()
	<-stopped
}

// TestStopEndsUpgrades: an upgraded connection is closed after the grace time.
func TestStopEndsUpgrades(t *testing.T) {
	t.Parallel()
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		c.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		c.ReadHead()
	})
	lb := start(t, "shutdown {\n  grace = \"50ms\"\n}\n"+proxyTo("", b.Addr))
	c := lb.dial()
	c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	if r := c.ReadResponse("GET"); r.Status() != 101 {
		t.Fatalf("%q", r.Head)
	}
	if err := lb.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if rest, _ := c.Ended(); rest != "" {
		t.Errorf("read %q", rest)
	}
}

// TestCertificateTimesAreLogged: at the start and at each reload, an expired certificate causes one log line and a valid one none.
func TestCertificateTimesAreLogged(t *testing.T) {
	dir := t.TempDir()
	expired := func() {
		writeCertificateUntil(t, dir+"/c", 1, time.Now().Add(-time.Minute), "shop.example")
	}
	expired()
	text := "listen \"127.0.0.1:0\" {\n  tls {\n    certificate {\n      cert = \"" + dir + "/c.pem\"\n      key = \"" + dir + "/c.key\"\n    }\n  }\n}\n" + sitesOK
	lb := start(t, text)
	for i, prepare := range []func(){
		func() {}, expired, func() { writeCertificate(t, dir+"/c", 2, "shop.example") },
	} {
		prepare()
		if i > 0 {
			if err := lb.reload(text); err != nil {
				t.Fatal(err)
			}
		}
		if log, want := lb.read("lb.log"), min(i+1, 2); strings.Count(log, "the certificate of shop.example in") != want || strings.Count(log, "c.pem\" expired ") != want {
			t.Errorf("step %d: want %d warnings:\n%s", i, want, log)
		}
	}
}
