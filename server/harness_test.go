package server_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"lb/config"
	"lb/internal/acmetest"
	"lb/internal/lbtest"
	"lb/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, acmetest.Lasting()...) }

// running is a balancer under test with its configuration.
type running struct {
	*server.Server
	t    testing.TB
	dir  string
	stop func()

	mu   sync.Mutex
	text string
}

// start runs a balancer. It adds a listener, an admin listener and a log file to a configuration that has none. $DIR stands for
// the test's own directory.
func start(t testing.TB, text string) *running {
	t.Helper()
	return startCommand(t, text)
}

// startCommand is start for a balancer with the program of the new process in a takeover.
func startCommand(t testing.TB, text string, command ...string) *running {
	t.Helper()
	return startWith(t, t.TempDir(), text, server.Options{Command: command})
}

// startWith is start with a directory and options.
func startWith(t testing.TB, dir, text string, o server.Options, options ...config.Option) *running {
	t.Helper()
	r := &running{t: t, dir: dir}
	r.set(text)
	o.Version = "test"
	o.Load = func() (*config.Config, config.Diagnostics) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return config.Parse([]config.Source{{Name: filepath.Join(r.dir, "lb.hcl"), Text: []byte(r.text)}}, options...)
	}
	r.Server = server.New(o)
	if err := r.Start(); err != nil {
		t.Fatalf("cannot start: %v", err)
	}
	r.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // no grace
		_ = r.Stop(ctx)
	})
	t.Cleanup(r.stop)
	return r
}

// writeFiles returns a directory with files, for configurations that name them.
func writeFiles(t testing.TB, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (r *running) set(text string) {
	if !strings.Contains(text, "listen \"") {
		text = "listen \"127.0.0.1:0\" {}\n" + text
	}
	if !strings.Contains(text, "admin {") {
		text += "\nadmin {\n  listen = \"127.0.0.1:0\"\n}\n"
	}
	if !strings.Contains(text, "access_log {") {
		text += "\naccess_log {\n  file = \"$DIR/access.log\"\n}\n"
	}
	text += "\nlog {\n  file = \"$DIR/lb.log\"\n}\n"
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = strings.ReplaceAll(text, "$DIR", r.dir)
}

// reload switches to another configuration.
func (r *running) reload(text string) error {
	r.set(text)
	_, err := r.Reload(context.Background())
	return err
}

func (r *running) addr() string { return r.Addrs()[0].String() }

func (r *running) dial() *lbtest.Conn { return lbtest.Dial(r.t, r.addr()) }

// dialUnix connects to a socket in the test's directory.
func (r *running) dialUnix(name string) *lbtest.Conn {
	return lbtest.Dial(r.t, "unix:"+filepath.Join(r.dir, name))
}

func (r *running) get(path string, lines ...string) lbtest.Response {
	r.t.Helper()
	return lbtest.Get(r.t, r.addr(), path, lines...)
}

// write writes a file in the test's directory.
func (r *running) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// read returns a file of the test's directory, "" if it does not exist.
func (r *running) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(r.dir, name))
	return string(b)
}

// metric returns the value of a series in /metrics, "" if there is none.
func (r *running) metric(series string) string {
	r.t.Helper()
	for line := range strings.SplitSeq(r.admin("GET", "/metrics"), "\n") {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return value
		}
	}
	return ""
}

// wantMetric waits until a series has a value.
func (r *running) wantMetric(series, want string) {
	r.t.Helper()
	lbtest.Eventually(r.t, series+" = "+want, func() bool { return r.metric(series) == want })
}

func (r *running) admin(method, path string) string {
	r.t.Helper()
	_, body := r.askAdmin(method, path)
	return body
}

func (r *running) adminStatus(path string) int {
	r.t.Helper()
	status, _ := r.askAdmin("GET", path)
	return status
}

// put changes something through the admin API.
func (r *running) put(path, body string) (status int) {
	r.t.Helper()
	status, _ = r.sendAdmin("PUT", path, strings.NewReader(body))
	return status
}

func (r *running) askAdmin(method, path string) (status int, body string) {
	r.t.Helper()
	return r.sendAdmin(method, path, nil)
}

func (r *running) sendAdmin(method, path string, text io.Reader) (status int, body string) {
	r.t.Helper()
	request, err := http.NewRequest(method, "http://"+r.AdminAddr().String()+path, text)
	if err != nil {
		r.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	b, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(b)
}

// proxyTo is the configuration of a site that forwards everything to the backends.
func proxyTo(more string, backends ...string) string {
	text := "site \"s\" {\n  route \"/\" {\n    proxy {\n      pool = \"app\"\n    }\n  }\n}\npool \"app\" {\n"
	for _, b := range backends {
		text += "  backend \"" + b + "\" {}\n"
	}
	return text + more + "\n}\n"
}

// recorder is a backend that records the last request and sends a fixed response.
type recorder struct {
	*lbtest.Backend
	mu         sync.Mutex
	head, body string
}

func record(t testing.TB, response string) *recorder {
	r := &recorder{}
	r.Backend = lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, body := c.ReadRequest()
			if head == "" {
				return
			}
			r.mu.Lock()
			r.head, r.body = head, body
			r.mu.Unlock()
			c.Send(response)
		}
	})
	return r
}

func (r *recorder) last() (head, body string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head, r.body
}

// without returns a head without the lines that differ between runs.
func without(head string, names ...string) string {
	var kept []string
	for line := range strings.SplitSeq(head, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		drop := false
		for _, n := range names {
			drop = drop || strings.EqualFold(n, name)
		}
		if !drop {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\r\n")
}
