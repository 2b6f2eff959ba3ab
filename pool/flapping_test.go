package pool

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestFlappingIsLoggedOnce: while a backend flaps, its state, events and gauge follow, and the log is limited.
func TestFlappingIsLoggedOnce(t *testing.T) {
	var e events
	var log bytes.Buffer // read when the pool's goroutine waits
	o := Options{Members: at("a:1", "b:1"), HealthChecks: true,
		Log: hclog.New(&hclog.LoggerOptions{Output: &log, DisableTime: true})}
	e.hook(&o)
	running(t, o, func(t *testing.T, p *Pool) {
		b := p.Backend("a:1")
		p.SetActive(p.Backend("b:1"), true, "test")
		p.SetActive(b, true, "test")
		time.Sleep(digestTime) // first results are logged after this time
		synctest.Wait()
		e.take()
		log.Reset()

		p.SetFlapping(b, false, "not yet") // logs nothing
		p.SetActive(b, false, "refused")
		p.SetFlapping(b, true, "5 changes")
		for range 10 {
			p.SetActive(b, true, "passed")
			p.SetActive(b, false, "refused")
		}
		if b.Usable() || !b.Status().Flapping || b.Status().State != "down" {
			t.Errorf("status %+v, want flapping and down", b.Status())
		}
		p.SetFlapping(b, true, "20 changes")
		p.SetAdmin(b, Drain, "by hand") // what the administrator does is logged
		p.SetAdmin(b, Ready, "by hand")
		p.SetActive(b, true, "passed")
		p.SetFlapping(b, false, "calm")
		p.SetActive(b, false, "refused")

		got := e.take()
		if len(got) != 28 || got[2] != "a:1 down>up: passed" {
			t.Errorf("%d events, want 28, the flips among them:\n%s", len(got), strings.Join(got, "\n"))
		}
		var lines []string
		for line := range strings.Lines(log.String()) {
			_, fields, _ := strings.Cut(strings.TrimSpace(line), "backend=a:1 ")
			lines = append(lines, fields)
		}
		expect(t, "log", lines, []string{
			"from=up to=down reason=refused",
			`from=down to=flapping reason="5 changes"`,
			`from=flapping to=flapping reason="20 changes"`,
			`from=ready to=drain reason="by hand"`,
			`from=drain to=ready reason="by hand"`,
			`from=flapping to=up reason=calm`,
			"from=up to=down reason=refused",
		})
	})
}

// TestFlappingEndsWithItsChecks: without checks no backend flaps.
func TestFlappingEndsWithItsChecks(t *testing.T) {
	o := Options{Members: at("a:1"), HealthChecks: true}
	p := New(o)
	defer p.Close()
	b := p.Backend("a:1")
	p.SetActive(b, true, "test")
	p.SetFlapping(b, true, "test")
	p.SetAdmin(b, Drain, "test")
	if !b.Status().Flapping {
		t.Error("not flapping while drained, want flapping: it is probed on")
	}
	p.SetAdmin(b, Maint, "test")
	if b.Status().Flapping {
		t.Error("flapping in maintenance")
	}
	p.SetAdmin(b, Ready, "test")
	p.SetFlapping(b, true, "a probe that was under way when maintenance began")
	p.SetActive(b, true, "test")
	if b.Status().Flapping {
		t.Error("flapping after a first result")
	}
	p.SetFlapping(b, true, "test")
	o.HealthChecks = false
	p.Apply(o)
	if b.Status().Flapping {
		t.Error("flapping without checks")
	}
}
