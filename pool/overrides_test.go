package pool

import (
	"encoding/json"
	"fmt"
	"testing"
)

// TestAdminStateOutlivesAbsence: a backend that discovery removes and finds again keeps its admin state and weight. Later changes
// replace them.
func TestAdminStateOutlivesAbsence(t *testing.T) {
	var e events
	o := Options{HealthChecks: true, Sources: []string{"dns"}}
	e.hook(&o)
	running(t, o, func(t *testing.T, p *Pool) {
		p.SetMembers("dns", at("a:1", "b:1"))
		p.SetAdmin(p.Backend("a:1"), Maint, "by hand")
		if err := p.SetWeight(p.Backend("b:1"), 7, "by hand"); err != nil {
			t.Fatal(err)
		}
		p.SetMembers("dns", nil)
		e.take()
		p.SetMembers("dns", at("c:1", "b:1", "a:1"))
		if got := p.Backend("a:1").Status(); got.Admin != "maint" || got.Weight != 1 {
			t.Errorf("a came back as %+v, want maint", got)
		}
		if got := p.Backend("b:1").Status(); got.Weight != 7 || got.Admin != "ready" {
			t.Errorf("b came back as %+v, want weight 7", got)
		}
		if got := p.Backend("c:1").Status(); got.Weight != 1 || got.Admin != "ready" {
			t.Errorf("c came as %+v", got)
		}
		const kept = ", with the admin state and weight that it had"
		expect(t, "events", e.take(), []string{
			"c:1 absent>unknown: dns", "join c:1",
			"b:1 absent>unknown: dns" + kept, "join b:1",
			"a:1 absent>unknown: dns" + kept, "join a:1",
			"none>unknown: 0 of 3 backends up, 2 used",
		})
		p.SetAdmin(p.Backend("a:1"), Ready, "by hand")
		_ = p.SetWeight(p.Backend("b:1"), 0, "by hand")
		p.SetMembers("dns", nil)
		p.SetMembers("dns", at("a:1", "b:1"))
		if a, b := p.Backend("a:1").Status(), p.Backend("b:1").Status(); a.Admin != "ready" || b.Weight != 1 {
			t.Errorf("came back as %+v and %+v, want as configured", a, b)
		}
	})
}

// TestRestore: overrides of one pool are applied to another, at once for its members and later for those that join.
func TestRestore(t *testing.T) {
	given := map[string]Override{}
	running(t, Options{Sources: []string{"dns"}, Members: at("a:1", "d:1")}, func(t *testing.T, p *Pool) {
		p.SetMembers("dns", at("b:1", "c:1"))
		p.SetAdmin(p.Backend("a:1"), Drain, "by hand")
		p.SetAdmin(p.Backend("b:1"), Maint, "by hand")
		if err := p.SetWeight(p.Backend("c:1"), 7, "by hand"); err != nil {
			t.Fatal(err)
		}
		p.SetMembers("dns", at("c:1"))
		text, err := json.Marshal(p.Overrides())
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &given); err != nil {
			t.Fatal(err)
		}
	})
	running(t, Options{Sources: []string{"dns"}, Members: at("a:1", "d:1")}, func(t *testing.T, p *Pool) {
		p.Restore(given, "handed over")
		p.SetMembers("dns", at("b:1", "c:1"))
		got := []string{}
		for _, b := range p.Backends() {
			s := b.Status()
			got = append(got, fmt.Sprint(s.Address, " ", s.Admin, " ", s.Weight))
		}
		expect(t, "backends", got, []string{"a:1 drain 1", "d:1 ready 1", "b:1 maint 1", "c:1 ready 7"})
	})
	var a Admin
	if err := a.UnmarshalText([]byte("away")); err == nil {
		t.Error("there is an admin state of any name")
	}
}

func TestKeptOverridesAreBounded(t *testing.T) {
	var d keptOverrides
	for i := range 3 * maxKeptOverrides {
		d.remember(fmt.Sprint(i), Override{Admin: Drain})
		d.remember("no override", Override{})
	}
	if len(d.overrides) != maxKeptOverrides || len(d.addresses) != maxKeptOverrides {
		t.Errorf("%d and %d remembered, want %d", len(d.overrides), len(d.addresses), maxKeptOverrides)
	}
	if d.take("5") != (Override{}) || d.take(fmt.Sprint(3*maxKeptOverrides-1)).Admin != Drain {
		t.Error("not the newest ones are remembered")
	}
	if d.take(fmt.Sprint(3*maxKeptOverrides-1)) != (Override{}) || len(d.addresses) != maxKeptOverrides-1 {
		t.Error("taken twice")
	}
}
