//go:build e2e

package apps

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certify writes name.pem and name.key, and replaces existing ones by rename.
func certify(t *testing.T, dir, name string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	write(t, dir, name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestRenewal: a certificate is replaced on disk and by a reload, and no client notices.
func TestRenewal(t *testing.T) {
	dir, secure := t.TempDir(), freePorts(t, 1)[0]
	roots := x509.NewCertPool()
	roots.AddCert(certify(t, dir, "clock.test", 1))
	app := newSlowApp(t)
	lb := startLB(t, dir, "listen \""+secure+"\" {\n  tls {\n    certificate {\n      cert = \"clock.test.pem\"\n      key  = \"clock.test.key\"\n    }\n  }\n}\n"+
		proxyConfig(backend(app.address())))

	serial := func() int64 {
		c, err := tls.Dial("tcp", secure, &tls.Config{ServerName: "clock.test", InsecureSkipVerify: true})
		if err != nil {
			t.Errorf("cannot connect: %v", err)
			return 0
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("serial %d at the start", got)
	}
	// The client trusts both certificates from the start, as if they had one issuer.
	staged := t.TempDir()
	roots.AddCert(certify(t, staged, "clock.test", 2))
	load := startLoadWith("https://"+secure+"/", 4, 200, func() *http.Transport {
		return &http.Transport{TLSClientConfig: &tls.Config{ServerName: "clock.test", RootCAs: roots}}
	})
	load.until(t, 100)
	for _, ending := range []string{".pem", ".key"} {
		b, err := os.ReadFile(filepath.Join(staged, "clock.test"+ending))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "clock.test"+ending, string(b))
	}
	if status, out := command(t, "reload", "-admin", lb.admin); status != 0 {
		t.Fatalf("reload: exit %d\n%s", status, out)
	}
	if got := serial(); got != 2 {
		t.Errorf("serial %d after the reload", got)
	}
	// A certificate that cannot be read is refused, and the last one is kept.
	write(t, dir, "clock.test.pem", "no certificate")
	if status, out := command(t, "reload", "-admin", lb.admin); status != 1 || !strings.Contains(out, "lb.hcl:") || !strings.Contains(out, "clock.test.pem") {
		t.Errorf("reload with a broken certificate: exit %d\n%s", status, out)
	}
	if got := serial(); got != 2 {
		t.Errorf("serial %d after the refused reload", got)
	}
	load.until(t, load.served.Load()+100)
	if served, failed, first := load.stop(); failed > 0 {
		t.Errorf("%d of %d requests failed: %s", failed, served, first)
	}
	if openssl, err := exec.LookPath("openssl"); err == nil {
		for version, ok := range map[string]bool{"-tls1_1": false, "-tls1_2": true, "-tls1_3": true} {
			client := exec.Command(openssl, "s_client", "-connect", secure, "-servername", "clock.test", version, "-cipher", "DEFAULT:@SECLEVEL=0")
			out, err := client.CombinedOutput() // its input is empty, so it exits after the handshake
			if (err == nil) != ok {
				t.Errorf("openssl %s: %v\n%s", version, err, out)
			}
		}
	}
}

// TestReloadUnderLoad: ten reloads, of which every other one changes the routes and the pool.
func TestReloadUnderLoad(t *testing.T) {
	addresses := freePorts(t, 3)
	pool := "  health {\n    interval = \"200ms\"\n  }\n"
	for _, a := range addresses {
		apps["clock"](t, a)
	}
	small := proxyConfig(backend(addresses[0]) + backend(addresses[1]) + pool)
	big := strings.Replace(proxyConfig(backend(addresses[1])+backend(addresses[2])+pool), `  route "/" {`,
		"  route \"/images/\" {\n    static {\n      root = \"DIR\"\n    }\n  }\n  route \"/\" {", 1)
	lb := startLB(t, t.TempDir(), small)
	eventually(t, "a response", func() bool { status, _ := get(lb.url + "/api/time"); return status == 200 })
	load := startLoad(lb.url+"/api/time", 8, 300)
	for i := range 10 {
		load.until(t, load.served.Load()+60)
		lb.configure(t, []string{big, small}[i%2])
		if status, out := command(t, "reload", "-admin", lb.admin); status != 0 {
			t.Fatalf("reload %d: exit %d\n%s", i, status, out)
		}
		_, pools := get("http://" + lb.admin + "/api/v1/pools")
		if removed := addresses[[]int{0, 2}[i%2]]; strings.Contains(pools, removed) {
			t.Errorf("reload %d: %s is still in %s", i, removed, pools)
		}
	}
	load.until(t, load.served.Load()+60)
	if served, failed, first := load.stop(); failed > 0 {
		t.Errorf("%d of %d requests failed: %s", failed, served, first)
	}
	if _, page := get("http://" + lb.admin + "/metrics"); !strings.Contains(page, `lb_config_reloads_total{result="success"} 10`) {
		t.Error("the reloads were not counted")
	}
}
