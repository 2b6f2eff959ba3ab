package server_test

import (
	"crypto/tls"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lb/admin"
	"lb/certificate"
	"lb/internal/acmetest"
	"lb/internal/lbtest"
	"lb/server"
)

// acmeText is the configuration of a TLS and a plain listener, with certificates by ACME, and of a site.
func acmeText(acme *acmetest.Server, more string) string {
	return fmt.Sprintf("listen \"127.0.0.1:0\" {\n  tls {\n    acme {\n      email     = \"ops@lb.test\"\n      directory = %q\n      ca        = %q\n"+
		"      storage   = \"$DIR/acme\"\n%s\n    }\n  }\n}\n", acme.URL, acme.CAFile, more) +
		"listen \"0.0.0.0:0\" {\n  redirect_https = true\n}\n" + strings.Replace(respondSite, "{\n", "{\n  hosts = [\"site.test\"]\n", 1)
}

// startACME starts a balancer with short intervals and has the ACME servers validate names there.
func startACME(t *testing.T, dir, text string, servers ...*acmetest.Server) *running {
	t.Helper()
	lb := startWith(t, dir, text, server.Options{ACME: certificate.Intervals{Check: 100 * time.Millisecond, Retry: 50 * time.Millisecond}})
	for _, s := range servers {
		s.Validate(portOf(lb.Addrs()[1]), portOf(lb.Addrs()[0]))
	}
	return lb
}

func portOf(a net.Addr) int { return a.(*net.TCPAddr).Port }

// wantCertificate waits until a certificate has a state.
func (r *running) wantCertificate(name, state string) (c admin.Certificate) {
	r.t.Helper()
	lbtest.Eventually(r.t, name+" is "+state, func() bool {
		for _, c = range r.certificates() {
			if c.Names[0] == name && c.State == state {
				return true
			}
		}
		return false
	})
	return c
}

// issuer returns the issuer of the certificate that a client gets for a server name.
func (r *running) issuer(name string) string {
	r.t.Helper()
	c, err := tls.Dial("tcp", r.addr(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Issuer.CommonName
}

// TestACME: with each kind of challenge lb obtains its first certificates without delaying the start, uses a placeholder until
// then, keeps certificates over a restart, and reports their state.
func TestACME(t *testing.T) {
	t.Parallel()
	// The subtests are not parallel, and other tests have names of their own: the library has the challenges of a name in one place of the process.
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			acme, dir := acmetest.Start(t, acmetest.Options{}), t.TempDir()
			text := acmeText(acme, fmt.Sprintf("domains = [\"a.test\", \"b.test\", \"127.0.0.1\"]\nchallenges = [%q]", challenge))
			lb := startWith(t, dir, text, server.Options{})
			if got := lb.issuer("a.test"); got != "lb placeholder" {
				t.Errorf("before there is a certificate: one of %q", got)
			}
			lb.wantMetric(`lb_certificates{state="pending"}`, "3")
			if log := lb.read("lb.log"); strings.Count(log, "no certificate yet") != 1 {
				t.Errorf("log: %s", log)
			}
			acme.Validate(portOf(lb.Addrs()[1]), portOf(lb.Addrs()[0]))
			for _, name := range []string{"a.test", "b.test", "127.0.0.1"} {
				if c := lb.wantCertificate(name, "valid"); !strings.HasPrefix(c.Issuer, "Pebble") || !c.ACME || c.Error != "" {
					t.Errorf("%+v", c)
				}
			}
			for _, name := range []string{"a.test", "A.test", "b.test", "other.test", ""} {
				if got := lb.issuer(name); !strings.HasPrefix(got, "Pebble") {
					t.Errorf("%q: issued by %q\n%s", name, got, lb.read("lb.log"))
				}
			}
			lb.wantMetric(`lb_certificates{state="valid"}`, "3")
			lbtest.Eventually(t, "the expiry", func() bool { return lb.metric(`lb_tls_certificate_expiry_timestamp_seconds{subject="a.test"}`) != "" })
			lb.stop()

			asked := acme.Requests()
			again := startWith(t, dir, text, server.Options{})
			for _, name := range []string{"a.test", "b.test"} {
				if got := again.issuer(name); !strings.HasPrefix(got, "Pebble") {
					t.Errorf("after a restart %q: issued by %q", name, got)
				}
			}
			if n := acme.Requests() - asked; n > 6 { // it may ask when to renew
				t.Errorf("%d requests after a restart", n)
			}
			kept := again.certificates()
			if err := again.reload(strings.Replace(text, "respond {", "respond {\n status = 201", 1)); err != nil {
				t.Fatal(err)
			}
			if now := again.certificates(); len(now) != 3 || now[0].NotAfter != kept[0].NotAfter {
				t.Errorf("after a reload %+v, before %+v", now, kept)
			}
		})
	}
}

