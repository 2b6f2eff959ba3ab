//go:build e2e

package apps

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hostileConfig proxies to APP, and serves a file that is longer than what the system buffers for a slow reader.
const hostileConfig = `
listen "LISTEN" {}
admin {
  listen = "ADMIN"
}
access_log {
  format = "off"
}
site "s" {
  route "/big" {
    static {
      root = "DIR"
    }
  }
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "APP" {}
}
`

// slack is how much later than their timeout the connections of slow clients may end.
const slack = time.Second

// TestSlowClients: connections that send heads or bodies slowly, or read slowly, neither make requests of other clients
// fail nor outlast their timeout. LB_LONG=1 uses many more of them, and more good clients.
func TestSlowClients(t *testing.T) {
	slowhttptest := need(t, "slowhttptest")
	timeout, rate, crowd, readers, perSecond := 2*time.Second, "1000", 2000, 400, 200
	if os.Getenv("LB_LONG") != "" {
		timeout, rate, crowd, readers, perSecond = 10*time.Second, "2000", 10_000, 3000, 500
	}
	lb := startHostile(t, strings.ReplaceAll(`limits {
  header_timeout    = "TIMEOUT"
  body_idle_timeout = "TIMEOUT"
  idle_timeout      = "TIMEOUT"
}`, "TIMEOUT", timeout.String()))
	connections := strconv.Itoa(min(crowd, descriptors(t)*9/20))
	alone := startSteady(lb.url+"/api/time", 4, perSecond)
	eventually(t, "the good clients are served", func() bool { return alone.count() >= 5*perSecond })
	alone.report(t)
	good := startSteady(lb.url+"/api/time", 4, perSecond)
	eventually(t, "all of them are connected", func() bool { return good.count() >= perSecond })
	before := lb.settledMemory(t, 0)
	for _, attack := range []struct {
		name, connections, path string
		args                    []string
		bound                   time.Duration
	}{
		{"heads", connections, "/", []string{"-H", "-i", "1"}, timeout + slack},
		{"bodies", connections, "/", []string{"-B", "-i", "20"}, timeout + slack},
		{"readers", strconv.Itoa(min(readers, descriptors(t)/4)), "/big", []string{"-X", "-n", "1", "-w", "1", "-y", "512", "-z", "5"}, timeout + slack},
	} {
		t.Run(attack.name, func(t *testing.T) {
			n, err := strconv.Atoi(attack.connections)
			if err != nil {
				t.Fatal(err)
			}
			open, came := lb.connections(t)
			slow := launch(t, nil, slowhttptest, append(attack.args, "-u", lb.url+attack.path, "-c", attack.connections,
				"-r", rate, "-l", "60", "-p", "10")...)
			lb.outlast(t, open, came, n, attack.bound)
			slow.kill()
		})
	}
	good.report(t)
	most := before + before/5 + goKeeps
	after := lb.settledMemory(t, most)
	t.Logf("%d MiB of memory before, %d MiB after", before>>20, after>>20)
	if after > most {
		t.Errorf("more than %d MiB", most>>20)
	}
}

// goKeeps is how much more memory Go may keep for later use after these clients. TestSlowCrowd measures what remains
// after many.
const goKeeps = 12 << 20

// outlast waits until n connections have been opened and closed since there were open and came of them, and checks that
// the last was closed within bound.
func (b *balancer) outlast(t *testing.T, open, came, n int, bound time.Duration) {
	t.Helper()
	peak := 0
	eventually(t, fmt.Sprintf("%d connections", n), func() bool {
		now, total := b.connections(t)
		peak = max(peak, now-open)
		return total-came >= n
	})
	last := time.Now()
	eventually(t, "the connections are closed", func() bool {
		now, _ := b.connections(t)
		return now <= open+1 // the tool has one to check whether the server still responds
	})
	took := time.Since(last)
	t.Logf("up to %d slow connections at a time; the last was closed after %v", peak, took.Round(time.Millisecond))
	if peak < n/4 {
		t.Errorf("only %d slow connections were open at a time", peak)
	}
	if took > bound {
		t.Errorf("the last connection was closed after %v", took)
	}
}

// TestFewDescriptors: lb survives far more connections than descriptors, whether it refuses the excess or is configured
// to accept all. It serves again when they are closed.
func TestFewDescriptors(t *testing.T) {
	wrapper := filepath.Join(t.TempDir(), "lb")
	write(t, filepath.Dir(wrapper), "lb", "#!/bin/sh\nulimit -n 256\nexec "+binary+" \"$@\"\n")
	if err := os.Chmod(wrapper, 0o755); err != nil {
		t.Fatal(err)
	}
	unlimited := binary
	binary = wrapper
	defer func() { binary = unlimited }()
	for name, limits := range map[string]string{
		"own limit": "", "no limit": "limits {\n  max_connections = 100000\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			lb := startHostile(t, limits)
			held := crowd(t, strings.TrimPrefix(lb.url, "http://"))
			if limits == "" {
				wantRefused(t, held, 256/2) // a proxied connection may need two descriptors
				if status, _ := get("http://" + lb.admin + "/readyz"); status != 200 {
					t.Errorf("the admin listener responds with %d meanwhile", status)
				}
			}
			for _, c := range held {
				c.Close()
			}
			begin := time.Now()
			eventually(t, "lb serves again", func() bool { status, _ := get(lb.url + "/api/time"); return status == 200 })
			if took := time.Since(begin); took > time.Second {
				t.Errorf("lb served again after %v", took)
			}
			eventually(t, "no connection is left", func() bool { open, _ := lb.connections(t); return open == 0 })
			select {
			case <-lb.done:
				t.Errorf("lb ended:\n%s", lb.out.String())
			default:
			}
		})
	}
}

