//go:build e2e

package apps

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRollingDeployment: each backend in turn is drained, killed and restarted, and the pool grows and shrinks by
// its file, without a failed request of any method.
func TestRollingDeployment(t *testing.T) {
	addresses := freePorts(t, 4)
	running := map[string]*process{}
	for _, a := range addresses {
		running[a] = startWorker(t, a)
	}
	dir := t.TempDir()
	publish := func(members []string) {
		t.Helper()
		write(t, dir, "app.backends.new", strings.Join(members, "\n")+"\n")
		if err := os.Rename(filepath.Join(dir, "app.backends.new"), filepath.Join(dir, "app.backends")); err != nil {
			t.Fatal(err)
		}
	}
	publish(addresses[:3])
	lb := startLB(t, dir, workers(nil, "", "  discover \"file\" {\n    path = \"DIR/app.backends\"\n  }\n"+
		"  health {\n    path          = \"/healthz\"\n    fast_interval = \"100ms\"\n  }\n"))
	up := func(n float64) {
		t.Helper()
		eventually(t, "the expected number is usable", func() bool { return lb.metric("lb_backend_up{") == n })
	}
	order := func(what, address string) {
		t.Helper()
		if status, out := command(t, what, "-admin", lb.admin, "app/"+address); status != 0 {
			t.Fatalf("%s: exit %d\n%s", what, status, out)
		}
	}
	idle := func(address string) {
		t.Helper()
		eventually(t, "nothing is in flight on "+address, func() bool {
			return lb.metric(`lb_backend_in_flight{pool="app",backend="`+address) == 0
		})
	}
	up(3)
	load := newPaced(lb.url)
	load.add(24, 300, true, "GET", "/work?ms=20")
	load.add(16, 200, false, "POST", "/work?ms=20")
	served := func() {
		t.Helper()
		n := load.served.Load()
		eventually(t, "more requests", func() bool { return load.served.Load() > n+200 })
	}
	served()
	for _, a := range addresses[:3] {
		order("drain", a)
		idle(a)
		running[a].kill()
		served()
		running[a] = startWorker(t, a)
		order("ready", a)
		up(3)
	}
	for range 3 {
		publish(addresses)
		up(4)
		served()
		publish(addresses[1:])
		up(3)
		served() // by then all its requests have ended
		running[addresses[0]].kill()
		served()
		running[addresses[0]] = startWorker(t, addresses[0])
	}
	shots := load.stop()
	for _, s := range shots {
		if s.err != nil {
			t.Errorf("a %s failed: %v", s.method, s.err)
		}
	}
	t.Logf("%d requests during 3 replacements and 6 changes of the pool's size, p99 %v", len(shots), quantile(shots, 0.99))
}
