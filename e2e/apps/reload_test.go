//go:build e2e

package apps

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// reloadPlan is the extent of TestReload.
type reloadPlan struct {
	reloads               int
	every                 time.Duration
	kept, fresh, perFresh int // clients, and requests a second of those on new connections
	perKept               int
}

// TestReload: the configuration changes again and again under a load without retries. No request fails, long-lived
// connections stay open, and the states of the backends are kept. LB_LONG=1 takes longer.
func TestReload(t *testing.T) {
	plan := reloadPlan{reloads: 42, every: 350 * time.Millisecond, kept: 24, perKept: 600, fresh: 8, perFresh: 100}
	if os.Getenv("LB_LONG") != "" {
		plan = reloadPlan{reloads: 102, every: 1500 * time.Millisecond, kept: 64, perKept: 2000, fresh: 24, perFresh: 300}
	}
	f := startReloads(t)
	before := f.state()
	upgraded, events := f.hold("/upgrade"), f.hold("/events")
	load := newPaced(f.lb.url)
	load.add(plan.kept, plan.perKept, true, "GET", "/work")
	load.add(plan.fresh, plan.perFresh, false, "POST", "/work")
	eventually(t, "a load", func() bool { return load.served.Load() > 200 })

	tick := time.NewTicker(plan.every)
	defer tick.Stop()
	began := time.Now()
	for i := range plan.reloads {
		<-tick.C
		f.step(i)
		if now := f.state(); now != before {
			t.Fatalf("reload %d: lb knew\n%s\nand now\n%s", i, before, now)
		}
		f.countersGrow()
	}
	lasted := time.Since(began)
	shots := load.stop()
	var failed, fresh int
	for _, s := range shots {
		if s.method == http.MethodPost {
			fresh++
		}
		if s.err != nil {
			if failed++; failed < 5 {
				t.Errorf("a %s failed: %v", s.method, s.err)
			}
		}
	}
	upgraded.goesOn(t, "the upgraded connection")
	events.goesOn(t, "the stream of events")
	if counted, want := f.lb.metric(`lb_requests_total{site="s"`), float64(len(shots)+f.asked); counted != want {
		t.Errorf("lb counted %v requests instead of %v", counted, want)
	}
	t.Logf("%d reloads in %.0f s, a seventh of them of a broken file; %d requests, %.0f a second, %d of them on new connections; %d failed; median %v, p99 %v",
		plan.reloads, lasted.Seconds(), len(shots), float64(len(shots))/lasted.Seconds(), fresh, failed,
		quantile(shots, 0.5).Round(10*time.Microsecond), quantile(shots, 0.99).Round(10*time.Microsecond))
}

// reloads is the balancer that TestReload reloads. Its pool "app" has three backends that work and one that
// is down, its pool "sick" one that was ejected.
type reloads struct {
	t        *testing.T
	lb       *balancer
	workers  []string // the fourth is added and removed
	down     string
	refusing string
	listener string // added and removed
	counters [2]float64
	asked    int // responses that get received
}

// get sends a request to lb and counts the response.
func (f *reloads) get(url string) (status int, body string) {
	if status, body = get(url); status != 0 {
		f.asked++
	}
	return status, body
}

