package pool

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestProspects covers the reasons why a backend is not used, or is used in spite of its state.
func TestProspects(t *testing.T) {
	p := New(Options{
		Name: "app", HealthChecks: true, PanicThreshold: 0.5, Eject: Eject{Failures: 1, Duration: time.Hour, MaxPercent: 100},
		Members: []Member{{Address: "a:1"}, {Address: "b:1", MaxConns: 1}, {Address: "c:1"}, {Address: "d:1", Backup: true}},
	})
	defer p.Close()
	a, b, c, d := p.Backend("a:1"), p.Backend("b:1"), p.Backend("c:1"), p.Backend("d:1")
	want := func(what, tier, address string, used bool, why string) Prospect {
		t.Helper()
		e := p.Explain(0, false, nil)
		if e.Tier != tier {
			t.Errorf("%s: tier %s, want %s", what, e.Tier, tier)
		}
		for _, b := range e.Backends {
			if b.Address == address {
				if b.Used != used || !strings.HasPrefix(b.Why, why) || why == "" && b.Why != "" {
					t.Errorf("%s: used %v, %q; want %v, %q", what, b.Used, b.Why, used, why)
				}
				return b
			}
		}
		t.Fatalf("%s: no %s", what, address)
		return Prospect{}
	}
	want("before the first check", "unknown", "a:1", true, "unknown: ")
	want("before the first check", "unknown", "d:1", false, "unknown: ")
	for _, m := range p.Backends() {
		p.SetActive(m, true, "first check passed")
	}
	want("all up", "primary", "a:1", true, "")
	want("all up", "primary", "d:1", false, "a backup: ")
	p.SetActive(a, false, "connection refused")
	if got := want("one down", "primary", "a:1", false, "down: its health checks fail (connection refused)"); got.Since == nil {
		t.Error("the time since when it is down is missing")
	}
	p.SetActive(c, false, "timeout")
	want("two of three down", "panic", "a:1", true, "down: ")
	if got := want("two of three down", "panic", "b:1", true, ""); !got.Room {
		t.Error("an idle backend has no room")
	}
	if !b.Reserve() {
		t.Fatal("b is full")
	}
	if got := want("b has one request", "panic", "b:1", true, "full: 1 of 1"); got.Room {
		t.Error("a full backend has room")
	}
	b.Release()
	full := New(Options{Members: []Member{{Address: "a:1", MaxConns: 1}}})
	defer full.Close()
	full.Backend("a:1").Reserve()
	if why := full.Explain(0, false, nil).Why; !strings.HasSuffix(why, "so the response is 503") {
		t.Errorf("full: %s", why)
	}
	full.Apply(Options{QueueLimit: 7, Members: []Member{{Address: "a:1", MaxConns: 1}}})
	if why := full.Explain(0, false, nil).Why; !strings.Contains(why, "the queue, as at most 7 may") {
		t.Errorf("full with a queue: %s", why)
	}
	b.Report(Reset)
	if got := want("b failed", "backup", "b:1", false, "ejected: requests to it failed (1 failures in a row, the last: connection reset)"); got.Until == nil || time.Until(*got.Until) < 50*time.Minute {
		t.Errorf("until %v", got.Until)
	}
	want("b failed", "backup", "d:1", true, "")
	p.SetAdmin(d, Maint, "test")
	want("d in maint", "none", "d:1", false, "maint: ")
	if n := d.InFlight() + a.InFlight(); n != 0 {
		t.Errorf("%d in flight after explanations", n)
	}
}

// TestProspectsKeepTheirReason: the reason of a state stays when another axis changes, or none.
func TestProspectsKeepTheirReason(t *testing.T) {
	p := New(Options{
		HealthChecks: true, Eject: Eject{Failures: 1, Duration: time.Hour, MaxPercent: 100},
		Members: []Member{{Address: "a:1"}},
		Dial: func(ctx context.Context, _ *Backend) error {
			<-ctx.Done()
			return ctx.Err()
		},
	})
	defer p.Close()
	b := p.Backend("a:1")
	ctx, stop := context.WithCancel(t.Context())
	defer p.Wait()
	defer stop()
	p.Start(ctx)
	down := func() { p.SetActive(b, false, "the check") }
	up := func() { p.SetActive(b, true, "fine") }
	for _, c := range []struct {
		name  string
		steps []func()
		why   string
	}{
		{"a request that was on its way is refused", []func(){down, func() { b.Refused("no port") }}, "down: its health checks fail (the check)"},
		{"another fails", []func(){down, func() { b.Report(Reset) }}, "down: its health checks fail (the check)"},
		{"the check fails after a request", []func(){func() { b.Refused("no port") }, down}, "down: its health checks fail (the check)"},
		{"a weight", []func(){func() { b.Report(Reset) }, func() { p.SetWeight(b, 7, "heavier") }}, "ejected: requests to it failed (1 failures in a row, the last: connection reset)"},
		{"drained and back", []func(){func() { b.Refused("no port") }, func() { p.SetAdmin(b, Drain, "out") }, func() { p.SetAdmin(b, Ready, "in") }}, "ejected: no connection to it can be made (no port)"},
		{"fails while it drains", []func(){func() { p.SetAdmin(b, Drain, "out") }, down}, "drain: an administrator stopped new requests (out)"},
		{"on trial", []func(){func() { b.Report(Reset) }, func() { p.SetWeight(b, 8, "heavier") }, func() { p.putOnTrial(b, "now", time.Time{}) }},
			"on trial: one request at a time until one succeeds (now; before: 1 failures in a row, the last: connection reset)"},
	} {
		p.SetAdmin(b, Ready, "in")
		down()
		up() // which ends an ejection too
		if cause := b.Status().Cause; cause != nil {
			t.Errorf("%s: the cause of nothing is %+v", c.name, cause)
		}
		for _, step := range c.steps {
			step()
		}
		if got := p.Explain(0, false, nil).Backends[0]; got.Why != c.why || got.Since == nil {
			t.Errorf("%s: %q since %v, want %q", c.name, got.Why, got.Since, c.why)
		}
		if cause := b.Status().Cause; cause == nil || cause.Reason == "" || !strings.Contains(c.why, "("+cause.Reason+")") {
			t.Errorf("%s: the status names %+v as the cause, want that of %q", c.name, cause, c.why)
		}
	}
}

// TestProspectsSticky: a client's own backend gets its request, also while it drains.
func TestProspectsSticky(t *testing.T) {
	p := New(Options{Members: []Member{{Address: "a:1"}, {Address: "b:1"}},
		Sticky: &Sticky{Key: "k", Value: func(address string) string { return "of " + address }}})
	defer p.Close()
	for _, c := range []struct {
		value, choice, words string
		admin                Admin
	}{
		{"", "", "has no cookie", Ready},
		{"of c:1", "", "belongs to no backend", Ready},
		{"of b:1", "b:1", "belongs to b:1", Ready},
		{"of b:1", "b:1", "belongs to b:1", Drain},
		{"of b:1", "", "which cannot be used", Maint},
	} {
		p.SetAdmin(p.Backend("b:1"), c.admin, "test")
		if e := p.Explain(0, true, []byte(c.value)); e.Choice != c.choice || !strings.Contains(e.Sticky, c.words) {
			t.Errorf("%q in %v: %q, %s", c.value, c.admin, e.Choice, e.Sticky)
		}
	}
}
