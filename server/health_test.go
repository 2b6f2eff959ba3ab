package server_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// application is a backend whose responses, to checks at /healthz and to others, are set by the test.
type application struct {
	*lbtest.Backend
	healthy atomic.Bool
	served  atomic.Int64 // requests that were no checks
}

func apply(t testing.TB, response func(head string) string) *application {
	a := &application{}
	a.healthy.Store(true)
	a.Backend = lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			switch {
			case head == "":
				return
			case !strings.HasPrefix(head, "GET /healthz "):
				a.served.Add(1)
				c.Send(response(head))
			case a.healthy.Load():
				c.Send(lbtest.OK("healthy"))
			default:
				c.Send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
			}
		}
	})
	return a
}

func fine(string) string { return lbtest.OK("fine") }

const (
	busy     = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
	quickly  = "  health {\n    path = \"/healthz\"\n    interval = \"20ms\"\n    fast_interval = \"20ms\"\n    timeout = \"5s\"\n  }\n"
	atDemand = "  health {\n    path = \"/healthz\"\n    interval = \"1h\"\n    timeout = \"5s\"\n  }\n"
)

// TestTrialIsOneRequestAtATime: while sixteen clients send requests without a pause, a backend whose ejection has ended gets one
// request, and no other until it has responded.
func TestTrialIsOneRequestAtATime(t *testing.T) {
	var holding atomic.Bool
	var now, most atomic.Int64
	responses := make(chan string)
	bad := apply(t, func(string) string {
		if !holding.Load() {
			return busy
		}
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return <-responses
	})
	good := apply(t, fine)
	lb := start(t, proxyTo("  eject {\n    failures = 3\n    duration = \"100ms\"\n  }\n  balance = \"least_conn\"\n", bad.Addr, good.Addr))
	ejections := `lb_backend_ejections_total{pool="app",backend="` + bad.Addr + `"}`

	ask := func() { // one request for each of sixteen clients: more than one would go to bad if that were allowed
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() { lb.get("/") })
		}
		group.Wait()
	}
	lbtest.Eventually(t, "an ejection", func() bool { ask(); return lb.metric(ejections) == "1" })
	holding.Store(true)

	var clients sync.WaitGroup
	done := make(chan struct{})
	for range 16 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					lb.get("/")
				}
			}
		})
	}
	for i, response := range []string{busy, lbtest.OK("well again")} {
		lbtest.Eventually(t, "a trial", func() bool { return now.Load() == 1 })
		before := good.served.Load()
		lbtest.Eventually(t, "300 requests by the other", func() bool { return good.served.Load() > before+300 })
		if n := most.Load(); n != 1 {
			t.Errorf("trial %d: %d requests at a time", i, n)
		}
		responses <- response
	}
	lbtest.Eventually(t, "more than one request at a time", func() bool { return now.Load() > 1 })
	if got := lb.metric(ejections); got != "2" {
		t.Errorf("%s ejections, want one more for the trial that failed", got)
	}
	close(done)
	close(responses) // waiting requests get nothing, and lb retries on the other backend
	bad.Kill()
	clients.Wait()
}

// TestPassedCheckEndsEjection: a passed check ends an ejection before its time.
func TestPassedCheckEndsEjection(t *testing.T) {
	bad, good := apply(t, func(string) string { return busy }), apply(t, fine)
	lb := start(t, proxyTo(quickly+"  eject {\n    failures = 3\n    duration = \"1h\"\n  }\n", bad.Addr, good.Addr))
	ejections := `lb_backend_ejections_total{pool="app",backend="` + bad.Addr + `"}`
	lbtest.Eventually(t, "an ejection", func() bool { lb.get("/"); return lb.metric(ejections) != "0" })
	lb.wantMetric(`lb_backend_up{pool="app",backend="`+bad.Addr+`"}`, "1")
	if !strings.Contains(lb.read("lb.log"), `from=ejected to=up reason="probe passed"`) {
		t.Errorf("no line on the end of the ejection:\n%s", lb.read("lb.log"))
	}
}

