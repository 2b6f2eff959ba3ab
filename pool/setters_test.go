package pool

import (
	"strings"
	"testing"
)

// TestOnAdmin: the hook is called only for changes of the admin state, once each and before the event.
func TestOnAdmin(t *testing.T) {
	var e events
	o := Options{Name: "app", Members: at("a", "b")}
	e.hook(&o)
	o.OnAdmin = func(b *Backend) { e.add("admin " + b.Address() + " " + b.AdminState().String()) }
	running(t, o, func(t *testing.T, p *Pool) {
		a := p.Backend("a")
		p.SetActive(a, false, "failed")
		p.SetActive(a, true, "passed")
		if err := p.SetWeight(a, 3, "test"); err != nil {
			t.Fatal(err)
		}
		p.SetAdmin(a, Ready, "no change")
		for _, line := range e.take() {
			if strings.HasPrefix(line, "admin") {
				t.Errorf("%q before any change of the admin state", line)
			}
		}
		p.SetAdmin(a, Drain, "test")
		expect(t, "drain", e.take(), []string{"admin a drain", "a ready>drain: test"})
		p.SetAdmin(a, Maint, "test")
		expect(t, "maint", e.take(), []string{"admin a maint", "a drain>maint: test"})
		p.SetMembers(SourceConfig, at("b"))
		p.SetMembers(SourceConfig, at("a", "b"))
		e.take()
		if state := p.Backend("a").AdminState(); state != Maint {
			t.Errorf("%v after it came back, want maint", state)
		}
		p.SetAdmin(p.Backend("a"), Ready, "test")
		expect(t, "ready", e.take(), []string{"admin a ready", "a maint>ready: test"})
	})
}

func TestConnsWithoutConnect(t *testing.T) {
	if c := Conns[*conns](NewBackend(Member{Address: "a"})); c != nil {
		t.Errorf("connections %v", c)
	}
}
