package server_test

import (
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// FuzzCostOfServerNames: no server name makes a TLS handshake and its requests cost much more CPU time than a name of the same
// size without dots.
func FuzzCostOfServerNames(f *testing.F) {
	dir := f.TempDir()
	writeCertificate(f, filepath.Join(dir, "a"), 1, "a.example", "*.b.example")
	response := []byte(lbtest.OK("abc"))
	lb := startCostly(f, func(c *lbtest.Conn) {
		for c.ReadHead() != "" {
			_, _ = c.Write(response)
		}
	}, `
listen "unix:$DIR/tls.sock" {
  tls {
    certificate {
      cert = "`+dir+`/a.pem"
      key  = "`+dir+`/a.key"
    }
  }
}
`)
	requests := strings.Repeat("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n", 20)
	ask := func(name string) func() {
		return func() {
			nc, err := net.Dial("unix", filepath.Join(lb.dir, "tls.sock"))
			if err != nil {
				f.Fatal(err)
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
			c := tls.Client(nc, &tls.Config{ServerName: name, InsecureSkipVerify: true})
			if _, err := io.WriteString(c, requests); err != nil {
				return // the name was refused
			}
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		}
	}
	for _, seed := range []costlySeed{
		{"a.example", 10}, {"«a»", 255}, {"«a.»example", 250}, {"x«.a».example", 250}, {"«a.»example", 60_000}, {"«.»", 60_000},
		{"«xn--a.»b.example", 255}, {"«\xff»", 255}, {"[«:1»]", 255},
	} {
		f.Add([]byte(seed.pattern), seed.size)
	}
	f.Fuzz(func(t *testing.T, pattern []byte, size uint16) {
		if name := lbtest.Stretch(pattern, int(size)); len(name) < 64<<10 {
			lbtest.CheckCost(t, lbtest.OfProcess, ask(string(name)), ask(strings.Repeat("a", len(name))))
		}
	})
}