// TestACMEFailures: a name that fails does not delay the others. Servers that fail or limit the rate, and a storage that cannot be
// written to, are retried. The state reports the error.
func TestACMEFailures(t *testing.T) {
	t.Parallel()
	acme, dir := acmetest.Start(t, acmetest.Options{}), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(acmeText(acme, `domains = ["failing.test", "b.nowhere.test"]`), "$DIR/acme", "$DIR/file/acme", 1)
	lb := startACME(t, dir, text, acme)
	if c := lb.wantCertificate("failing.test", "failed"); !strings.Contains(c.Error, "storage") || !c.NotAfter.IsZero() {
		t.Errorf("%+v", c)
	}
	lb.wantMetric(`lb_certificates{state="failed"}`, "2")
	acme.Fail(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "out of order", http.StatusInternalServerError)
	})
	if err := os.Remove(filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	failure := func(name, text string) {
		t.Helper()
		lbtest.Eventually(t, text, func() bool { return strings.Contains(lb.wantCertificate(name, "failed").Error, text) })
	}
	failure("failing.test", "500")
	acme.Fail(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":429}`)
	})
	failure("failing.test", "too many")
	acme.Fail(nil)
	lb.wantCertificate("failing.test", "valid")
	failure("b.nowhere.test", "nowhere.test")
	if log := lb.read("lb.log"); !strings.Contains(log, "cannot obtain a certificate; will retry") {
		t.Errorf("log: %s", log)
	}
	if got := lb.issuer("b.nowhere.test"); got == "" {
		t.Error("nothing is presented for a name without a certificate")
	}
}

// TestACMERenewal: a certificate is renewed before it expires, and connections stay open. If the renewal fails, the old
// certificate stays in use.
func TestACMERenewal(t *testing.T) {
	t.Parallel()
	name := fmt.Sprintf("renewed%d.test", time.Now().UnixNano()) // after a failure certmagic waits before it renews the same name
	acme := acmetest.Start(t, acmetest.Options{Profiles: map[string]uint64{"long": 3600, "brief": 6}})
	lb := startACME(t, t.TempDir(), acmeText(acme, fmt.Sprintf("domains = [%q]\nprofile = \"brief\"", name)), acme)
	first := lb.wantCertificate(name, "valid")
	if lifetime := first.NotAfter.Sub(first.NotBefore); lifetime > time.Minute {
		t.Errorf("it lasts %v: of another profile", lifetime)
	}
	kept, serial := lb.dialTLS(name)
	lbtest.Eventually(t, "the renewal", func() bool { _, now := lb.dialTLS(name); return now != serial })
	lbtest.Eventually(t, "the new end", func() bool { return lb.certificates()[0].NotAfter.After(first.NotAfter) })
	if status, _ := ask(t, kept, name); !strings.Contains(status, "404") { // no site has it
		t.Error(status)
	}
	acme.Fail(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "out of order", http.StatusInternalServerError)
	})
	if c := lb.wantCertificate(name, "failed"); !strings.Contains(c.Error, "500") {
		t.Errorf("%+v", c)
	}
	if log := lb.read("lb.log"); !strings.Contains(log, "cannot renew a certificate; will retry") || !strings.Contains(log, "certificate obtained") {
		t.Errorf("log: %s", log)
	}
	if got := lb.issuer(name); !strings.HasPrefix(got, "Pebble") {
		t.Errorf("issued by %q", got)
	}
}

