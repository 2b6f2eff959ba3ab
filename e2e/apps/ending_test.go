//go:build e2e

package apps

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// slowApp responds to /slow in two parts, the second one when it is released; asked counts its requests.
type slowApp struct {
	*httptest.Server
	asked chan struct{}
	letGo chan struct{}
}

func newSlowApp(t *testing.T) *slowApp {
	t.Helper()
	a := &slowApp{asked: make(chan struct{}, 10), letGo: make(chan struct{})}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "first")
			_ = http.NewResponseController(w).Flush()
			a.asked <- struct{}{}
			select {
			case <-a.letGo:
			case <-r.Context().Done():
				return
			}
			_, _ = io.WriteString(w, "-last")
			return
		}
		_, _ = io.WriteString(w, "quick")
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *slowApp) address() string { return strings.TrimPrefix(a.URL, "http://") }

// proxyConfig has one pool with the given contents.
func proxyConfig(pool string) string {
	return strings.Replace(okSite, "respond {\n      status = 200\n      body   = \"fine\"", "proxy {\n      pool = \"app\"", 1) +
		"pool \"app\" {\n" + pool + "\n}\n"
}

func backend(address string) string { return "  backend \"" + address + "\" {}\n" }

// TestTermination: a request in flight is completed, then the process exits with 0.
func TestTermination(t *testing.T) {
	app := newSlowApp(t)
	lb := startLB(t, t.TempDir(), proxyConfig(backend(app.address())))
	response := make(chan string, 1)
	go func() {
		status, body := get(lb.url + "/slow")
		response <- fmt.Sprint(status, " ", body)
	}()
	<-app.asked
	_ = lb.Process.Signal(syscall.SIGTERM)
	eventually(t, "no new request is accepted", func() bool { status, _ := get(lb.url + "/"); return status != 200 })
	select {
	case got := <-response:
		t.Errorf("the request in flight ended too early: %s", got)
	case <-lb.done:
		t.Error("lb ended before the request in flight")
	default:
	}
	close(app.letGo)
	if got := <-response; got != "200 first-last" {
		t.Errorf("the request in flight: %s", got)
	}
	if status := lb.exits(t); status != 0 {
		t.Errorf("exit %d", status)
	}
}

// TestSecondSignal: a second SIGTERM does not wait for the request in flight.
func TestSecondSignal(t *testing.T) {
	app := newSlowApp(t)
	lb := startLB(t, t.TempDir(), proxyConfig(backend(app.address()))+"shutdown {\n  grace = \"10m\"\n}\n")
	done := make(chan struct{})
	go func() { get(lb.url + "/slow"); close(done) }()
	<-app.asked
	_ = lb.Process.Signal(syscall.SIGTERM)
	eventually(t, "it stops", func() bool { return strings.Contains(lb.out.String(), "stopping") })
	_ = lb.Process.Signal(syscall.SIGTERM)
	lb.exits(t)
	<-done
	if !strings.Contains(lb.out.String(), "second signal") {
		t.Error("it does not say why it ended at once")
	}
}

// TestUnknownName: a backend whose name does not resolve affects neither the start nor the other backends.
func TestUnknownName(t *testing.T) {
	app := newSlowApp(t)
	for name, pool := range map[string]string{
		"backend":  backend("nowhere.invalid:80") + backend(app.address()),
		"discover": "  discover \"dns\" {\n    name = \"nowhere.invalid\"\n    port = 80\n  }\n" + backend(app.address()),
		"probed":   backend("nowhere.invalid:80") + backend(app.address()) + "  health {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			lb := startLB(t, t.TempDir(), proxyConfig(pool))
			for range 8 {
				if status, body := get(lb.url + "/"); status != 200 || body != "quick" {
					t.Errorf("%d %s", status, body)
				}
			}
		})
	}
	t.Run("alone", func(t *testing.T) {
		lb := startLB(t, t.TempDir(), proxyConfig(backend("nowhere.invalid:80")))
		if status, body := get(lb.url + "/"); status != 502 && status != 503 && status != 504 {
			t.Errorf("%d %s", status, body)
		}
	})
}
