//go:build e2e

package chaos

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lb/internal/poison"
)

var torture = flag.Duration("torture.time", 20*time.Second, "how long the torture test lasts; the environment's LB_TORTURE comes first")

// poisoned is the byte that freed buffers are overwritten with.
const poisoned = poison.Byte

// TestTorture: with backends that break the rules of HTTP and clients that disconnect in the middle, no byte of one exchange
// reaches another, nothing is leaked, and the race detector finds nothing. lb is built with the race detector, and
// with freed buffers overwritten.
func TestTorture(t *testing.T) {
	if text := os.Getenv("LB_TORTURE"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("LB_TORTURE: %v", err)
		}
		*torture = d
	}
	binary := filepath.Join(t.TempDir(), "lb")
	build := exec.Command("go", "build", "-race", "-tags", "poison", "-o", binary, "lb/cmd/lb")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	var backends []*hostile
	var addresses []string
	for range 3 {
		address := freePort(t)
		h, err := startHostile(address)
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		backends, addresses = append(backends, h), append(addresses, address)
	}
	secure := freePort(t)
	lb := startBalancer(t, binary, func(b *balancer) string { return tortureText(t, b, secure, addresses) })

	var tally tally
	var tokens atomic.Uint64
	before := attack(lb, secure, &tokens, &tally, time.Second, t, holds{})
	attack(lb, secure, &tokens, &tally, *torture, t, before)

	t.Logf("%d requests: %d responses from backends, %d from lb, %d disconnected by the client, %d cut",
		tokens.Load(), tally.responses.Load(), tally.own.Load(), tally.left.Load(), tally.cut.Load())
	for _, wrong := range tally.wrong {
		t.Error(wrong)
	}
	for _, h := range backends {
		h.mu.Lock()
		for _, mixed := range h.mixed {
			t.Error(mixed)
		}
		h.mu.Unlock()
	}
	if tally.responses.Load() < 100 || tally.own.Load() == 0 {
		t.Error("too few requests were sent")
	}
	if out := lb.out.String(); strings.Contains(out, "DATA RACE") || strings.Contains(out, "panic") {
		t.Errorf("lb said:\n%s", out)
	}
}

// attack runs the intruders for a while and waits until lb holds no more than before.
func attack(lb *balancer, secure string, tokens *atomic.Uint64, tally *tally, lasts time.Duration, t *testing.T, before holds) holds {
	end := make(chan struct{})
	ending := time.AfterFunc(lasts, func() { close(end) })
	defer ending.Stop()
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			c := &intruder{address: lb.listen, random: rand.New(rand.NewPCG(tokens.Load(), uint64(i))), tokens: tokens, tally: tally}
			if i%4 == 3 {
				c.address, c.secure = secure, true
			}
			defer c.close()
			for {
				select {
				case <-end:
					return
				default:
					c.round()
				}
			}
		})
	}
	group.Wait()
	return settled(t, lb, before)
}

// tortureText is the configuration: all ways in which lb handles responses.
func tortureText(t *testing.T, b *balancer, secure string, backends []string) string {
	cert, key := selfSigned(t, b.dir)
	if err := os.WriteFile(filepath.Join(b.dir, "index.html"), []byte("<p>a file</p>"), 0o644); err != nil {
		t.Fatal(err)
	}
	var members strings.Builder
	for _, address := range backends {
		fmt.Fprintf(&members, "  backend %q {}\n", address)
	}
	pool := func(name, more string) string {
		return fmt.Sprintf(`pool %q {
%s  eject {
    failures = 100000
  }
  timeouts {
    response = "200ms"
  }
  keepalive {
    idle_timeout = "1s"
  }
%s}
`, name, members.String(), more)
	}
	return fmt.Sprintf(`listen %q {}
listen %q {
  tls {
    certificate {
      cert = %q
      key  = %q
    }
  }
}
admin {
  listen = %q
}
access_log {
  file = %q
}
site "torture" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/buffered/" {
    proxy {
      pool            = "app"
      buffer_request  = "128KiB"
      buffer_response = "128KiB"
      buffer_dir      = %q
    }
  }
  route "/sticky/" {
    proxy {
      pool = "sticky"
    }
  }
  route "/own/" {
    respond {
      status = 200
      body   = "own"
    }
  }
  route "/files/" {
    static {
      root         = %q
      strip_prefix = true
    }
  }
  route "/nothing/" {
    respond {
      status = 404
    }
  }
}
`, b.listen, secure, cert, key, b.admin, b.dir+"/access.log", b.dir, b.dir) +
		pool("app", "") + pool("sticky", "  sticky {\n    secret = \"a secret of the torture test\"\n  }\n")
}

// selfSigned writes a certificate and its key.
func selfSigned(t *testing.T, dir string) (cert, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(90 * 24 * time.Hour), DNSNames: []string{"torture"}}
	public, err := x509.CreateCertificate(cryptorand.Reader, &template, &template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: public}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
