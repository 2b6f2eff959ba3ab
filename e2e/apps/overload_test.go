//go:build e2e

package apps

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestOverload: at three times the capacity of the backends, the pool still gives about as many good responses, in time,
// as at its capacity, and refuses other requests at once. LB_LONG=1 measures for longer.
func TestOverload(t *testing.T) {
	const (
		service  = 40 // milliseconds
		places   = 4  // for each backend
		capacity = 3 * places * 1000 / service
		timeout  = 500 * time.Millisecond
	)
	lasts := 4 * time.Second
	if os.Getenv("LB_LONG") != "" {
		lasts = 20 * time.Second
	}
	addresses := freePorts(t, 3)
	for _, a := range addresses {
		startWorker(t, a)
	}
	lb := startLB(t, t.TempDir(), workers(addresses, "    max_conns = "+strconv.Itoa(places)+"\n",
		"  health {\n    path = \"/healthz\"\n  }\n  queue {\n    limit   = 60\n    timeout = \""+timeout.String()+"\"\n  }\n"))
	eventually(t, "all are up", func() bool { return lb.metric("lb_backend_up{") == 3 })

	peak, last := 0.0, 0.0
	for _, times := range []float64{0.5, 1, 2, 3} {
		load := newPaced(lb.url)
		load.add(256, int(times*capacity), true, "GET", "/work?ms="+strconv.Itoa(service))
		<-time.After(lasts) // to measure a rate
		shots := load.stop()
		from, to := shots[0].start.Add(time.Second), shots[0].start.Add(lasts)
		var good, refused []shot
		served := 0
		for _, s := range shots {
			if s.err == nil {
				good = append(good, s)
				if s.end().After(from) && s.end().Before(to) {
					served++
				}
			} else if strings.HasPrefix(s.err.Error(), "status 503") {
				refused = append(refused, s)
			} else {
				t.Errorf("neither a good response nor 503: %v", s.err)
			}
		}
		last = float64(served) / to.Sub(from).Seconds()
		peak = max(peak, last)
		t.Logf("%.1f times the capacity of %d/s: %.0f good responses a second, median %v, p99 %v; %d of %d refused, p99 %v", times, capacity, last,
			quantile(good, 0.5).Round(time.Millisecond), quantile(good, 0.99).Round(time.Millisecond),
			len(refused), len(shots), quantile(refused, 0.99).Round(time.Millisecond))
	}
	t.Logf("goodput at three times the capacity: %.0f %% of its peak", 100*last/peak)
	if last < 0.7*peak || peak < 0.5*capacity {
		t.Errorf("%.0f good responses a second, %.0f at best, with a capacity of %d", last, peak, capacity)
	}
	eventually(t, "nothing waits or is in flight", func() bool {
		return lb.metric("lb_queue_length{")+lb.metric("lb_backend_in_flight{")+lb.metric("lb_requests_in_flight{") == 0
	})
}

// TestRetryStorm: when every backend responds with 503, retries stay within their budget: a tenth of the requests, or three a second.
// When every backend is dead, requests try each of them once until that is known, and later ones none.
func TestRetryStorm(t *testing.T) {
	const perSecond, clients, lasts = 500, 32, 6 * time.Second
	for _, how := range []string{"busy", "dead"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			addresses := freePorts(t, 3)
			if how == "busy" {
				for _, a := range addresses {
					startWorker(t, a)
				}
			}
			lb := startLB(t, t.TempDir(), workers(addresses, "", ""))
			load := newPaced(lb.url)
			load.add(clients, perSecond, true, "GET", "/work?status=503")
			<-time.After(lasts) // to measure a rate
			shots := load.stop()
			attempts := 0
			for _, a := range addresses {
				if how == "dead" {
					attempts += int(lb.metric(`lb_backend_connections_total{pool="app",backend="` + a + `",result="failed"`))
				} else {
					_, count := get("http://" + a + "/count")
					n, err := strconv.Atoi(count)
					if err != nil {
						t.Fatal(err)
					}
					attempts += n
				}
			}
			seconds := time.Since(shots[0].start).Seconds()
			const atStart = 10 // the budget of a new pool
			most := 1.10*float64(len(shots)) + 3*seconds + atStart
			t.Logf("%d requests, %.0f a second, made %d attempts: %.1f %% more", len(shots), float64(len(shots))/seconds, attempts,
				100*float64(attempts-len(shots))/float64(len(shots)))
			if how == "dead" {
				if attempts > clients*len(addresses) {
					t.Errorf("%d attempts for %d requests at a time", attempts, clients)
				}
			} else {
				if float64(attempts) > most || attempts <= len(shots) {
					t.Errorf("%d attempts for %d requests; between %d and %.0f were expected", attempts, len(shots), len(shots)+1, most)
				}
				if lb.metric("lb_retry_budget_exhausted_total{") == 0 {
					t.Error("the budget was never exhausted")
				}
			}
			for _, s := range shots {
				if s.err == nil || !strings.HasPrefix(s.err.Error(), "status 503") {
					t.Fatalf("an unexpected response: %v", s.err)
				}
			}
		})
	}
}