// crowd opens a thousand connections: with nothing on them, with half a head, and with a whole request.
func crowd(t *testing.T, address string) []net.Conn {
	t.Helper()
	var held []net.Conn
	for i := range min(1000, descriptors(t)/4) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_, _ = io.WriteString(c, []string{"", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"}[i%3])
		held = append(held, c)
	}
	return held
}

// wantRefused requires all connections except the allowed number to end, some with a 503. Which ones remain is not determined: a
// connection that ends makes a place for one that is accepted later.
func wantRefused(t *testing.T, held []net.Conn, allowed int) {
	t.Helper()
	var ended, refused atomic.Int32
	for _, c := range held {
		go func() { // until the test closes c
			response, err := io.ReadAll(c)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			ended.Add(1)
			if strings.HasPrefix(string(response), "HTTP/1.1 503 ") {
				refused.Add(1)
			}
		}()
	}
	eventually(t, "the connections beyond the limit have ended", func() bool { return int(ended.Load()) >= len(held)-allowed })
	t.Logf("%d of %d connections were refused with a response", refused.Load(), ended.Load())
	if refused.Load() == 0 {
		t.Error("no connection beyond the limit got a 503")
	}
}

func startHostile(t *testing.T, limits string) *balancer {
	t.Helper()
	app := freePorts(t, 1)[0]
	apps["clock"](t, app)
	dir := t.TempDir()
	write(t, dir, "big", strings.Repeat("0123456789abcdef", 8<<20/16))
	lb := startLB(t, dir, limits+strings.Replace(hostileConfig, "APP", app, 1))
	eventually(t, "the application responds", func() bool { status, _ := get(lb.url + "/api/time"); return status == 200 })
	if status, _ := get(lb.url + "/big"); status != 200 { // so that lb has it in memory
		t.Fatalf("the file: %d", status)
	}
	return lb
}

// descriptors returns how many descriptors this process may have open.
func descriptors(t *testing.T) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(min(limit.Cur, 1<<20))
}

var connectionSeries = regexp.MustCompile(`(?m)^lb_connections(_total)?\{[^}]*\} (\d+)$`)

// connections reads how many client connections are open on all listeners, and how many there have been.
func (b *balancer) connections(t *testing.T) (open, total int) {
	t.Helper()
	_, text := get("http://" + b.admin + "/metrics")
	series := connectionSeries.FindAllStringSubmatch(text, -1)
	if len(series) < 2 {
		t.Fatalf("no connections in the metrics:\n%.1000s", text)
	}
	for _, s := range series {
		n, err := strconv.Atoi(s[2])
		if err != nil {
			t.Fatal(err)
		}
		if s[1] == "" {
			open += n
		} else {
			total += n
		}
	}
	return open, total
}

// settledMemory returns the memory of lb after garbage collection: as soon as it is at most that many bytes, else after
// a minute; 0: at once.
func (b *balancer) settledMemory(t *testing.T, most int64) int64 {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(250 * time.Millisecond) {
		get("http://" + b.admin + "/debug/pprof/heap?gc=1")
		now := memory(t, b.Process.Pid, "VmRSS")
		if most == 0 || now <= most || time.Now().After(end) {
			return now
		}
	}
}

// steady is a few clients on kept connections that send requests at a steady rate and measure the time.
type steady struct {
	mu     sync.Mutex
	took   []time.Duration
	failed []string
	end    chan struct{}
	group  sync.WaitGroup
}

func startSteady(url string, clients, perSecond int) *steady {
	s := &steady{end: make(chan struct{})}
	for range clients {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
		s.group.Go(func() {
			defer client.CloseIdleConnections()
			tick := time.NewTicker(time.Second * time.Duration(clients) / time.Duration(perSecond))
			defer tick.Stop()
			for {
				select {
				case <-s.end:
					return
				case <-tick.C:
					s.once(client, url)
				}
			}
		})
	}
	return s
}

func (s *steady) once(client *http.Client, url string) {
	begin := time.Now()
	response, err := client.Get(url)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %s", response.Status)
		}
	}
	took := time.Since(begin)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.took = append(s.took, took); err != nil {
		s.failed = append(s.failed, err.Error())
	}
}

func (s *steady) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.took)
}

// report stops the clients, none of which may have failed, and logs how long they waited.
func (s *steady) report(t *testing.T) {
	t.Helper()
	close(s.end)
	s.group.Wait()
	slices.Sort(s.took)
	t.Logf("good clients: %d requests, half within %v, 99 %% within %v", len(s.took), s.took[len(s.took)/2], s.took[len(s.took)*99/100])
	if len(s.failed) > 0 {
		t.Errorf("good clients: %d of %d requests failed, the first with %s", len(s.failed), len(s.took), s.failed[0])
	}
}
