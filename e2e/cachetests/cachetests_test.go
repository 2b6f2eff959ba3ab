//go:build e2e

package cachetests

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"lb/internal/lbtest"
)

const (
	// patience limits every wait; a test that reaches it fails.
	patience = 30 * time.Second
	// atOnce is how many tests run at the same time: most of them wait.
	atOnce = 128
	// attempts is how often a test is run that does not have the expected result, since some lifetimes are of two seconds.
	attempts = 3
)

const configuration = `
listen "unix:%[1]s/lb.sock" {}
admin {
  listen = "off"
}
access_log {
  format = "off"
}
site "s" {
  route "/" {
    cache {}
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "%[2]s" {}
}
`

// TestSuite runs all tests and compares the list of those that fail with the exceptions.
func TestSuite(t *testing.T) {
	tests, reasons := load(t), exceptions(t)
	for id := range reasons {
		if tests[id] == nil || tests[id].Kind == "check" {
			t.Errorf("testdata/exceptions.txt: there is no test %s, or it only asks", id)
		}
	}
	o := newOrigin(t)
	client := startLB(t, o.Addr().String())
	var mu sync.Mutex
	passed, total := map[string]int{}, map[string]int{}
	var all sync.WaitGroup
	slots := make(chan bool, atOnce)
	for id, c := range tests {
		all.Go(func() {
			slots <- true
			defer func() { <-slots }()
			_, excepted := reasons[id]
			var err error
			for range attempts {
				if err = o.run(t, client, id); c.Kind == "check" || (err != nil) == excepted {
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total[c.Kind]++
			if err == nil {
				passed[c.Kind]++
			}
			switch {
			case c.Kind == "check":
			case err != nil && !excepted:
				t.Errorf("%s (%s): %v", id, c.Name, err)
			case err == nil && excepted:
				t.Errorf("%s passes: remove it from testdata/exceptions.txt", id)
			}
		})
	}
	all.Wait()
	t.Logf("required: %d of %d, optimal: %d of %d", passed[""]+passed["required"], total[""]+total["required"], passed["optimal"], total["optimal"])
}

// run runs a test once.
func (o *origin) run(t *testing.T, client *http.Client, id string) error {
	r := &run{cacheTest: load(t)[id], name: "0123456789" + rand.Text()} // of 36 bytes, as the lengths in the tests
	o.mu.Lock()
	o.runs[r.name] = r
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return r.play(ctx, client)
}

// startLB starts lb, and returns a client for it.
func startLB(t *testing.T, backend string) *http.Client {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "./cmd/lb")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build lb: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "lb.hcl")
	if err := os.WriteFile(file, fmt.Appendf(nil, configuration, dir, backend), 0o600); err != nil {
		t.Fatal(err)
	}
	var out lbtest.Output
	lb := exec.Command(filepath.Join(dir, "lb"), "-config", file)
	lb.Stdout, lb.Stderr, lb.SysProcAttr = &out, &out, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := lb.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = lb.Process.Kill()
		_ = lb.Wait()
		if t.Failed() {
			t.Logf("lb said:\n%.4000s", out.String())
		}
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "lb.sock"))
	}
	lbtest.Eventually(t, "lb listens", func() bool {
		c, err := dial(t.Context(), "", "")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return &http.Client{
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
