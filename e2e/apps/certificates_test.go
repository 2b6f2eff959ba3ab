//go:build e2e

package apps

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCertificateKinds: OpenSSL gets the certificate of the kind that it can use, with and without a known server name,
// in TLS 1.2 and 1.3, whichever is configured first.
func TestCertificateKinds(t *testing.T) {
	openssl, dir := need(t, "openssl"), t.TempDir()
	pair := func(kind string, key ...string) string {
		args := append([]string{"req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=" + kind, "-addext", "subjectAltName=DNS:clock.test",
			"-keyout", filepath.Join(dir, kind+".key"), "-out", filepath.Join(dir, kind+".pem"), "-newkey"}, key...)
		if out, err := exec.Command(openssl, args...).CombinedOutput(); err != nil {
			t.Fatalf("openssl: %v %s", err, out)
		}
		return "    certificate {\n      cert = \"DIR/" + kind + ".pem\"\n      key  = \"DIR/" + kind + ".key\"\n    }\n"
	}
	rsa, ecdsa := pair("rsa", "rsa:2048"), pair("ecdsa", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
	for order, certificates := range map[string]string{"RSA first": rsa + ecdsa, "ECDSA first": ecdsa + rsa} {
		address := freePorts(t, 1)[0]
		startLB(t, dir, "admin {\n  listen = \"ADMIN\"\n}\nlisten \""+address+"\" {\n  tls {\n"+certificates+"  }\n}\nsite \"s\" {\n  route \"/\" {\n    respond {\n      body = \"x\"\n    }\n  }\n}\n")
		for _, name := range []string{"", "clock.test", "other.test"} {
			sni := []string{"-noservername"}
			if name != "" {
				sni = []string{"-servername", name}
			}
			for _, c := range []struct {
				kind string
				args []string
			}{
				{"rsa", []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"}},
				{"ecdsa", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"}},
				{"rsa", []string{"-tls1_3", "-sigalgs", "RSA-PSS+SHA256"}},
				{"ecdsa", []string{"-tls1_3", "-sigalgs", "ECDSA+SHA256"}},
			} {
				args := append(append([]string{"s_client", "-connect", address}, sni...), c.args...)
				out, err := exec.Command(openssl, args...).CombinedOutput() // its input is empty, so it exits after the handshake
				if err != nil || !strings.Contains(string(out), "subject=CN = "+c.kind+"\n") {
					t.Errorf("%s, %q, %s: %v\n%s", order, name, c.args, err, out)
				}
			}
		}
	}
}
