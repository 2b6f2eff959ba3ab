//go:build e2e

package docker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience limits every wait; a test that reaches it fails.
const patience = time.Minute

// balancer is a running lb.
type balancer struct {
	t   *testing.T
	url string
}

// startLB runs lb on this machine with a pool of the containers with that label.
func startLB(t *testing.T, label string) *balancer {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "./cmd/lb")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build lb: %v\n%s", err, out)
	}
	address := freeAddress(t)
	text := fmt.Sprintf(`listen %q {}
admin {
  listen = "off"
}
access_log {
  format = "off"
}
site "clock" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  discover "docker" {
    label = %q
  }
  health {
    path          = "/healthz"
    interval      = "200ms"
    fast_interval = "100ms"
    rise          = 1
    fall          = 1
  }
  timeouts {
    connect  = "500ms"
    response = "5s" # a container that is cut off from its network is silent
  }
  panic_threshold = 0
}
`, address, label)
	file := filepath.Join(dir, "lb.hcl")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	lb := exec.Command(filepath.Join(dir, "lb"), "-config", file)
	lb.Stdout, lb.Stderr = &out, &out
	if err := lb.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = lb.Process.Kill()
		_ = lb.Wait()
		if t.Failed() {
			t.Logf("lb said:\n%s", out.String())
		}
	})
	return &balancer{t: t, url: "http://" + address + "/api/time"}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// ask returns the name of the container that responds.
func (b *balancer) ask(client *http.Client) (string, error) {
	response, err := client.Get(b.url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	var reading struct{ Replica string }
	if err := json.Unmarshal(body, &reading); response.StatusCode != http.StatusOK || err != nil {
		return "", fmt.Errorf("%s: %q", response.Status, body)
	}
	return reading.Replica, nil
}

// await waits until exactly these containers, in order of their names, respond to a batch of requests.
func (b *balancer) await(names ...string) {
	b.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	var last string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var got []string
		for range 8 * len(names) {
			name, err := b.ask(client)
			if err != nil {
				name = err.Error()
			}
			if !slices.Contains(got, name) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if slices.Equal(got, names) {
			return
		}
		last = strings.Join(got, ", ")
	}
	b.t.Fatalf("not within %v: responses of %s; last: %s", patience, strings.Join(names, ", "), last)
}

// load sends requests until it is stopped.
type load struct {
	stop     chan struct{}
	wait     sync.WaitGroup
	requests atomic.Int64
	failed   atomic.Int64
	first    atomic.Pointer[string] // failure
}

func (b *balancer) load() *load {
	l := &load{stop: make(chan struct{})}
	for i := range 4 {
		l.wait.Go(func() {
			transport := &http.Transport{DisableKeepAlives: i == 0}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			for tick := time.NewTicker(5 * time.Millisecond); ; {
				select {
				case <-l.stop:
					tick.Stop()
					return
				case <-tick.C:
				}
				l.requests.Add(1)
				if _, err := b.ask(client); err != nil {
					l.failed.Add(1)
					text := time.Now().Format("15:04:05.000 ") + err.Error()
					l.first.CompareAndSwap(nil, &text)
				}
			}
		})
	}
	b.t.Cleanup(func() { l.end(b.t) })
	return l
}

// end stops the clients after their last response; none may have failed.
func (l *load) end(t *testing.T) {
	t.Helper()
	select {
	case <-l.stop:
		return
	default:
		close(l.stop)
	}
	l.wait.Wait()
	t.Logf("%d requests, %d failed", l.requests.Load(), l.failed.Load())
	if first := l.first.Load(); first != nil {
		t.Errorf("%d of %d requests failed, the first: %s", l.failed.Load(), l.requests.Load(), *first)
	}
}
