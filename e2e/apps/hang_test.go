//go:build e2e

package apps

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHang: one of three backends stops responding while its connections stay open. Requests that wait for it get 504
// after timeouts.response, as it may be at work; after the checks have noticed, no more requests do. How many wait until
// then depends on the algorithm.
func TestHang(t *testing.T) {
	const perSecond = 300
	waited := map[string]int{}
	for _, balance := range []string{"round_robin", "least_conn", "peak_ewma"} {
		addresses := freePorts(t, 3)
		var last *process
		for _, a := range addresses {
			last = startWorker(t, a)
		}
		lb := startLB(t, t.TempDir(), workers(addresses, "", "  balance = \""+balance+"\"\n  timeouts {\n    response = \"2s\"\n  }\n"+
			"  health {\n    path          = \"/healthz\"\n    interval      = \"1s\"\n    fast_interval = \"200ms\"\n    timeout       = \"500ms\"\n  }\n"))
		up := func(n float64) func() bool { return func() bool { return lb.metric("lb_backend_up{") == n } }
		eventually(t, "all are up", up(3))
		load := newPaced(lb.url)
		load.add(512, perSecond, true, "GET", "/work?ms=10")
		eventually(t, "a load", func() bool { return load.served.Load() > perSecond })

		if err := last.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stopped := time.Now()
		eventually(t, "the one that hangs is not used", up(2))
		noticed := time.Now()
		eventually(t, "the waiting requests have their responses", func() bool {
			return time.Since(noticed) > 2*time.Second && lb.metric(`lb_backend_in_flight{pool="app",backend="`+addresses[2]) == 0
		})
		if err := last.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is used again", up(3))
		n := load.served.Load()
		eventually(t, "more requests", func() bool { return load.served.Load() > n+perSecond })
		for _, s := range load.stop() {
			if s.err == nil {
				continue
			}
			waited[balance]++
			if !strings.HasPrefix(s.err.Error(), "status 504") || s.start.After(noticed) || s.took < 2*time.Second {
				t.Errorf("%s: %v, asked %v after the stop, which was noticed after %v, response after %v",
					balance, s.err, s.start.Sub(stopped), noticed.Sub(stopped), s.took)
			}
		}
		t.Logf("%s: at %d requests a second %d got 504; unused after %v",
			balance, perSecond, waited[balance], noticed.Sub(stopped).Round(10*time.Millisecond))
	}
	if waited["least_conn"] >= waited["round_robin"] {
		t.Errorf("least_conn sent as many to a hanging backend as round_robin: %v", waited)
	}
}
