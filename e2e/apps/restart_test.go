//go:build e2e

package apps

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// restarted are applications whose only replica restarts, each with its requests a second.
var restarted = map[string]struct {
	perSecond int
	start     func(t *testing.T, address string) *process
}{
	"gunicorn": {150, func(t *testing.T, address string) *process {
		needModules(t, "flask", "gunicorn")
		dir := filepath.Join(root, "e2e/apps/testdata/wsgi")
		return launch(t, []string{"PYTHONDONTWRITEBYTECODE=1"}, python, "-m", "gunicorn", "--chdir", dir, "-k", "gthread", "--threads", "8",
			"-b", address, "restart:app")
	}},
	"node": {500, func(t *testing.T, address string) *process { return apps["node"](t, address) }},
}

// outage measures how long an address refuses connections.
func outage(address string) (stop func() time.Duration) {
	end, done := make(chan struct{}), make(chan struct{})
	var first, last time.Time
	go func() {
		defer close(done)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-end:
				tick.Stop()
				return
			case <-tick.C:
			}
			c, err := net.Dial("tcp", address)
			if err == nil {
				c.Close()
				continue
			}
			if last = time.Now(); first.IsZero() {
				first = last
			}
		}
	}()
	return func() time.Duration { close(end); <-done; return last.Sub(first) }
}

// TestRestart: the only replica of an application is restarted under load, with default settings, with checks and without.
// No request fails, except for POSTs that were in flight when it ended.
func TestRestart(t *testing.T) {
	for name, app := range restarted {
		for how, pool := range map[string]string{"defaults": "", "checks": "  health {}\n"} {
			t.Run(name+"/"+how, func(t *testing.T) { restart(t, app.perSecond, app.start, pool) })
		}
	}
}

func restart(t *testing.T, perSecond int, run func(t *testing.T, address string) *process, pool string) {
	addresses := freePorts(t, 1)
	app := run(t, addresses[0])
	lb := startLB(t, t.TempDir(), workers(addresses, "", pool))
	works := func() bool { status, _ := get(lb.url + "/"); return status == 200 }
	eventually(t, "a response", works)
	// Requests need not wait longer than while_down, and how long a start takes depends on the machine.
	const long = 900 * time.Millisecond
	for attempt := 1; ; attempt++ {
		load := newPaced(lb.url)
		load.add(2*perSecond/3, 2*perSecond/3, true, "GET", "/") // as many clients as requests a second, so that none waits for another
		load.add(perSecond/3, perSecond/3, true, "POST", "/")
		eventually(t, "some requests", func() bool { return load.served.Load() > int64(perSecond) })
		measured := outage(addresses[0])
		signalled := time.Now()
		if err := app.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		app.exits(t)
		ended := time.Now()
		app = run(t, addresses[0])
		eventually(t, "it is back", works)
		before := load.served.Load()
		eventually(t, "more requests", func() bool { return load.served.Load() > before+int64(perSecond) })
		away, shots := measured(), load.stop()
		if away > long && attempt < 6 {
			t.Logf("it was away for %v: once more", away)
			continue
		}
		lost := 0
		for _, s := range shots {
			switch {
			case s.err == nil:
			case s.method == "POST" && s.start.Before(ended) && s.end().After(signalled):
				lost++
			case away > long:
				t.Skipf("the application needs %v to start here", away)
			default:
				t.Errorf("a %s failed that began %v after the signal: %v", s.method, s.start.Sub(signalled), s.err)
			}
		}
		waited := between(shots, ended, ended.Add(away))
		t.Logf("%d requests, away for %v; %d POSTs in flight at the end were lost; the slowest of those that came then took %v", len(shots),
			away.Round(time.Millisecond), lost, quantile(waited, 1).Round(time.Millisecond))
		return
	}
}
