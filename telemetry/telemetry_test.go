package telemetry

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scrape(t *testing.T, r *Registry) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WritePrometheus(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// ours are the lines of lb_ series, without those of the process.
func ours(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "lb_") || strings.Contains(line, "# HELP lb_") || strings.Contains(line, "# TYPE lb_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestExposition(t *testing.T) {
	r := NewRegistry()
	b := r.NewScope()
	b.Counter("lb_backend_ejections_total", "pool", "b", "backend", "2").Add(2)
	codes := b.CodeCounters("lb_backend_requests_total", "pool", "b", "backend", "2")
	a := r.NewScope()
	a.Counter("lb_backend_ejections_total", "pool", "a", "backend", "1").Inc()
	a.Gauge("lb_backend_in_flight", func() float64 { return 1.5 }, "pool", "a")
	codes.Inc(200)
	codes.Inc(200)
	codes.Inc(503)
	codes.Inc(-1)
	codes.Inc(1000)
	want := `# HELP lb_backend_ejections_total Ejections of the backend.
# TYPE lb_backend_ejections_total counter
lb_backend_ejections_total{pool="a",backend="1"} 1
lb_backend_ejections_total{pool="b",backend="2"} 2
# HELP lb_backend_in_flight Requests in flight to the backend.
# TYPE lb_backend_in_flight gauge
lb_backend_in_flight{pool="a"} 1.5
# HELP lb_backend_requests_total Responses received from a backend, by exact status.
# TYPE lb_backend_requests_total counter
lb_backend_requests_total{pool="b",backend="2",code="0"} 2
lb_backend_requests_total{pool="b",backend="2",code="200"} 2
lb_backend_requests_total{pool="b",backend="2",code="503"} 1
`
	if got := ours(scrape(t, r)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if codes.Total() != 5 || codes.Count(200) != 2 || codes.Count(-7) != 2 || codes.Count(404) != 0 {
		t.Errorf("total %d, 200: %d, -7: %d", codes.Total(), codes.Count(200), codes.Count(-7))
	}
}

// Series of a backend that left must not stay.
func TestSeriesLeaveWithTheirScope(t *testing.T) {
	r := NewRegistry()
	s := r.NewScope()
	s.Counter("lb_requests_total", "site", "removed").Inc()
	s.Histogram("lb_request_duration_seconds", "site", "removed").Observe(1)
	s.CodeCounters("lb_backend_requests_total", "pool", "removed").Inc(200)
	s.Gauge("lb_queue_length", func() float64 { return 1 }, "pool", "removed")
	if text := scrape(t, r); strings.Count(text, `"removed"`) != 1+len(bounds)+3+1+1 {
		t.Errorf("before: %s", ours(text))
	}
	s.Close()
	s.Close()
	if text := ours(scrape(t, r)); text != "" {
		t.Errorf("after: %s", text)
	}
}

// A draining backend and its successor may have the same address. A scrape with a duplicate series would be rejected
// as a whole, and a counter that decreases looks like a restart.
func TestSeriesOfSeveralScopes(t *testing.T) {
	r := NewRegistry()
	old, young := r.NewScope(), r.NewScope()
	for i, s := range []*Scope{old, young} {
		s.Counter("lb_retries_total", "pool", "a").Add(i + 1)
		s.Counter("lb_retries_total", "pool", "a").Add(10)
		s.Histogram("lb_queue_wait_seconds", "pool", "a").Observe(time.Second)
		s.CodeCounters("lb_requests_total", "site", "a").Inc(200)
		s.Gauge("lb_queue_length", func() float64 { return float64(i) }, "pool", "a")
	}
	check := func(what, gauge string) {
		t.Helper()
		text := scrape(t, r)
		for _, line := range []string{`lb_retries_total{pool="a"} 23`, `lb_queue_wait_seconds_count{pool="a"} 2`,
			`lb_requests_total{site="a",code="200"} 2`, `lb_queue_length{pool="a"} ` + gauge} {
			if strings.Count(text, line+"\n") != 1 {
				t.Errorf("%s: no %s in\n%s", what, line, ours(text))
			}
		}
	}
	check("both", "1")
	young.Close()
	check("the old one only", "0")
	young.Counter("lb_retries_total", "pool", "late").Inc()
	young.CodeCounters("lb_requests_total", "site", "a").Inc(404)
	check("after a count in the closed one", "0")
	old.Close()
	if text := ours(scrape(t, r)); text != "" {
		t.Errorf("left: %s", text)
	}
}

// A closed scope uses no memory, or the series of changing backends would fill it.
func TestClosedScopesLeaveNothing(t *testing.T) {
	r := NewRegistry()
	for i := range 10 {
		s := r.NewScope()
		c := s.CodeCounters("lb_backend_requests_total", "backend", fmt.Sprint(i))
		c.Inc(200)
		s.Histogram("lb_queue_wait_seconds", "pool", fmt.Sprint(i))
		s.Close()
		c.Inc(200)
		c.Inc(404) // a status counted after the end
		if c.Total() != 3 {
			t.Errorf("total %d", c.Total())
		}
	}
	if len(r.scopes)+len(r.counters)+len(r.histograms) != 0 {
		t.Errorf("%d scopes, %d counters, %d histograms left", len(r.scopes), len(r.counters), len(r.histograms))
	}
}

func TestSameNameSameSeries(t *testing.T) {
	s := NewRegistry().NewScope()
	ask := func() (*Counter, *Histogram, *CodeCounters) {
		return s.Counter("lb_x_total", "a", "1"), s.Histogram("lb_x_seconds", "a", "1"), s.CodeCounters("lb_y_total", "a", "1")
	}
	c, h, codes := ask()
	if c2, h2, codes2 := ask(); c != c2 || h != h2 || codes != codes2 {
		t.Error("asking twice makes two")
	}
	s.Gauge("lb_z", func() float64 { return 1 })
	s.Gauge("lb_z", func() float64 { return 2 })
	if text := ours(scrape(t, s.registry)); !strings.Contains(text, "lb_z 2\n") {
		t.Error(text)
	}
}

func TestLabelValues(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{`plain`, `plain`},
		{`qu"ote`, `qu\"ote`},
		{`back\slash`, `back\\slash`},
		{`end\`, `end\\`},
		{`\"`, `\\\"`},
		{"two\nlines", `two\nlines`},
		{`a="b",c`, `a=\"b\",c`},
		{`{x} 1`, `{x} 1`},
		{"\xff", "\ufffd"},
		{"", ""},
		{"[::1]:80", "[::1]:80"},
		{"ünï", "ünï"},
	} {
		r := NewRegistry()
		s := r.NewScope()
		s.Counter("lb_requests_total", "site", c.value).Inc()
		s.CodeCounters("lb_backend_requests_total", "pool", c.value).Inc(200)
		s.Histogram("lb_queue_wait_seconds", "pool", c.value).Observe(1)
		s.Gauge("lb_queue_length", func() float64 { return 3 }, "pool", c.value)
		text := scrape(t, r)
		for _, want := range []string{
			`lb_requests_total{site="` + c.want + `"} 1` + "\n",
			`lb_backend_requests_total{pool="` + c.want + `",code="200"} 1` + "\n",
			`lb_queue_wait_seconds_bucket{pool="` + c.want + `",le="0.0005"} 1` + "\n",
			`lb_queue_length{pool="` + c.want + `"} 3` + "\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q: no %s in\n%s", c.value, want, ours(text))
			}
		}
		promtool(t, text)
	}
}

