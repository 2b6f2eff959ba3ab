package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// discovered is the configuration of a site whose pool follows the file "backends" in the test's directory.
func discovered(more string) string {
	return proxyTo("  discover \"file\" {\n    path = \"$DIR/backends\"\n  }\n" + more)
}

const probed = "  health {\n    interval = \"50ms\"\n    fast_interval = \"50ms\"\n    rise = 1\n  }\n"

// gated is a backend that responds to health checks (requests for /) only after open is closed. It counts its other requests.
type gated struct {
	*lbtest.Backend
	open     chan struct{}
	probes   atomic.Int64
	requests atomic.Int64
}

func startGated(t *testing.T) *gated {
	g := &gated{open: make(chan struct{})}
	g.Backend = lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			switch {
			case head == "":
				return
			case strings.HasPrefix(head, "GET / "):
				g.probes.Add(1)
				select {
				case <-g.open:
				default:
					c.Send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
					continue
				}
			default:
				g.requests.Add(1)
			}
			c.Send(lbtest.OK("gated"))
		}
	})
	return g
}

// TestNewBackendIsProbedFirst: a discovered backend gets no request before a probe has passed, while another backend is up.
func TestNewBackendIsProbedFirst(t *testing.T) {
	old, fresh := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("old"))), startGated(t)
	lb := start(t, discovered(probed))
	lb.write("backends", old.Addr+"\n")
	lb.wantMetric(`lb_backend_up{pool="app",backend="`+old.Addr+`"}`, "1")
	lb.write("backends", old.Addr+"\n"+fresh.Addr+"\n")
	lbtest.Eventually(t, "the first probes", func() bool { return fresh.probes.Load() >= 3 })
	for range 20 {
		if r := lb.get("/x"); r.Body != "old" {
			t.Fatalf("served by %q", r.Body)
		}
	}
	if n := fresh.requests.Load(); n > 0 {
		t.Errorf("%d requests before a probe had passed", n)
	}
	close(fresh.open)
	lbtest.Eventually(t, "a request to the new one", func() bool { return lb.get("/x").Body == "gated" })
}

// TestUnknownIsUsedWhenNoneIsUp: a backend whose first probe is in progress is used if no backend is up.
func TestUnknownIsUsedWhenNoneIsUp(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			switch {
			case head == "":
				return
			case strings.HasPrefix(head, "GET / "):
				<-release
				return
			}
			c.Send(lbtest.OK("unknown"))
		}
	})
	lb := start(t, discovered("  health {\n    interval = \"1m\"\n    timeout = \"1m\"\n  }\n"))
	lb.write("backends", b.Addr+"\n")
	lb.wantMetric(`lb_backend_state{pool="app",backend="`+b.Addr+`",state="unknown"}`, "1")
	if r := lb.get("/x"); r.Body != "unknown" {
		t.Errorf("%d %q", r.Status(), r.Body)
	}
}

// TestRemovedBackendDrains: a backend that its source no longer lists completes its requests and gets no new ones.
func TestRemovedBackendDrains(t *testing.T) {
	release := make(chan struct{})
	leaving := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if head, _ := c.ReadRequest(); head != "" {
			<-release
			c.Send(lbtest.OK("late"))
		}
	})
	lb := start(t, discovered(""))
	lb.write("backends", leaving.Addr+"\n")
	lb.wantMetric(`lb_backend_up{pool="app",backend="`+leaving.Addr+`"}`, "1")
	slow := lb.dial()
	slow.Send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+leaving.Addr+`"}`, "1")

	other := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("other")))
	lb.write("backends", other.Addr+"\n")
	lb.wantMetric(`lb_backend_up{pool="app",backend="`+leaving.Addr+`"}`, "")
	for range 5 {
		if r := lb.get("/"); r.Body != "other" {
			t.Errorf("served by %q", r.Body)
		}
	}
	close(release)
	if r := slow.ReadResponse("GET"); r.Status() != 200 || r.Body != "late" {
		t.Errorf("the request in flight: %d %q", r.Status(), r.Body)
	}
}

// TestReloadOfASource: the members of a changed source stay until the new source has its first result. Those of a removed source
// are removed.
func TestReloadOfASource(t *testing.T) {
	t.Parallel()
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("found")))
	release := make(chan struct{})
	var asked, held atomic.Int64
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Query().Has("index") || r.URL.Query().Get("tag") == "new" {
			held.Add(1)
			select { // no update yet
			case <-release:
			case <-r.Context().Done():
			}
		}
		host, port, _ := strings.Cut(b.Addr, ":")
		w.Header().Set("X-Consul-Index", "5")
		fmt.Fprintf(w, `[{"Service":{"Address":%q,"Port":%s}}]`, host, port)
	}))
	defer agent.Close()
	defer close(release)
	text := func(tag string) string {
		return proxyTo(fmt.Sprintf("  discover \"consul\" {\n    service = \"app\"\n    address = %q\n    tag = %q\n  }\n",
			strings.TrimPrefix(agent.URL, "http://"), tag))
	}
	lb := start(t, text("old"))
	lb.wantMetric(`lb_backend_up{pool="app",backend="`+b.Addr+`"}`, "1")
	lbtest.Eventually(t, "a query that waits", func() bool { return held.Load() == 1 })
	if err := lb.reload(text("new")); err != nil {
		t.Fatal(err)
	}
	lbtest.Eventually(t, "the new source's query", func() bool { return held.Load() == 2 })
	if r := lb.get("/"); r.Body != "found" {
		t.Errorf("while the changed source has no result: %d %q", r.Status(), r.Body)
	}
	if err := lb.reload(proxyTo("", deadAddress(t))); err != nil {
		t.Fatal(err)
	}
	if got := lb.metric(`lb_backend_up{pool="app",backend="` + b.Addr + `"}`); got != "" {
		t.Errorf("after the source was removed its backend is still there: up %q", got)
	}
}