// TestACMERevocation: a certificate that was revoked long before its end is replaced, since the server says so (ARI, RFC 9773).
func TestACMERevocation(t *testing.T) {
	t.Parallel()
	name := fmt.Sprintf("revoked%d.test", time.Now().UnixNano()) // see TestACMERenewal
	acme := acmetest.Start(t, acmetest.Options{Profiles: map[string]uint64{"default": 90 * 24 * 3600}, Impatient: true})
	lb := startACME(t, t.TempDir(), acmeText(acme, fmt.Sprintf("domains = [%q]", name)), acme)
	lb.wantCertificate(name, "valid")
	serial := func() *big.Int {
		c, err := tls.Dial("tcp", lb.addr(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber
	}
	first := serial()
	acme.Revoke(t, first)
	lbtest.Eventually(t, "another certificate", func() bool { return serial().Cmp(first) != 0 })
	lb.wantCertificate(name, "valid")
}

// TestACMEFallback: when the first ACME server fails, the next one is used, with the external account that it requires.
func TestACMEFallback(t *testing.T) {
	t.Parallel()
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	first, second := acmetest.Start(t, acmetest.Options{}), acmetest.Start(t, acmetest.Options{KeyID: "kid-1", MACKey: key})
	first.Fail(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	})
	lb := startACME(t, t.TempDir(), acmeText(first, fmt.Sprintf("domains = [\"other.test\"]\nfallback {\n  directory = %q\n  ca = %q\n"+
		"  eab {\n    kid = \"kid-1\"\n    hmac = %q\n  }\n}", second.URL, second.CAFile, key)), first, second)
	lb.wantCertificate("other.test", "valid")
	if first.Requests() == 0 {
		t.Error("the first server was not asked")
	}
	if shown := lb.admin("GET", "/api/v1/config"); strings.Contains(shown, key) || !strings.Contains(shown, "kid-1") {
		t.Error("the configuration shows the key of the external account, or nothing of it")
	}
}

// TestACMEOnDemand: a name that is not configured gets a certificate during its first handshake if the ask URL agrees.
func TestACMEOnDemand(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	decider := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			asked.Add(1)
			if strings.HasPrefix(head, "GET /may?token=x&domain=yes.test HTTP/1.1\r\n") || strings.HasPrefix(head, "GET /may?domain=yes.test&token=x HTTP/1.1\r\n") {
				c.Send(lbtest.OK("yes"))
			} else {
				c.Send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
			}
		}
	})
	acme := acmetest.Start(t, acmetest.Options{})
	lb := startACME(t, t.TempDir(), acmeText(acme, "domains = [\"fixed.test\"]\non_demand {\n  ask = \"http://"+decider.Addr+"/may?token=x\"\n}"), acme)
	lb.wantCertificate("fixed.test", "valid")
	if got := lb.issuer("yes.test"); !strings.HasPrefix(got, "Pebble") {
		t.Errorf("a name on demand: issued by %q\n%s", got, lb.read("lb.log"))
	}
	lb.wantCertificate("yes.test", "valid")
	before := asked.Load()
	for range 3 {
		if c, err := tls.Dial("tcp", lb.addr(), &tls.Config{ServerName: "no.test", InsecureSkipVerify: true}); err == nil {
			if names := c.ConnectionState().PeerCertificates[0].DNSNames; strings.Join(names, " ") != "fixed.test" {
				t.Errorf("a name that is refused: certificate for %q", names)
			}
			c.Close()
		}
		lb.issuer("yes.test")
	}
	if n := asked.Load() - before; n != 1 {
		t.Errorf("%d questions for a name that is refused", n)
	}
}

// TestACMEByDNS: a wildcard certificate is obtained by a program that sets the TXT record and removes it afterwards.
func TestACMEByDNS(t *testing.T) {
	t.Parallel()
	acme, dir := acmetest.Start(t, acmetest.Options{}), t.TempDir()
	program := fmt.Sprintf("#!/bin/sh\necho \"$1 $2\" >> %s/calls\ncase $1 in\npresent) echo \"$3\" > %s/\"$2\" ;;\ncleanup) rm %s/\"$2\" ;;\nesac\n", dir, acme.TXT, acme.TXT)
	if err := os.WriteFile(filepath.Join(dir, "dns-01"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	lb := startACME(t, dir, acmeText(acme, "domains = [\"*.wild.test\"]\ndns {\n  exec = \"dns-01\"\n}"), acme)
	lb.wantCertificate("*.wild.test", "valid")
	if got := lb.issuer("any.wild.test"); !strings.HasPrefix(got, "Pebble") {
		t.Errorf("issued by %q", got)
	}
	lbtest.Eventually(t, "the end of the record", func() bool {
		return lb.read("calls") == "present _acme-challenge.wild.test.\ncleanup _acme-challenge.wild.test.\n"
	})
}
