package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes NAME.pem and NAME.key to dir: a certificate for hosts that is valid from so long before now until so
// long after.
func writePair(t *testing.T, dir, name string, before, after time.Duration, hosts ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name + ".test"}, DNSNames: hosts,
		NotBefore: now.Add(-before), NotAfter: now.Add(after),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for ending, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name+ending), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// foundIn returns the diagnostics of a valid configuration in dir.
func foundIn(t *testing.T, dir, text string) string {
	t.Helper()
	c, found := Parse([]Source{{Name: filepath.Join(dir, "lb.hcl"), Text: []byte(text)}})
	if c == nil {
		t.Fatalf("errors:\n%s", found)
	}
	return strings.ReplaceAll(found.String(), dir+"/", "")
}

func tlsSite(pair, hosts string) string {
	return "listen \":8443\" {\n  tls {\n    certificate {\n      cert = \"" + pair + ".pem\"\n      key  = \"" + pair + ".key\"\n    }\n  }\n}\n" +
		"site \"s\" {\n" + hosts + "  route \"/\" {\n    respond {\n    }\n  }\n}\n"
}

// TestCertificateTimes: a certificate that is not valid, or will soon not be, is a warning with its file, line and subject.
func TestCertificateTimes(t *testing.T) {
	const day = 24 * time.Hour
	dir := t.TempDir()
	for _, c := range []struct {
		name          string
		before, after time.Duration
		want          string // "": nothing
	}{
		{"good", 59 * day, 31 * day, ""},
		{"third", 61 * day, 29*day + time.Hour, `expires in 29 days, on `},
		{"expired", 90 * day, -3*day - time.Hour, `lb.hcl:4:14: warning: the certificate of expired.test in "expired.pem" expired 3 days ago, on `},
		{"just", day, -3 * time.Minute, `expired 3 minutes ago, on `},
		{"soon", 80 * day, 10*day + time.Hour, `lb.hcl:4:14: warning: the certificate of soon.test in "soon.pem" expires in 10 days, on `},
		{"hours", 80 * day, 5*time.Hour + time.Minute, `expires in 5 hours, on `},
		{"short", day, 6 * day, ""},                  // of 7 days
		{"shorter", 5 * day, 2 * day, "expires in "}, // of 7 days, with less than a third remaining
		{"later", -3*time.Hour - time.Minute, 90 * day, `the certificate of later.test in "later.pem" is not valid for 3 hours yet, until `},
	} {
		writePair(t, dir, c.name, c.before, c.after)
		got := foundIn(t, dir, tlsSite(c.name, ""))
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got\n%s\nwant %q", c.name, got, c.want)
		}
		if c.want != "" && strings.Count(got, "warning: ") != 1 {
			t.Errorf("%s: got\n%s", c.name, got)
		}
		got = foundIn(t, dir, "listen \":8080\" {}\nsite \"s\" {\n  route \"/\" {\n    proxy {\n      pool = \"app\"\n    }\n  }\n}\npool \"app\" {\n"+
			"  backend \"127.0.0.1:5000\" {}\n  tls {\n    cert = \""+c.name+".pem\"\n    key  = \""+c.name+".key\"\n  }\n}\n")
		if want := strings.Replace(c.want, "lb.hcl:4:14", "lb.hcl:12:12", 1); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s, of a pool: got\n%s\nwant %q", c.name, got, want)
		}
	}
}

// TestChainTimes: the certificates of authorities in the file count too.
func TestChainTimes(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "leaf", time.Hour, time.Hour)
	writePair(t, dir, "authority", time.Hour, -time.Minute)
	var chain []byte
	for _, name := range []string{"leaf", "authority"} {
		b, err := os.ReadFile(filepath.Join(dir, name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, b...)
	}
	if err := os.WriteFile(filepath.Join(dir, "leaf.pem"), chain, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := foundIn(t, dir, tlsSite("leaf", "")); !strings.Contains(got, `the authority's certificate of authority.test in "leaf.pem" expired `) {
		t.Errorf("got\n%s", got)
	}
}

// TestCertificateNames: a certificate for none of the hosts is a warning if each site has hosts.
func TestCertificateNames(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		names []string
		hosts string
		warns bool
	}{
		{[]string{"a.example"}, `"a.example"`, false},
		{[]string{"A.example"}, `"b.example", "a.example"`, false},
		{[]string{"*.example"}, `"a.example"`, false},
		{[]string{"a.example"}, `"*.example"`, false},
		{[]string{"*.example"}, `"*.example"`, false},
		{nil, `"pair.test"`, false}, // by its common name
		{[]string{"b.example"}, "", false},
		{[]string{"b.example"}, `"a.example"`, true},
		{[]string{"*.example"}, `"a.b.example"`, true},
		{[]string{"pair.example"}, `"pair.test"`, true},
	} {
		hosts := ""
		if c.hosts != "" {
			hosts = "  hosts = [" + c.hosts + "]\n"
		}
		writePair(t, dir, "pair", time.Hour, time.Hour, c.names...)
		got := foundIn(t, dir, tlsSite("pair", hosts))
		if want := `the certificate of pair.test in "pair.pem" matches none of the sites' hosts`; strings.Contains(got, want) != c.warns || !c.warns && got != "" {
			t.Errorf("%q for hosts %s: got\n%s", c.names, c.hosts, got)
		}
	}
}
