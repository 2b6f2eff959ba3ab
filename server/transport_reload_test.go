package server_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// TestChangeOfTransportKeepsTheBackends: changed timeouts and keepalive settings apply to new connections. The state of the
// backends and the requests in flight stay.
func TestChangeOfTransportKeepsTheBackends(t *testing.T) {
	bad := apply(t, func(string) string { return busy })
	drained, down, good := apply(t, fine), apply(t, fine), apply(t, fine)
	down.healthy.Store(false)
	text := func(more string) string {
		return proxyTo(atDemand+"  eject {\n    failures = 2\n    duration = \"1h\"\n  }\n"+more, bad.Addr, drained.Addr, down.Addr, good.Addr)
	}
	lb := start(t, text(""))
	state := func(b *application, name string) string {
		return `lb_backend_state{pool="app",backend="` + b.Addr + `",state="` + name + `"}`
	}
	lb.wantMetric(state(down, "down"), "1")
	lbtest.Eventually(t, "an ejection", func() bool { lb.get("/"); return lb.metric(state(bad, "ejected")) == "1" })
	lb.put("/api/v1/pools/app/backends/"+drained.Addr, `{"admin":"drain","weight":5}`)
	_, before := lb.askAdmin("GET", "/api/v1/pools/app")
	series := func() string {
		var lines []string
		for line := range strings.SplitSeq(lb.admin("GET", "/metrics"), "\n") {
			if strings.HasPrefix(line, "lb_backend_") && !strings.HasPrefix(line, "lb_backend_connections{") || strings.HasPrefix(line, "lb_health_") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "\n")
	}
	counted := series()
	for _, more := range []string{
		"  timeouts {\n    response = \"7s\"\n  }\n",
		"  keepalive {\n    max_idle = 3\n  }\n",
		"",
	} {
		if err := lb.reload(text(more)); err != nil {
			t.Fatal(err)
		}
		// Idle connections are closed; everything else stays.
		lb.wantMetric(`lb_backend_connections{pool="app",backend="`+good.Addr+`",state="idle"}`, "0")
		_, after := lb.askAdmin("GET", "/api/v1/pools/app")
		if before, after := withoutIdle(before), withoutIdle(after); before != after {
			t.Errorf("%q changed\n%s\nto\n%s", more, before, after)
		}
		if now := series(); now != counted {
			t.Errorf("%q changed\n%s\nto\n%s", more, counted, now)
		}
	}
}

// withoutIdle removes the number of idle connections from a pool's status.
func withoutIdle(status string) string {
	var parts []string
	for part := range strings.SplitSeq(status, ",") {
		if !strings.HasPrefix(part, `"connections_idle"`) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ",")
}

// TestChangeOfTransportKeepsMaxConns: requests in flight on old connections count and complete. Then their connection is closed,
// and later requests use the new settings.
func TestChangeOfTransportKeepsMaxConns(t *testing.T) {
	var now, most atomic.Int64
	var open, firstClosed atomic.Int64
	responses := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		open.Add(1)
		defer open.Add(-1)
		if c.N <= 2 {
			defer firstClosed.Add(1)
		}
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-responses
			now.Add(-1)
			c.Send(lbtest.OK("x"))
		}
	})
	text := func(response string) string {
		return strings.Replace(proxyTo("  timeouts {\n    response = \""+response+"\"\n  }\n", b.Addr), "{}", "{\n    max_conns = 2\n  }", 1)
	}
	lb := start(t, text("20s"))
	var clients sync.WaitGroup
	var failed atomic.Int64
	ask := func(n int) {
		for range n {
			clients.Go(func() {
				if lb.get("/").Status() != 200 {
					failed.Add(1)
				}
			})
		}
	}
	connections := func(state string) string {
		return `lb_backend_connections{pool="app",backend="` + b.Addr + `",state="` + state + `"}`
	}
	ask(4)
	lb.wantMetric(`lb_queue_length{pool="app"}`, "2")
	for i := range 3 {
		if err := lb.reload(text(fmt.Sprint(21+i, "s"))); err != nil {
			t.Fatal(err)
		}
	}
	ask(2)
	lb.wantMetric(`lb_queue_length{pool="app"}`, "4")
	if got := lb.metric(connections("active")); got != "2" {
		t.Errorf("%s connections are active, want 2", got)
	}
	close(responses)
	clients.Wait()
	if n := most.Load(); n != 2 {
		t.Errorf("%d requests at a time, max_conns is 2", n)
	}
	if n := failed.Load(); n > 0 {
		t.Errorf("%d requests failed", n)
	}
	lbtest.Eventually(t, "the end of the first two connections", func() bool { return firstClosed.Load() == 2 })
	lb.wantMetric(connections("active"), "0")
	lbtest.Eventually(t, "as many idle connections as the backend has", func() bool {
		n := open.Load()
		return n >= 1 && n <= 2 && lb.metric(connections("idle")) == fmt.Sprint(n)
	})
}

// TestChangeOfTransportUnderLoad: no request fails while the connections are replaced.
func TestChangeOfTransportUnderLoad(t *testing.T) {
	a, b := apply(t, fine), apply(t, fine)
	text := func(i int) string {
		return proxyTo(fmt.Sprintf("  timeouts {\n    response = \"%ds\"\n  }\n  keepalive {\n    max_idle = %d\n  }\n", 20+i%2, 1+i%3), a.Addr, b.Addr)
	}
	lb := start(t, text(0))
	failed := lb.steadily()
	for i := range 40 {
		served := a.served.Load() + b.served.Load()
		if err := lb.reload(text(i + 1)); err != nil {
			t.Fatal(err)
		}
		lbtest.Eventually(t, "responses", func() bool { return a.served.Load()+b.served.Load() > served+10 })
	}
	if n := failed(); n > 0 {
		t.Errorf("%d requests failed", n)
	}
}

// TestChangeOfTLSIsCheckedAtOnce: when a reload adds tls, a check at once, long before the next one is due, finds the backend that
// speaks plain HTTP, and likewise when a reload removes tls.
func TestChangeOfTLSIsCheckedAtOnce(t *testing.T) {
	t.Parallel()
	b := apply(t, fine)
	lb := start(t, proxyTo(atDemand, b.Addr))
	up := `lb_backend_up{pool="app",backend="` + b.Addr + `"}`
	requests := `lb_backend_requests_total{pool="app",backend="` + b.Addr + `",code="200"}`
	lb.wantMetric(up, "1")
	lb.get("/")
	lb.wantMetric(requests, "1")
	if err := lb.reload(proxyTo(atDemand+"  tls {\n    verify = false\n  }\n", b.Addr)); err != nil {
		t.Fatal(err)
	}
	lb.wantMetric(up, "0")
	if err := lb.reload(proxyTo(atDemand, b.Addr)); err != nil {
		t.Fatal(err)
	}
	lb.wantMetric(up, "1")
	if got := lb.metric(requests); got != "1" {
		t.Errorf("%q requests are counted, want 1 still", got)
	}
	if r := lb.get("/"); r.Status() != 200 {
		t.Errorf("status %d", r.Status())
	}
}