// promtool checks the exposition with Prometheus's own tool.
func promtool(t *testing.T, text string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not installed")
		return
	}
	cmd := exec.Command(path, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s\nof\n%s", err, out, text)
	}
}

func TestPromtool(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("promtool is not installed")
	}
	r := NewRegistry()
	r.BuildInfo("v1.2.3")
	for i := range 3 {
		s := r.NewScope()
		for name, f := range families {
			label := fmt.Sprint(i)
			switch {
			case !strings.HasPrefix(name, "lb_") || name == "lb_build_info":
			case f.kind == counter:
				s.Counter(name, "label", label).Add(i)
			case f.kind == gauge:
				s.Gauge(name, func() float64 { return 0.1 }, "label", label)
			case f.kind == histogram:
				s.Histogram(name, "label", label).Observe(time.Second)
			}
		}
	}
	text := scrape(t, r)
	promtool(t, text)
	for name := range families {
		if strings.Count(text, "# HELP "+name+" ") != 1 || strings.Count(text, "# TYPE "+name+" ") != 1 {
			t.Errorf("%s: HELP %d times, TYPE %d times", name,
				strings.Count(text, "# HELP "+name+" "), strings.Count(text, "# TYPE "+name+" "))
		}
	}
}

// Scrapes while scopes are opened and closed: each is whole, and has the scopes that stay open.
func TestScrapeWhileScopesChange(t *testing.T) {
	r := NewRegistry()
	stays := r.NewScope().CodeCounters("lb_backend_requests_total", "pool", "stays")
	stays.Inc(200)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			for !stop.Load() {
				s := r.NewScope()
				s.Counter("lb_backend_ejections_total", "pool", fmt.Sprint(i)).Inc()
				s.Histogram("lb_backend_duration_seconds", "pool", fmt.Sprint(i)).Observe(time.Millisecond)
				stays.Inc(100 + int(s.Counter("lb_x_total").Get())) // register during a scrape
				s.Close()
			}
		})
	}
	for range 50 {
		text := scrape(t, r)
		if !strings.Contains(text, `lb_backend_requests_total{pool="stays",code="200"} 1`) {
			t.Error("the scope that stays is not shown")
		}
		if buckets := strings.Count(text, "lb_backend_duration_seconds_bucket"); buckets%(len(bounds)+1) != 0 {
			t.Errorf("half a histogram: %d buckets", buckets)
		}
	}
	stop.Store(true)
	wg.Wait()
	promtool(t, scrape(t, r))
}
