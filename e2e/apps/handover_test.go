//go:build e2e

package apps

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// strict is a load of clients without retries: each uses one connection until a response announces its end, and a
// request without a whole response of 200 is a failure.
type strict struct {
	address        string
	served, failed atomic.Int64
	first          atomic.Pointer[string]
	end            chan struct{}
	group          sync.WaitGroup
}

// startStrict runs clients that send a request at that interval, half of them on a new connection each time.
func startStrict(address string, clients int, every time.Duration) *strict {
	s := &strict{address: address, end: make(chan struct{})}
	for i := range clients {
		s.group.Go(func() { s.client(i%2 == 0, every) })
	}
	return s
}

func (s *strict) client(keep bool, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var c net.Conn
	var r *bufio.Reader
	for {
		select {
		case <-s.end:
			if c != nil {
				c.Close()
			}
			return
		case <-tick.C:
		}
		var err error
		if c == nil {
			if c, err = net.DialTimeout("tcp", s.address, patience); err == nil {
				_ = c.SetDeadline(time.Now().Add(5 * time.Minute))
				r = bufio.NewReader(c)
			}
		}
		again := false
		if err == nil {
			again, err = s.ask(c, r, keep)
		}
		s.served.Add(1)
		if err != nil {
			s.failed.Add(1)
			text := err.Error()
			s.first.CompareAndSwap(nil, &text)
		}
		if c != nil && !again {
			c.Close()
			c = nil
		}
	}
}

// ask reports whether the connection can be used again.
func (s *strict) ask(c net.Conn, r *bufio.Reader, keep bool) (again bool, err error) {
	connection := ""
	if !keep {
		connection = "Connection: close\r\n"
	}
	if _, err := fmt.Fprintf(c, "GET /api/time HTTP/1.1\r\nHost: a\r\n%s\r\n", connection); err != nil {
		return false, fmt.Errorf("cannot send: %w", err)
	}
	response, err := http.ReadResponse(r, &http.Request{Method: "GET"})
	if err != nil {
		return false, fmt.Errorf("no response: %w", err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return false, fmt.Errorf("half a response: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %s", response.Status)
	}
	return keep && !response.Close, nil
}

func (s *strict) stop() (served, failed int64, first string) {
	close(s.end)
	s.group.Wait()
	if p := s.first.Load(); p != nil {
		first = *p
	}
	return s.served.Load(), s.failed.Load(), first
}

func (b *balancer) pid() int {
	status, body := get("http://" + b.admin + "/api/v1/status")
	var process struct{ PID int }
	if status != 200 || json.Unmarshal([]byte(body), &process) != nil {
		return 0
	}
	return process.PID
}

// TestHandOver: SIGUSR2 puts a new binary in place of the old one, many times under load, and no client notices.
// A binary that ends at once changes nothing.
func TestHandOver(t *testing.T) {
	clocks := freePorts(t, 3)
	for _, address := range clocks {
		launch(t, nil, filepath.Join(scratch, "clock"), "-listen", address, "-name", address)
	}
	dir := t.TempDir()
	text := "listen \"LISTEN\" {}\nlisten \"unix:DIR/lb.sock\" {}\nadmin {\n  listen = \"ADMIN\"\n}\naccess_log {\n  format = \"off\"\n}\nlog {\n  file = \"DIR/lb.log\"\n}\n" +
		"site \"clock\" {\n  route \"/\" {\n    proxy {\n      pool = \"app\"\n    }\n  }\n}\npool \"app\" {\n"
	for _, c := range clocks {
		text += "  backend \"" + c + "\" {}\n"
	}
	text += "  health {\n    path = \"/healthz\"\n  }\n}\n"
	logged := func() string {
		b, _ := os.ReadFile(filepath.Join(dir, "lb.log"))
		return string(b)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(logged())
		}
	})
	live := filepath.Join(dir, "lb")
	install(t, binary, live)
	// The processes share the file that they write to, which must remain open after the first one.
	write(t, dir, "start", "#!/bin/sh\nexec "+live+" \"$@\" >/dev/null 2>&1\n")
	start := filepath.Join(dir, "start")
	if err := os.Chmod(start, 0o755); err != nil {
		t.Fatal(err)
	}
	manager := serviceManager(t, filepath.Join(dir, "notify"))
	lb := startProgram(t, start, dir, text)
	pid := lb.pid()
	t.Cleanup(func() {
		if last := lb.pid(); last != 0 && last != lb.Process.Pid {
			_ = syscall.Kill(last, syscall.SIGKILL)
		}
	})
	if status, out := command(t, "drain", "app/"+clocks[0], "-admin", lb.admin); status != 0 {
		t.Fatalf("drain: exit %d\n%s", status, out)
	}
	administrator := startWeightChanges(lb.admin, clocks[1])
	load := startStrict(strings.TrimPrefix(lb.url, "http://"), 16, 50*time.Millisecond)
	const times = 20
	for i := range times {
		install(t, binary, live) // another file by the same name
		if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		before := pid
		eventually(t, fmt.Sprintf("new process %d serves the admin listener", i+1), func() bool {
			now := lb.pid()
			if now != 0 {
				pid = now
			}
			return now != 0 && now != before
		})
		eventually(t, "the previous process ends", func() bool { return !alive(before) })
		if i == 0 && lb.exits(t) != 0 {
			t.Error("the first process did not exit with 0")
		}
	}
	weight, sent := administrator.stop(t)
	if _, out := command(t, "status", "-admin", lb.admin); !strings.Contains(out, " drain (") || !strings.Contains(out, fmt.Sprintf(" %d (configured 1) ", weight)) {
		t.Errorf("the settings of the backends are lost; the last weight was %d:\n%s", weight, out)
	}
	t.Logf("%d weights set", sent)
	if _, err := os.Stat(filepath.Join(dir, "lb.sock")); err != nil {
		t.Errorf("the socket file has been removed: %v", err)
	}

	broken := filepath.Join(dir, "broken")
	write(t, dir, "broken", "#!/bin/sh\nexit 3\n")
	if err := os.Chmod(broken, 0o755); err != nil {
		t.Fatal(err)
	}
	install(t, broken, live)
	if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the failure in the log", func() bool { return strings.Contains(logged(), "did not take over") })
	served := load.served.Load()
	eventually(t, "more requests", func() bool { return load.served.Load() > served+100 })
	if now := lb.pid(); now != pid {
		t.Errorf("process %d serves instead of %d", now, pid)
	}
	n, failed, first := load.stop()
	t.Logf("%d requests during %d takeovers, %d failed", n, times, failed)
	if failed != 0 {
		t.Errorf("first failure: %s", first)
	}
	if got := manager(); !strings.Contains(got, fmt.Sprintf("MAINPID=%d", pid)) || strings.Contains(got, "STOPPING") {
		t.Errorf("the service manager got %q", got)
	}
	_ = syscall.Kill(pid, syscall.SIGTERM)
	eventually(t, "the last process ends", func() bool { return !alive(pid) })
}

