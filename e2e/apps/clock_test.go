//go:build e2e

package apps

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// clockConfig is configs/clock.hcl with the test's ports and directories.
func clockConfig(t *testing.T, dir string, backends ...string) string {
	t.Helper()
	sample, err := os.ReadFile(filepath.Join(root, "configs/clock.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(`":80"`, `"LISTEN"`, "/var/www/pyclock", dir, "/run/lb/maintenance", dir+"/maintenance").Replace(string(sample))
	list := ""
	for _, b := range backends {
		list += "backend \"" + b + "\" {}\n  "
	}
	text = strings.Replace(text, `backend "127.0.0.1:5000" {}`, list, 1)
	text = strings.Replace(text, `path = "/"`, "path = \"/\"\n    interval = \"500ms\"\n    fast_interval = \"200ms\"", 1)
	write(t, dir, "maintenance.html", "<h1>back soon</h1>")
	picture, err := os.ReadFile(filepath.Join(root, "clock/images/clock.svg"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "images/clock.svg", string(picture))
	return text + "\nadmin {\n  listen = \"ADMIN\"\n}\naccess_log {\n  file = \"DIR/access.log\"\n}\n"
}

// apps start one replica of each kind of application on an address.
var apps = map[string]func(t *testing.T, address string) *process{
	"flask": func(t *testing.T, address string) *process {
		return launch(t, []string{"NAME=" + address}, flaskPython(t), "-m", "flask",
			"--app", filepath.Join(root, "examples/flask-clock/app.py"), "run", "--port", port(address))
	},
	"node": func(t *testing.T, address string) *process {
		return launch(t, []string{"NAME=" + address, "PORT=" + port(address)}, need(t, "node"), filepath.Join(root, "examples/node-clock/server.js"))
	},
	"nginx": func(t *testing.T, address string) *process {
		nginx, dir := need(t, "nginx"), t.TempDir()
		write(t, dir, "nginx.conf", strings.NewReplacer("DIR", dir, "ADDRESS", address).Replace(`
daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
events {}
http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  server { listen ADDRESS; default_type text/html; location / { return 200 '<title>clock</title><img src="/images/clock.svg"><p>served by ADDRESS</p>'; } } }`))
		return launch(t, nil, nginx, "-p", dir, "-c", dir+"/nginx.conf")
	},
	"clock": func(t *testing.T, address string) *process {
		return launch(t, nil, filepath.Join(scratch, "clock"), "-listen", address, "-name", address)
	},
}

// flaskPython returns a Python that has Flask, or skips the test.
func flaskPython(t *testing.T) string {
	t.Helper()
	python := "/usr/bin/python3"
	if exec.Command(python, "-c", "import flask").Run() != nil {
		t.Skip("Flask is not installed for " + python)
	}
	return python
}

// TestApplications: a page with its picture, as a browser, curl and h2load see it.
func TestApplications(t *testing.T) {
	for _, kind := range []string{"flask", "node", "nginx"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			address := freePorts(t, 1)[0]
			apps[kind](t, address)
			dir := t.TempDir()
			lb := startLB(t, dir, clockConfig(t, dir, address))
			eventually(t, "the application responds", func() bool { status, _ := get(lb.url + "/"); return status == 200 })
			t.Run("curl", func(t *testing.T) {
				out, err := exec.Command(need(t, "curl"), "-sS", "-w", "%{http_code}", lb.url+"/").CombinedOutput()
				if err != nil || !strings.Contains(string(out), "served by") || !strings.HasSuffix(string(out), "200") {
					t.Errorf("curl: %v %s", err, out)
				}
			})
			t.Run("h2load", func(t *testing.T) {
				const requests = 600
				h2load := func(urls ...string) string {
					out, err := exec.Command(need(t, "h2load"), append([]string{"--h1", "-n", strconv.Itoa(requests), "-c", "8"}, urls...)...).CombinedOutput()
					if err != nil || !strings.Contains(string(out), fmt.Sprintf("%d succeeded, 0 failed", requests)) || !strings.Contains(string(out), fmt.Sprintf("%d 2xx", requests)) {
						t.Errorf("h2load: %v\n%s", err, out)
					}
					return string(out)
				}
				h2load(lb.url+"/", lb.url+"/images/clock.svg")
				// The picture never changes, so that curl says how many bytes there must be.
				size, err := exec.Command(need(t, "curl"), "-sS", "-o", "/dev/null", "-w", "%{size_download}", lb.url+"/images/clock.svg").Output()
				if err != nil {
					t.Fatal(err)
				}
				bytes, err := strconv.Atoi(string(size))
				if err != nil || bytes == 0 {
					t.Fatalf("curl: %s bytes, %v", size, err)
				}
				if out := h2load(lb.url + "/images/clock.svg"); !strings.Contains(out, fmt.Sprintf("(%d) data", requests*bytes)) {
					t.Errorf("h2load did not get %d times %d bytes:\n%s", requests, bytes, out)
				}
			})
			t.Run("chromium", func(t *testing.T) { browse(t, lb.url+"/") })
		})
	}
}

// browse loads the page in a headless browser and looks whether its picture was drawn.
func browse(t *testing.T, url string) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(need(t, "chromium")), chromedp.NoSandbox)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 2*patience)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	console := watchConsole(t, ctx)
	err := chromedp.Do(ctx, chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("img")))
	if err != nil {
		t.Fatalf("cannot load the page: %v", err)
	}
	text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil || !strings.Contains(text, "served by") {
		t.Errorf("the page says %q: %v", text, err)
	}
	// A missing or invalid image has no natural width.
	width, err := chromedp.Run(ctx, chromedp.Poll[int](`document.images[0].complete && document.images[0].naturalWidth`))
	if err != nil || width == 0 {
		t.Errorf("the picture is %d pixels wide: %v", width, err)
	}
	for _, line := range console() {
		t.Errorf("the browser's console: %s", line)
	}
}

