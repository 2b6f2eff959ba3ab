//go:build e2e

package apps

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// metric returns the sum of the series with that prefix.
func (b *balancer) metric(prefix string) (sum float64) {
	_, text := get("http://" + b.admin + "/metrics")
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, prefix) {
			v, _ := strconv.ParseFloat(strings.TrimSpace(l[strings.LastIndexByte(l, ' '):]), 64)
			sum += v
		}
	}
	return sum
}

// workers returns a configuration with a pool of these backends.
func workers(addresses []string, backend, pool string) string {
	text := "listen \"LISTEN\" {}\nadmin {\n  listen = \"ADMIN\"\n}\naccess_log {\n  format = \"off\"\n}\n" +
		"site \"s\" {\n  route \"/\" {\n    proxy {\n      pool = \"app\"\n    }\n  }\n}\npool \"app\" {\n"
	for _, a := range addresses {
		text += "  backend \"" + a + "\" {\n" + backend + "  }\n"
	}
	return text + pool + "}\n"
}

// TestKill: one of three backends dies at about a thousand requests a second. No GET fails, and no POST other than those
// in flight; the dead backend soon gets no more requests, and is used again without a failure after its restart.
func TestKill(t *testing.T) {
	addresses := freePorts(t, 3)
	var last *process
	for _, a := range addresses {
		last = startWorker(t, a)
	}
	victim := addresses[2]
	lb := startLB(t, t.TempDir(), workers(addresses, "", "  health {\n    path = \"/healthz\"\n  }\n  eject {\n    failures = 3\n  }\n"))
	up := func(n float64) func() bool { return func() bool { return lb.metric("lb_backend_up{") == n } }
	eventually(t, "all are up", up(3))
	load := newPaced(lb.url)
	load.add(32, 600, true, "GET", "/work?ms=10")
	load.add(16, 200, true, "POST", "/work?ms=10")
	load.add(8, 100, false, "GET", "/work?ms=10")
	load.add(8, 100, false, "POST", "/work?ms=10")
	more := func(n int64) {
		t.Helper()
		n += load.served.Load()
		eventually(t, "more requests", func() bool { return load.served.Load() > n })
	}
	more(1500)

	killing := time.Now()
	last.kill()
	killed := time.Now()
	eventually(t, "the dead one is not used", up(2))
	noticed := time.Now()
	series := `{pool="app",backend="` + victim + `",reason="`
	more(100) // requests in flight have ended
	resets, refusals := lb.metric("lb_backend_errors_total"+series+"reset"), lb.metric("lb_backend_errors_total"+series+"connect")
	more(1500)
	if now := lb.metric("lb_backend_errors_total" + series); now != resets+refusals {
		t.Errorf("requests were still sent to the killed one: %v failures, then %v", resets+refusals, now)
	}

	returning := time.Now()
	startWorker(t, victim)
	eventually(t, "it is used again", up(3))
	returned := time.Now()
	more(2000)
	shots := load.stop()

	posts, postsInFlight, inFlight := 0, 0, 0 // with all three backends
	for _, s := range shots {
		if s.start.Before(killed) && s.end().After(killing) {
			inFlight++
			if s.method == "POST" {
				postsInFlight++
			}
		}
		switch {
		case s.err == nil:
		case s.method == "GET":
			t.Errorf("a GET failed: %v", s.err)
		case s.start.Before(killed):
			posts++
		default:
			t.Errorf("a POST failed that began %v after the death: %v", s.start.Sub(killed), s.err)
		}
	}
	if posts > postsInFlight {
		t.Errorf("%d POSTs failed, %d were in flight", posts, postsInFlight)
	}
	// Three failures in a row eject it; all requests in flight to it by then have failed too.
	if int(resets+refusals) > inFlight+3 {
		t.Errorf("%v requests were sent to the dead one, with %d in flight", resets+refusals, inFlight)
	}
	before, after := between(shots, shots[0].start, killing), between(shots, returned, time.Now())
	share := 0
	for _, s := range after {
		if s.worker == victim {
			share++
		}
	}
	if share*5 < len(after) || share*2 > len(after) {
		t.Errorf("it served %d of %d requests after its return", share, len(after))
	}
	t.Logf("%d requests, %.0f a second; %d in flight at the death, %d POSTs among them, %d of which failed; the dead one reset %v, refused %v, unused after %v",
		len(shots), float64(len(shots))/time.Since(shots[0].start).Seconds(), inFlight, postsInFlight, posts, resets, refusals, noticed.Sub(killed).Round(time.Millisecond))
	for _, phase := range []struct {
		name  string
		shots []shot
	}{{"before", before}, {"death", between(shots, killing, killing.Add(time.Second))}, {"return", between(shots, returning, returned.Add(time.Second))}, {"after", after}} {
		t.Logf("%-7s %5d requests, median %v, p99 %v", phase.name, len(phase.shots),
			quantile(phase.shots, 0.5).Round(100*time.Microsecond), quantile(phase.shots, 0.99).Round(100*time.Microsecond))
	}
}