func startReloads(t *testing.T) *reloads {
	ports := freePorts(t, 7)
	f := &reloads{t: t, workers: ports[:4], down: ports[4], refusing: ports[5], listener: ports[6]}
	for _, a := range f.workers {
		startWorker(t, a)
	}
	f.lb = startLB(t, t.TempDir(), f.text(0))
	eventually(t, "three are up, one is down", func() bool {
		return strings.Count(f.state(), "active=up") == 3+3 && strings.Contains(f.state(), "active=down")
	})
	eventually(t, "one is ejected", func() bool {
		f.get(f.lb.url + "/sick")
		return strings.Contains(f.state(), "passive=ejected")
	})
	for path, change := range map[string]string{f.workers[1]: `{"weight":7}`, f.down: `{"admin":"drain"}`} {
		request, _ := http.NewRequest("PUT", "http://"+f.lb.admin+"/api/v1/pools/app/backends/"+path, strings.NewReader(change))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	return f
}

// changes is how many kinds of reload there are; the last is of a broken file.
const changes = 7

// text is the configuration before (0), or after, a kind of change.
func (f *reloads) text(change int) string {
	addresses := append(append([]string{}, f.workers[:3]...), f.down)
	backend, pool, route, listener := "", "  health {\n    path = \"/healthz\"\n  }\n", "", ""
	switch change {
	case 1:
		addresses = append(addresses, f.workers[3])
	case 2:
		backend = "    weight = 3\n"
	case 3:
		route = "  route \"/new/\" {\n    respond {\n      body = \"new\"\n    }\n  }\n"
	case 4:
		listener = "listen \"" + f.listener + "\" {}\n"
	case 5:
		pool += "  balance = \"least_conn\"\n  retry {\n    attempts = 1\n  }\n"
	}
	text := listener + workers(addresses, backend, pool)
	text = strings.Replace(text, "  route \"/\" {", route+"  route \"= /sick\" {\n    proxy {\n      pool = \"sick\"\n    }\n  }\n  route \"/\" {", 1)
	text += "pool \"sick\" {\n  balance = \"first\"\n  backend \"" + f.refusing + "\" {}\n  backend \"" + f.workers[0] + "\" {}\n  backend \"" + f.workers[1] +
		"\" {}\n  eject {\n    duration = \"10m\"\n  }\n}\n"
	if change == changes-1 {
		text = strings.Replace(text, "backend ", "backnd ", 1)
	}
	return text
}

// step makes the next change and checks its effect.
func (f *reloads) step(i int) {
	f.t.Helper()
	change := i % changes
	broken := change == changes-1
	_, config := get("http://" + f.lb.admin + "/api/v1/config")
	f.lb.configure(f.t, f.text(change))
	status, out := command(f.t, "reload", "-admin", f.lb.admin)
	if broken {
		if status != 1 || !strings.Contains(out, `did you mean "backend"`) && !strings.Contains(out, `Did you mean "backend"`) {
			f.t.Errorf("reload of a broken file: exit %d\n%s", status, out)
		}
		if _, now := get("http://" + f.lb.admin + "/api/v1/config"); now != config {
			f.t.Errorf("a refused reload changed the configuration:\n%s\n%s", config, now)
		}
		return
	}
	if status != 0 {
		f.t.Errorf("reload %d: exit %d\n%s", i, status, out)
	}
	if _, body := f.get(f.lb.url + "/new/"); (body == "new") != (change == 3) {
		f.t.Errorf("change %d: /new/ responds with %q", change, body)
	}
	// A removed listener accepts for some milliseconds the connections that the kernel has queued.
	eventually(f.t, "the changing listener is as configured", func() bool {
		status, _ := f.get("http://" + f.listener + "/sick")
		return (status != 0) == (change == 4)
	})
}

// state returns the states of the backends that are never removed, and since when they have them.
func (f *reloads) state() string {
	var pools []struct {
		Name     string
		Backends []struct {
			Address, Active, Passive, Admin string
			Weight                          int
			Configured                      int                       `json:"configured_weight"`
			Change                          *struct{ Time time.Time } `json:"last_change"`
		}
	}
	_, text := get("http://" + f.lb.admin + "/api/v1/pools")
	if err := json.Unmarshal([]byte(text), &pools); err != nil {
		f.t.Fatalf("%v: %s", err, text)
	}
	var s strings.Builder
	for _, p := range pools {
		for _, b := range p.Backends {
			if b.Address == f.workers[3] {
				continue
			}
			override := 0
			if b.Configured != 0 {
				override = b.Weight
			}
			since := ""
			if b.Change != nil {
				since = b.Change.Time.Format(time.RFC3339Nano)
			}
			fmt.Fprintf(&s, "%s %s active=%s passive=%s admin=%s weight=%d since %s\n", p.Name, b.Address, b.Active, b.Passive, b.Admin, override, since)
		}
	}
	return s.String()
}

// countersGrow checks that no counter decreases.
func (f *reloads) countersGrow() {
	f.t.Helper()
	now := [2]float64{f.lb.metric("lb_requests_total{"), f.lb.metric(`lb_backend_requests_total{pool="app",backend="` + f.workers[0])}
	for i := range now {
		if now[i] < f.counters[i] || now[i] == 0 {
			f.t.Errorf("a counter decreased from %v to %v", f.counters[i], now[i])
		}
	}
	f.counters = now
}

// held is a long-lived connection.
type held struct {
	conn  net.Conn
	lines atomic.Int64
	wrong atomic.Pointer[string]
}

// hold opens a long-lived connection and checks each line that it receives.
func (f *reloads) hold(path string) *held {
	f.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.lb.url, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	h, r := &held{conn: conn}, bufio.NewReader(conn)
	upgrade := path == "/upgrade"
	fields := ""
	if upgrade {
		fields = "Connection: Upgrade\r\nUpgrade: lines\r\n"
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, fields)
	response, err := http.ReadResponse(r, &http.Request{Method: "GET"})
	if err != nil || response.StatusCode != 200 && !upgrade || upgrade && response.StatusCode != 101 {
		f.t.Fatalf("%s: %v %v", path, response, err)
	}
	lines := bufio.NewScanner(response.Body)
	if upgrade {
		lines = bufio.NewScanner(r)
	}
	done := make(chan struct{})
	f.t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			want := fmt.Sprintf("data: %d", i)
			if upgrade {
				fmt.Fprintln(conn, want)
			}
			if !lines.Scan() || lines.Text() != want {
				text := fmt.Sprintf("instead of %q: %q, %v", want, lines.Text(), lines.Err())
				h.wrong.Store(&text)
				return
			}
			if !upgrade {
				lines.Scan() // the blank line after an event
			}
			h.lines.Add(1)
			if upgrade {
				time.Sleep(10 * time.Millisecond) // between two requests
			}
		}
	}()
	return h
}

// goesOn checks that nothing has been lost so far and that more lines arrive.
func (h *held) goesOn(t *testing.T, what string) {
	t.Helper()
	n := h.lines.Load()
	eventually(t, "more on "+what, func() bool { return h.lines.Load() > n+5 || h.wrong.Load() != nil })
	if wrong := h.wrong.Load(); wrong != nil {
		t.Errorf("%s after %d lines: %s", what, h.lines.Load(), *wrong)
	}
	t.Logf("%s: %d lines", what, h.lines.Load())
}
