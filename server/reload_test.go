package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// TestReloadKeepsWhatStays: connections, counters and state of an unchanged backend, a request in flight and an upgraded
// connection survive a reload.
func TestReloadKeepsWhatStays(t *testing.T) {
	release := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			switch {
			case head == "":
				return
			case strings.Contains(head, "Upgrade"):
				c.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
				line := make([]byte, 4)
				_, _ = c.Read(line)
				c.Send("pong")
				return
			case strings.HasPrefix(head, "GET /slow"):
				<-release
			}
			c.Send(lbtest.OK("x"))
		}
	})
	text := proxyTo("  health {\n    type = \"tcp\"\n  }\n  timeouts {\n    connect = \"2s\"\n  }\n  keepalive {\n    max_idle = 7\n  }\n", b.Addr)
	lb := start(t, text)
	lb.wantMetric(`lb_backend_up{pool="app",backend="`+b.Addr+`"}`, "1")
	kept := lb.dial()
	kept.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	kept.ReadResponse("GET")
	upgraded := lb.dial()
	upgraded.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	if r := upgraded.ReadResponse("GET"); r.Status() != 101 {
		t.Fatalf("handshake %q", r.Head)
	}
	slow := lb.dial()
	slow.Send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "2")

	opened := `lb_backend_connections_total{pool="app",backend="` + b.Addr + `",result="opened"}`
	before := lb.metric(opened)
	other := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("other")))
	for i := range 5 {
		more := ""
		if i%2 == 0 {
			more = "  backend \"" + other.Addr + "\" {}\n"
		}
		if err := lb.reload(strings.Replace(text, "pool \"app\" {\n", "pool \"app\" {\n"+more, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if got := lb.metric(`lb_backend_up{pool="app",backend="` + b.Addr + `"}`); got != "1" {
		t.Errorf("the state was forgotten: up is %q", got)
	}
	if got := lb.metric(opened); got != before || got == "" {
		t.Errorf("the backend's counter went from %q to %q", before, got)
	}
	if got := lb.metric(`lb_requests_total{site="s",code="200"}`); got != "1" {
		t.Errorf("the counter stands at %q, want 1", got)
	}
	close(release)
	if r := slow.ReadResponse("GET"); r.Status() != 200 {
		t.Errorf("the request in flight ended with %d", r.Status())
	}
	upgraded.Send("ping")
	if got, _ := upgraded.Ended(); got != "pong" {
		t.Errorf("the upgraded connection read %q", got)
	}
	kept.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if r := kept.ReadResponse("GET"); r.Status() != 200 {
		t.Errorf("the kept connection: %d", r.Status())
	}
}

// TestReloadWithErrorsChangesNothing: each of these configurations is rejected with a reason and changes nothing.
func TestReloadWithErrorsChangesNothing(t *testing.T) {
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("old")))
	occupied := lbtest.NewBackend(t, func(*lbtest.Conn) {})
	text := proxyTo("", b.Addr)
	lb := start(t, text)
	address := lb.addr()
	for what, broken := range map[string]string{
		"balence":        strings.Replace(text, "pool \"app\" {", "pool \"app\" {\n  balence = \"first\"", 1),
		"ERROR":          "site {",
		"already in use": "listen \"" + occupied.Addr + "\" {}\n" + strings.ReplaceAll(text, b.Addr, "127.0.0.1:1"),
		"admin address":  "admin {\n  listen = \"" + occupied.Addr + "\"\n}\n" + strings.ReplaceAll(text, b.Addr, "127.0.0.1:1"),
		"no-such-folder": strings.Replace(text, "  route \"/\" {", "  route \"/f/\" {\n    static {\n      root = \"$DIR/no-such-folder\"\n    }\n  }\n  route \"/\" {", 1),
		"no/such":        "access_log {\n  file = \"$DIR/no/such/folder.log\"\n}\n" + text,
	} {
		err := lb.reload(broken)
		if err == nil {
			t.Errorf("%s: accepted", what)
			continue
		}
		if what != "ERROR" && !strings.Contains(err.Error(), what) {
			t.Errorf("the error does not say %q: %v", what, err)
		}
		if r := lbtest.Get(t, address, "/"); r.Body != "old" {
			t.Errorf("%s: afterwards %d %q", what, r.Status(), r.Body)
		}
		if !strings.Contains(lb.admin("GET", "/healthz"), "ok") {
			t.Errorf("%s: the admin listener has closed", what)
		}
	}
	if got := lb.metric(`lb_config_reloads_total{result="failure"}`); got != "6" {
		t.Errorf("%s failures counted, want 6", got)
	}
}

