package pool

import (
	"strings"
	"testing"
	"time"

	"lb/telemetry"
)

// lines returns the series of the exposition that begin with one of the prefixes and are not 0.
func lines(text string, prefixes ...string) []string {
	var found []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		for _, prefix := range prefixes {
			if strings.HasPrefix(line, prefix+"{") && !strings.HasSuffix(line, " 0") {
				found = append(found, line)
			}
		}
	}
	return found
}

func TestGauges(t *testing.T) {
	r := telemetry.NewRegistry()
	o := Options{
		Name: "app", Members: at("a", "b", "c"), Connect: connect, Telemetry: r, HealthChecks: true,
		PanicThreshold: 0.6, Eject: Eject{Failures: 1, Duration: time.Minute, MaxPercent: 50},
	}
	p := New(o)
	defer p.Close()
	a, b, c := p.Backend("a"), p.Backend("b"), p.Backend("c")
	gauges := []string{"lb_backend_up", "lb_backend_state", "lb_backend_in_flight", "lb_pool_backends", "lb_pool_panic"}
	expect(t, "at the start", lines(exposition(t, r), gauges...), []string{
		`lb_backend_state{pool="app",backend="a",state="unknown"} 1`,
		`lb_backend_state{pool="app",backend="b",state="unknown"} 1`,
		`lb_backend_state{pool="app",backend="c",state="unknown"} 1`,
		`lb_pool_backends{pool="app",state="unknown"} 3`,
	})
	p.SetActive(a, true, "probe")
	p.SetActive(b, true, "probe")
	p.SetActive(c, false, "probe")
	b.Report(Connect)
	a.Reserve()
	expect(t, "one up, one ejected, one down", lines(exposition(t, r), gauges...), []string{
		`lb_backend_in_flight{pool="app",backend="a"} 1`,
		`lb_backend_state{pool="app",backend="a",state="up"} 1`,
		`lb_backend_state{pool="app",backend="b",state="ejected"} 1`,
		`lb_backend_state{pool="app",backend="c",state="down"} 1`,
		`lb_backend_up{pool="app",backend="a"} 1`,
		`lb_pool_backends{pool="app",state="down"} 1`,
		`lb_pool_backends{pool="app",state="ejected"} 1`,
		`lb_pool_backends{pool="app",state="up"} 1`,
		`lb_pool_panic{pool="app"} 1`,
	})
	p.SetAdmin(c, Drain, "by hand")
	p.SetAdmin(b, Maint, "by hand")
	expect(t, "drain and maint", lines(exposition(t, r), "lb_pool_backends", "lb_pool_panic"), []string{
		`lb_pool_backends{pool="app",state="drain"} 1`,
		`lb_pool_backends{pool="app",state="maint"} 1`,
		`lb_pool_backends{pool="app",state="up"} 1`,
	})
	if s := p.Status(); s.Name != "app" || s.Panic || len(s.Backends) != 3 || s.Backends[0].InFlight != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestCounters(t *testing.T) {
	r := telemetry.NewRegistry()
	p := New(Options{Name: "app", Members: at("a"), Connect: connect, Telemetry: r})
	defer p.Close()
	a := p.Backend("a")
	for _, o := range []Outcome{Success, Connect, Reset, Timeout, Protocol, Status, Aborted} {
		a.Report(o)
	}
	a.RecordCheck(Check{OK: true, Duration: 1500 * time.Microsecond, Status: 200})
	a.RecordCheck(Check{Error: "connection refused"})
	a.Metrics.Requests.Inc(204)
	a.Metrics.Opened.Inc()
	a.Observe(0, time.Second)
	expect(t, "counters", lines(exposition(t, r), "lb_backend_errors_total", "lb_health_checks_total",
		"lb_backend_requests_total", "lb_backend_connections_total", "lb_backend_connections",
		"lb_backend_duration_seconds_count"), []string{
		`lb_backend_connections{pool="app",backend="a",state="idle"} 7`,
		`lb_backend_connections_total{pool="app",backend="a",result="opened"} 1`,
		`lb_backend_duration_seconds_count{pool="app",backend="a"} 1`,
		`lb_backend_errors_total{pool="app",backend="a",reason="aborted"} 1`,
		`lb_backend_errors_total{pool="app",backend="a",reason="connect"} 1`,
		`lb_backend_errors_total{pool="app",backend="a",reason="protocol"} 1`,
		`lb_backend_errors_total{pool="app",backend="a",reason="reset"} 1`,
		`lb_backend_errors_total{pool="app",backend="a",reason="timeout"} 1`,
		`lb_backend_requests_total{pool="app",backend="a",code="204"} 1`,
		`lb_health_checks_total{pool="app",backend="a",result="fail"} 1`,
		`lb_health_checks_total{pool="app",backend="a",result="pass"} 1`,
	})
	s := a.Status()
	if s.Errors != 5 || s.Requests != 1 || s.LastCheck == nil || s.LastCheck.Error != "connection refused" {
		t.Errorf("status %+v", s)
	}
}

// The series of a backend that left are removed while its last request still runs, and a successor with the same
// address has new ones.
func TestSeriesGoWithTheBackend(t *testing.T) {
	r := telemetry.NewRegistry()
	o := Options{Name: "app", Members: at("a", "b"), Telemetry: r}
	p := New(o)
	defer p.Close()
	a := p.Backend("a")
	a.Reserve()
	a.Metrics.Requests.Inc(200)
	p.SetMembers(SourceConfig, at("b"))
	if text := exposition(t, r); strings.Contains(text, `backend="a"`) || !strings.Contains(text, `backend="b"`) {
		t.Errorf("after a left:\n%s", text)
	}
	p.SetMembers(SourceConfig, at("a", "b"))
	text := exposition(t, r)
	if n := strings.Count(text, `lb_backend_in_flight{pool="app",backend="a"} 0`); n != 1 {
		t.Errorf("after a came again, %d series of it:\n%s", n, text)
	}
	a.Release()
	p.Close()
	if text := exposition(t, r); strings.Contains(text, `pool="app"`) {
		t.Errorf("after the pool was removed:\n%s", text)
	}
}
