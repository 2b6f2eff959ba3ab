package server_test

import (
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestLongNames: a host name of more than 255 bytes is rejected in Host and in a TLS handshake, which could carry almost 64 KiB.
func TestLongNames(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, filepath.Join(dir, "a"), 1, "a.example")
	b := record(t, lbtest.OK("x"))
	lb := start(t, strings.ReplaceAll(`
listen "127.0.0.1:0" {
  tls {
    certificate {
      cert = "DIR/a.pem"
      key  = "DIR/a.key"
    }
  }
}
`, "DIR/", dir+"/")+proxyTo("", b.Addr))
	for _, tc := range []struct {
		size    int
		refused bool
	}{{255, false}, {256, true}, {60_000, true}} {
		name := strings.Repeat("a.", tc.size/2) + "aa"
		name = name[:tc.size-1] + "a"
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			c, err := tls.Dial("tcp", lb.addr(), &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			switch {
			case tc.refused && (err == nil || !strings.Contains(err.Error(), "unrecognized name")):
				t.Errorf("a server name of %d bytes: %v", tc.size, err)
			case !tc.refused && err != nil:
				t.Errorf("a server name of %d bytes: %v", tc.size, err)
			}
			if err == nil {
				c.Close()
			}
		}
		c, _ := lb.dialTLS("a.example")
		if status, _ := ask(t, c, name[:min(tc.size, 4000)]); (status == "400") != tc.refused {
			t.Errorf("a Host of %d bytes: %s", tc.size, status)
		}
	}
}

// TestServerNameAfterReload: whether a site accepts the server name is decided once for a connection and a configuration, and
// again after a reload.
func TestServerNameAfterReload(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, filepath.Join(dir, "a"), 1, "a.example")
	b := record(t, lbtest.OK("x"))
	text := func(hosts string) string {
		return strings.NewReplacer("TLS", dir, "ADDR", b.Addr, "HOSTS", hosts).Replace(`
listen "127.0.0.1:0" {
  tls {
    certificate {
      cert = "TLS/a.pem"
      key  = "TLS/a.key"
    }
  }
}
site "a" {
  hosts = [HOSTS]
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "ADDR" {}
}`)
	}
	lb := start(t, text(`"a.example"`))
	c, _ := lb.dialTLS("X.B.example") // names are case-insensitive
	for _, tc := range []struct{ hosts, status string }{
		{`"a.example"`, "421"}, {`"a.example", "*.b.example"`, "200"}, {`"a.example"`, "421"},
	} {
		if err := lb.reload(text(tc.hosts)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if status, _ := ask(t, c, "a.example"); status != tc.status {
				t.Errorf("with the hosts %s: %s, want %s", tc.hosts, status, tc.status)
			}
			if tc.status == "421" {
				break
			}
		}
	}
}