// TestReloadMovesListenersAndPools: new ones are in use, removed ones are closed, and their series are removed.
func TestReloadMovesListenersAndPools(t *testing.T) {
	a, b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("a"))), lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("b")))
	lb := start(t, proxyTo("", a.Addr))
	old := lb.addr()
	if r := lb.get("/"); r.Body != "a" {
		t.Fatalf("before: %q", r.Body)
	}
	second := freeAddresses(t, 1)[0]
	text := "listen \"" + second + "\" {}\n" + strings.ReplaceAll(proxyTo("", b.Addr), "\"app\"", "\"web\"")
	if err := lb.reload(text); err != nil {
		t.Fatal(err)
	}
	if r := lbtest.Get(t, second, "/"); r.Body != "b" {
		t.Errorf("the new listener: %d %q", r.Status(), r.Body)
	}
	lbtest.Eventually(t, "the old listener's end", func() bool {
		return !strings.Contains(lb.admin("GET", "/metrics"), `listener="127.0.0.1:0"`)
	})
	lbtest.Eventually(t, "the end of the old pool's series", func() bool {
		return !strings.Contains(lb.admin("GET", "/metrics"), `pool="app"`)
	})
	_ = old
}

// TestReloadUnderLoad: clients are not affected by reloads.
func TestReloadUnderLoad(t *testing.T) {
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	text := proxyTo("", b.Addr)
	lb := start(t, text)
	var stop atomic.Bool
	var group sync.WaitGroup
	var served, failed atomic.Int64
	for i := range 4 {
		group.Go(func() {
			c := lb.dial()
			for !stop.Load() {
				if i%2 == 0 { // half of the clients reconnect each time
					c.Close()
					c = lb.dial()
				}
				c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				r := c.ReadResponse("GET")
				if r.Status() != 200 || r.Body != "x" {
					failed.Add(1)
					return
				}
				if r.Field("Connection") == "close" {
					c.Close()
					c = lb.dial()
				}
				served.Add(1)
			}
		})
	}
	for i := range 30 {
		served.Store(0)
		change := fmt.Sprintf("limits {\n  idle_timeout = \"%ds\"\n  header_size = \"%dKiB\"\n}\n", 10+i, 16+i)
		if err := lb.reload(change + text); err != nil {
			t.Error(err)
		}
		lbtest.Eventually(t, "responses between reloads", func() bool { return served.Load() > 20 || failed.Load() > 0 })
	}
	stop.Store(true)
	group.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d clients met an error", failed.Load())
	}
}

// TestStop: requests in flight complete, with Connection: close; new ones are not accepted.
func TestStop(t *testing.T) {
	release := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadRequest()
		<-release
		c.Send(lbtest.OK("late"))
	})
	lb := start(t, "shutdown {\n  grace = \"20s\"\n}\n"+proxyTo("", b.Addr))
	c, idle := lb.dial(), lb.dial()
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "1")
	address := lb.addr()
	stopped := make(chan error, 1)
	go func() { stopped <- lb.Stop(context.Background()) }()
	if rest, _ := idle.Ended(); rest != "" {
		t.Errorf("the silent connection read %q", rest)
	}
	if lb.Ready() {
		t.Error("still ready")
	}
	if nc := lbtest.TryDial(address); nc != nil {
		t.Error("still listening")
		nc.Close()
	}
	close(release)
	if r := c.ReadResponse("GET"); r.Body != "late" || r.Field("Connection") != "close" {
		t.Errorf("the request in flight: %q %q", r.Head, r.Body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