// TestPanic: with too few usable backends all are used. With none, the response is 503 at once.
func TestPanic(t *testing.T) {
	t.Parallel()
	var all []*application
	var addresses []string
	for range 4 {
		a := apply(t, fine)
		all, addresses = append(all, a), append(addresses, a.Addr)
	}
	lb := start(t, proxyTo(quickly+"  panic_threshold = 0.5\n", addresses...))
	lb.wantMetric(`lb_pool_backends{pool="app",state="up"}`, "4")
	for _, a := range all[:3] {
		a.healthy.Store(false)
	}
	lb.wantMetric(`lb_pool_panic{pool="app"}`, "1")
	for range 8 {
		if r := lb.get("/"); r.Status() != 200 {
			t.Fatalf("status %d in panic", r.Status())
		}
	}
	for i, a := range all {
		if n := a.served.Load(); n != 2 {
			t.Errorf("backend %d served %d of 8 in panic, want 2", i, n)
		}
	}
	all[3].healthy.Store(false)
	lb.wantMetric(`lb_pool_backends{pool="app",state="down"}`, "4")
	if r := lb.get("/"); r.Status() != 503 || r.Field("Retry-After") == "" {
		t.Errorf("none usable: status %d, Retry-After %q", r.Status(), r.Field("Retry-After"))
	}
	if got := lb.metric(`lb_pool_panic{pool="app"}`); got != "0" {
		t.Errorf("lb_pool_panic %s with none usable", got)
	}
	all[0].healthy.Store(true)
	lb.wantMetric(`lb_pool_panic{pool="app"}`, "1")
	if r := lb.get("/"); r.Status() != 200 {
		t.Errorf("status %d in panic again", r.Status())
	}
}

// TestSlowStart: after maintenance a backend gets an eleventh of the requests, a tenth of what the other one gets. At the start
// both had half.
func TestSlowStart(t *testing.T) {
	a, b := apply(t, fine), apply(t, fine)
	lb := start(t, proxyTo(atDemand+"  slow_start = \"1h\"\n", a.Addr, b.Addr))
	lb.wantMetric(`lb_pool_backends{pool="app",state="up"}`, "2")
	ask := func(requests int) (forA int64) {
		before := a.served.Load()
		c := lb.dial()
		defer c.Close()
		for range requests {
			c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if r := c.ReadResponse("GET"); r.Status() != 200 {
				t.Fatalf("status %d", r.Status())
			}
		}
		return a.served.Load() - before
	}
	if got := ask(110); got != 55 {
		t.Errorf("%d of 110 at the start, want half", got)
	}
	path := "/api/v1/pools/app/backends/" + a.Addr
	lb.put(path, `{"admin":"maint"}`)
	lb.put(path, `{"admin":"ready"}`)
	lb.wantMetric(`lb_pool_backends{pool="app",state="up"}`, "2")
	if got := ask(110); got != 10 {
		t.Errorf("%d of 110 after maintenance, want 10", got)
	}
	if _, body := lb.askAdmin("GET", path); !strings.Contains(body, `"slow_start_percent":10,`) {
		t.Errorf("status %s", body)
	}
}

// TestFlapping: a backend whose checks pass every other time is reported once as flapping, and then stays down, since it needs two
// passes in a row.
func TestFlapping(t *testing.T) {
	var checks atomic.Int64
	odd := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if head, _ := c.ReadRequest(); head != "" && checks.Add(1)%2 == 0 {
			c.Send(lbtest.OK("healthy"))
		} else {
			c.Send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
		}
	})
	lb := start(t, proxyTo(strings.Replace(quickly, "  }\n", "    rise = 1\n    fall = 1\n  }\n", 1), odd.Addr))
	path := "/api/v1/pools/app/backends/" + odd.Addr
	lbtest.Eventually(t, "flapping", func() bool { return strings.Contains(lb.admin("GET", path), `"flapping":true`) })
	lb.wantMetric(`lb_backend_up{pool="app",backend="`+odd.Addr+`"}`, "0")
	seen := checks.Load()
	lbtest.Eventually(t, "20 more checks", func() bool { return checks.Load() > seen+20 })
	log := lb.read("lb.log")
	if n := strings.Count(log, "to=flapping"); n != 1 {
		t.Errorf("reported %d times:\n%s", n, log)
	}
	if n := strings.Count(log, "from=down to=up") + strings.Count(log, "from=up to=down"); n != 5 {
		t.Errorf("%d changes logged, want the five that came before:\n%s", n, log)
	}
	if got := lb.metric(`lb_backend_up{pool="app",backend="` + odd.Addr + `"}`); got != "0" {
		t.Error("up again after passes that were not in a row")
	}
}