// watchConsole collects what the browser's console shows as errors: exceptions, failed loads.
func watchConsole(t *testing.T, ctx context.Context) (lines func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	add := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, line)
	}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			add(e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			if e.Type == "error" {
				add("console.error")
			}
		case *log.EventEntryAdded:
			// The applications have no icon, which visitors do not notice.
			if e.Entry.Level == log.EntryLevelError && !strings.HasSuffix(e.Entry.URL, "/favicon.ico") {
				add(e.Entry.Text + " " + e.Entry.URL)
			}
		}
	})
	if err != nil {
		t.Fatalf("cannot watch the console: %v", err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// TestReplicaDies: with two of three replicas no client notices; with none there is the maintenance page; with one
// again the site works.
func TestReplicaDies(t *testing.T) {
	for _, kind := range []string{"flask", "node"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			addresses := freePorts(t, 3)
			var replicas []*process
			for _, a := range addresses {
				replicas = append(replicas, apps[kind](t, a))
			}
			dir := t.TempDir()
			lb := startLB(t, dir, clockConfig(t, dir, addresses...))
			served := regexp.MustCompile(`served by ([0-9.:]+)`)
			seen := map[string]bool{}
			eventually(t, "all three replicas respond", func() bool {
				if _, body := get(lb.url + "/"); served.MatchString(body) {
					seen[served.FindStringSubmatch(body)[1]] = true
				}
				return len(seen) == 3
			})
			load := startLoad(lb.url+"/", 8, 200)
			load.until(t, 300)
			replicas[0].kill()
			load.until(t, 900)
			if served, failed, first := load.stop(); failed > 0 {
				t.Logf("%d of %d requests failed while a replica died: %s", failed, served, first)
				eventually(t, "each failure is a response that was cut short", func() bool { return cutShort(t, dir) >= int(failed) })
			}
			replicas[1].kill()
			replicas[2].kill()
			eventually(t, "the maintenance page", func() bool {
				status, body := get(lb.url + "/")
				return status == 503 && strings.Contains(body, "back soon")
			})
			if response, err := http.Get(lb.url + "/"); err != nil {
				t.Error(err)
			} else {
				response.Body.Close()
				if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
					t.Errorf("%s without Retry-After: %v", response.Status, response.Header)
				}
			}
			apps[kind](t, addresses[1])
			eventually(t, "the site is back", func() bool { status, _ := get(lb.url + "/"); return status == 200 })
		})
	}
}

// cutShort returns how many responses of lb in dir were cut short because a backend had sent a part of them when it died.
// Only these requests may fail: Flask's server sends head and body one after the other, and lb does not retry a request
// after the first byte of its response.
func cutShort(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	n := strings.Count(string(text), "the backend did not finish its response")
	if n > 2 {
		t.Errorf("%d responses were cut short, by one backend that died once", n)
	}
	return n
}

// TestPrometheus: a real Prometheus scrapes the documented series.
func TestPrometheus(t *testing.T) {
	prometheus, promtool := need(t, "prometheus"), need(t, "promtool")
	address := freePorts(t, 1)[0]
	apps["clock"](t, address)
	dir := t.TempDir()
	lb := startLB(t, dir, clockConfig(t, dir, address))
	eventually(t, "the application responds", func() bool { status, _ := get(lb.url + "/"); return status == 200 })

	_, page := get("http://" + lb.admin + "/metrics")
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(page)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}

	sample, err := os.ReadFile(filepath.Join(root, "configs/prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile(filepath.Join(root, "configs/alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "alerts.yml", string(rules))
	write(t, dir, "prometheus.yml", strings.NewReplacer("lb:9900", lb.admin, "scrape_interval: 15s", "scrape_interval: 1s").Replace(string(sample)))
	listen := freePorts(t, 1)[0]
	launch(t, nil, prometheus, "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+listen)
	for _, series := range []string{"lb_requests_total", "lb_request_duration_seconds_bucket", "lb_backend_duration_seconds_bucket", "lb_backend_up"} {
		eventually(t, "Prometheus has "+series, func() bool {
			status, body := get("http://" + listen + "/api/v1/query?query=" + series)
			return status == 200 && strings.Contains(body, `"__name__":"`+series+`"`)
		})
	}
}
