package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// steadily sends requests without a pause until the returned function is called, which returns how many responses were not 200.
func (r *running) steadily() (failed func() int64) {
	var bad atomic.Int64
	var group sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if r.get("/").Status() != 200 {
					bad.Add(1)
				}
			}
		})
	}
	stop := sync.OnceFunc(func() { close(done); group.Wait() })
	r.t.Cleanup(stop)
	return func() int64 { stop(); return bad.Load() }
}

// agent is a catalog that delays its response until the test sets the backend.
type agent struct {
	*httptest.Server
	asked   chan struct{} // closed at the first question
	backend chan string
}

func newAgent(t *testing.T) *agent {
	a := &agent{asked: make(chan struct{}), backend: make(chan string, 1)}
	first := sync.OnceFunc(func() { close(a.asked) })
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first()
		select {
		case address := <-a.backend:
			host, port, _ := strings.Cut(address, ":")
			w.Header().Set("X-Consul-Index", "5")
			fmt.Fprintf(w, `[{"Service":{"Address":%q,"Port":%s}}]`, host, port)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *agent) discover(service string) string {
	return fmt.Sprintf("  discover \"consul\" {\n    service = %q\n    address = %q\n  }\n", service, strings.TrimPrefix(a.URL, "http://"))
}

// TestChangeOfSourceKeepsThePool: whatever the new source of a pool, the old members stay with their state and counters until its
// first result, which removes those that it does not contain.
func TestChangeOfSourceKeepsThePool(t *testing.T) {
	fileAt := func(name string) string { return "  discover \"file\" {\n    path = \"$DIR/" + name + "\"\n  }\n" }
	for _, before := range []string{"static", "file", "consul"} {
		t.Run(before, func(t *testing.T) {
			stays, goes := apply(t, fine), apply(t, fine)
			a := newAgent(t)
			health := strings.Replace(atDemand, "1h", "1m", 1)
			lb := start(t, proxyTo(health, deadAddress(t)))
			lb.write("backends", stays.Addr+"\n"+goes.Addr+"\n")
			first := map[string]string{
				"static": proxyTo(health, stays.Addr, goes.Addr),
				"file":   proxyTo(health + fileAt("backends")),
				"consul": proxyTo(health+fileAt("backends")+a.discover("one"), stays.Addr),
			}[before]
			if err := lb.reload(first); err != nil {
				t.Fatal(err)
			}
			up := func(b *application) string { return `lb_backend_up{pool="app",backend="` + b.Addr + `"}` }
			lb.wantMetric(up(stays), "1")
			lb.wantMetric(up(goes), "1")
			lb.put("/api/v1/pools/app/backends/"+stays.Addr, `{"weight":7}`)
			requests := `lb_backend_requests_total{pool="app",backend="` + stays.Addr + `",code="200"}`
			lbtest.Eventually(t, "a request", func() bool { lb.get("/"); return lb.metric(requests) != "" })
			checks := `lb_health_checks_total{pool="app",backend="` + stays.Addr + `",result="pass"}`
			checked := lb.metric(checks)

			failed := lb.steadily()
			if err := lb.reload(proxyTo(health + a.discover("two"))); err != nil {
				t.Fatal(err)
			}
			<-a.asked
			for _, b := range []*application{stays, goes} {
				if got := lb.metric(up(b)); got != "1" {
					t.Errorf("while the new source is silent, %s is %q", b.Addr, got)
				}
			}
			a.backend <- stays.Addr
			lb.wantMetric(up(goes), "")
			if got := lb.metric(checks); got != checked {
				t.Errorf("unchanged backends were checked again: %s checks passed, then %s", checked, got)
			}
			if body := lb.admin("GET", "/api/v1/pools/app"); !strings.Contains(body, `"weight":7`) {
				t.Errorf("the weight of run time is lost: %s", body)
			}
			if n := failed(); n > 0 {
				t.Errorf("%d requests failed", n)
			}
		})
	}
}

// TestSourceThatFailsKeepsThePool: a missing file leaves the old backends in use and is reported once. They are removed when the
// file appears. Another reload does not change that.
func TestSourceThatFailsKeepsThePool(t *testing.T) {
	old, fresh := apply(t, fine), apply(t, func(string) string { return lbtest.OK("fresh") })
	lb := start(t, proxyTo("", old.Addr))
	failed := lb.steadily()
	for range 3 {
		if err := lb.reload(discovered("")); err != nil {
			t.Fatal(err)
		}
	}
	lbtest.Eventually(t, "a word on the file", func() bool { return strings.Contains(lb.read("lb.log"), "does not exist; create it") })
	if r := lb.get("/"); r.Body != "fine" {
		t.Errorf("without the file: %d %q", r.Status(), r.Body)
	}
	if n := strings.Count(lb.read("lb.log"), "stay until the new source"); n != 1 {
		t.Errorf("%d lines on those that are kept, want 1:\n%s", n, lb.read("lb.log"))
	}
	lb.write("backends", fresh.Addr+"\n")
	lb.wantMetric(`lb_backend_up{pool="app",backend="`+old.Addr+`"}`, "")
	if r := lb.get("/"); r.Body != "fresh" {
		t.Errorf("with the file: %d %q", r.Status(), r.Body)
	}
	if n := failed(); n > 0 {
		t.Errorf("%d requests failed", n)
	}
	if err := os.Remove(filepath.Join(lb.dir, "backends")); err != nil {
		t.Fatal(err)
	}
	// Without a pending source, backends are removed at once.
	if err := lb.reload(proxyTo("", old.Addr)); err != nil {
		t.Fatal(err)
	}
	if got := lb.metric(`lb_backend_up{pool="app",backend="` + fresh.Addr + `"}`); got != "" {
		t.Errorf("the backend was not removed: %q", got)
	}
}
