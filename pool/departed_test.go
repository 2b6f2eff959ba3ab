package pool

import (
	"fmt"
	"testing"
)

// TestAdminStateOutlivesAbsence: a backend that drops out of discovery and comes back is what the administrator
// made it; and whatever was said of it afterwards holds from then on.
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

func TestDepartedAreBounded(t *testing.T) {
	var d departed
	for i := range 3 * rememberAtMost {
		d.remember(fmt.Sprint(i), ordered{admin: Drain})
		d.remember("nothing said", ordered{})
	}
	if len(d.said) != rememberAtMost || len(d.order) != rememberAtMost {
		t.Errorf("%d and %d remembered, want %d", len(d.said), len(d.order), rememberAtMost)
	}
	if d.recall("5") != (ordered{}) || d.recall(fmt.Sprint(3*rememberAtMost-1)).admin != Drain {
		t.Error("not the newest ones are remembered")
	}
	if d.recall(fmt.Sprint(3*rememberAtMost-1)) != (ordered{}) || len(d.order) != rememberAtMost-1 {
		t.Error("recalled twice")
	}
}