// weightChanges sets a backend's weight again and again, and checks that lb is ready.
type weightChanges struct {
	end    chan struct{}
	done   chan struct{}
	weight int // the last that lb accepted
	sent   int // how many it accepted
	wrong  []string
}

func startWeightChanges(admin, backend string) *weightChanges {
	o := &weightChanges{end: make(chan struct{}), done: make(chan struct{})}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, path, body string) (status int) {
		request, err := http.NewRequest(method, "http://"+admin+path, strings.NewReader(body))
		if err == nil {
			var response *http.Response
			if response, err = client.Do(request); err == nil {
				response.Body.Close()
				return response.StatusCode
			}
		}
		o.wrong = append(o.wrong, err.Error())
		return 0
	}
	go func() {
		defer close(o.done)
		for weight := 2; ; weight = 2 + weight%90 {
			select {
			case <-o.end:
				return
			default:
			}
			switch status := ask("PUT", "/api/v1/pools/app/backends/"+backend, fmt.Sprintf(`{"weight":%d}`, weight)); status {
			case http.StatusOK:
				o.weight = weight
				o.sent++
			case http.StatusServiceUnavailable: // the other process must be asked
			default:
				o.wrong = append(o.wrong, fmt.Sprintf("weight: %d", status))
			}
			if status := ask("GET", "/readyz", ""); status != http.StatusOK {
				o.wrong = append(o.wrong, fmt.Sprintf("readyz: %d", status))
			}
		}
	}()
	return o
}

// stop returns the weight that must be in force, and how often one was set.
func (o *weightChanges) stop(t *testing.T) (weight, sent int) {
	t.Helper()
	close(o.end)
	<-o.done
	if len(o.wrong) > 0 {
		t.Errorf("administrative requests failed: %q", o.wrong)
	}
	return o.weight, o.sent
}

// serviceManager listens for notifications of programs, and returns what it got.
func serviceManager(t *testing.T, path string) (received func() string) {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	var mu sync.Mutex
	var all strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 4096); ; {
			n, err := socket.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			all.Write(append(buf[:n], '\n'))
			mu.Unlock()
		}
	}()
	t.Cleanup(func() { socket.Close(); <-done })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return all.String()
	}
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// install puts a copy of a program in place of another in one step, as package managers do.
func install(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".new", b, 0o755)
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		t.Fatal(err)
	}
}
