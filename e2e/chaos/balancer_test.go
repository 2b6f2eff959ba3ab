//go:build e2e

package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/internal/lbtest"
)

// patience limits every wait; a test that reaches it fails.
const patience = 30 * time.Second

var (
	binary   string // lb
	nextPort = rand.IntN(portCount)
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	scratch, err := os.MkdirTemp("", "lb-chaos-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(scratch)
	binary = filepath.Join(scratch, "lb")
	build := exec.Command("go", "build", "-o", binary, "lb/cmd/lb")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build: %v\n%s", err, out)
		return 1
	}
	status := m.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// Ports are below the range for outgoing connections, and outside the other tests' range: a restarted backend must find
// its port free.
const firstPort, portCount = 11000, 9000

func freePort(t *testing.T) string {
	t.Helper()
	for range portCount {
		nextPort++
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+nextPort%portCount)
		if ln, err := net.Listen("tcp", address); err == nil {
			ln.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// balancer is a running lb.
type balancer struct {
	*exec.Cmd
	listen, admin string
	dir           string
	out           lbtest.Output
	done          chan struct{}
	http          *http.Client
}

func startBalancer(t *testing.T, binary string, text func(b *balancer) string) *balancer {
	t.Helper()
	b := &balancer{listen: freePort(t), admin: freePort(t), dir: t.TempDir(), done: make(chan struct{})}
	b.http = &http.Client{Timeout: patience, Transport: &http.Transport{}}
	b.configure(t, text(b))
	b.Cmd = exec.Command(binary, "-config", filepath.Join(b.dir, "lb.hcl"))
	b.Stdout, b.Stderr = &b.out, &b.out
	b.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = b.Wait(); close(b.done) }()
	t.Cleanup(func() {
		b.http.CloseIdleConnections()
		_ = b.Process.Signal(syscall.SIGTERM)
		select {
		case <-b.done:
		case <-time.After(patience):
			t.Error("lb does not end")
			_ = b.Process.Kill()
			<-b.done
		}
		if code := b.ProcessState.ExitCode(); code != 0 {
			t.Errorf("lb ends with %d", code)
		}
		if t.Failed() {
			said := b.out.String()
			t.Logf("lb said at last:\n%s", said[max(0, len(said)-6000):])
		}
	})
	eventually(t, "lb is ready", func() bool { status, _ := b.ask("GET", "/readyz", ""); return status == 200 })
	return b
}

// configure replaces the configuration file atomically.
func (b *balancer) configure(t *testing.T, text string) {
	t.Helper()
	replaceFile(t, filepath.Join(b.dir, "lb.hcl"), text)
}

func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	err := os.WriteFile(path+".new", []byte(text), 0o644)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Error(err)
	}
}

// ask sends a request to the admin listener; status 0 means that there was no response.
func (b *balancer) ask(method, path, body string) (status int, reply string) {
	request, err := http.NewRequest(method, "http://"+b.admin+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	response, err := b.http.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(all)
}

// metrics returns the sum of the series for each prefix.
func (b *balancer) metrics(prefixes ...string) []float64 {
	_, text := b.ask("GET", "/metrics", "")
	sums := make([]float64, len(prefixes))
	for l := range strings.Lines(text) {
		for i, p := range prefixes {
			if strings.HasPrefix(l, p) {
				v, _ := strconv.ParseFloat(strings.TrimSpace(l[strings.LastIndexByte(l, ' '):]), 64)
				sums[i] += v
			}
		}
	}
	return sums
}

// usable returns how many backends are usable; -1: unknown.
func (b *balancer) usable() int {
	var pool struct {
		Backends []struct{ Usable bool }
	}
	status, text := b.ask("GET", "/api/v1/pools/app", "")
	if status != 200 || json.Unmarshal([]byte(text), &pool) != nil {
		return -1
	}
	n := 0
	for _, m := range pool.Backends {
		if m.Usable {
			n++
		}
	}
	return n
}

// holds returns the use of resources that must not grow.
type holds struct{ goroutines, descriptors, inFlight, waiting int }

func (b *balancer) holds() (h holds) {
	b.http.CloseIdleConnections() // one is left then: that of this request
	_, text := b.ask("GET", "/debug/pprof/goroutine?debug=1", "")
	_, _ = fmt.Sscanf(text, "goroutine profile: total %d", &h.goroutines)
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.Process.Pid))
	h.descriptors = len(entries)
	m := b.metrics("lb_backend_in_flight{", "lb_requests_in_flight{", "lb_queue_length{")
	h.inFlight, h.waiting = int(m[0]+m[1]), int(m[2])
	return h
}

// memory returns the resident set in MiB.
func (b *balancer) memory() int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.Process.Pid))
	for l := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(l, "VmRSS:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib >> 10
		}
	}
	return 0
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Errorf("not within %v: %s", patience, what)
}
