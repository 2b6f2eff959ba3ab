package pool

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestReconnect: changed transport settings replace only the connections of the backends that stay. Connections in use are counted
// until they end.
func TestReconnect(t *testing.T) {
	o := Options{Members: at("a", "b"), HealthChecks: true, Eject: Eject{Failures: 1, MaxPercent: 100, Duration: 1e9}}
	var made []*counted
	o.Connect = func(*Backend) Connections {
		c := &counted{}
		c.active.Store(2)
		c.idle.Store(3)
		made = append(made, c)
		return c
	}
	running(t, o, func(t *testing.T, p *Pool) {
		a, b := p.Backend("a"), p.Backend("b")
		p.SetActive(a, true, "probe")
		p.SetActive(b, false, "probe")
		p.SetAdmin(a, Drain, "by hand")
		a.Report(Connect)
		a.Reserve()
		before := a.Status()
		for range 3 {
			o.TransportKey += "x"
			p.Apply(o)
		}
		if p.Backend("a") != a || p.Backend("b") != b {
			t.Fatal("the backends are others")
		}
		after := a.Status()
		if after.Active != "up" || after.Admin != "drain" || after.Passive != "ejected" || after.InFlight != 1 || after.Errors != before.Errors {
			t.Errorf("%+v became %+v", before, after)
		}
		synctest.Wait()
		for i, c := range made {
			if last := i >= len(made)-2; c.closed.Load() == last {
				t.Errorf("connections %d of %d closed: %v", i, len(made), c.closed.Load())
			}
		}
		if after = a.Status(); after.ActiveConns != 8 || after.IdleConns != 3 {
			t.Errorf("%d active and %d idle, want 8 and 3", after.ActiveConns, after.IdleConns)
		}
		for _, c := range made {
			c.active.Store(0)
		}
		o.TransportKey = "last"
		p.Apply(o)
		synctest.Wait()
		if n := len(a.conns.Load().before); n != 1 {
			t.Errorf("%d of those replaced are remembered, want the last", n)
		}
		p.SetMembers(SourceConfig, nil)
		a.Release()
		synctest.Wait()
		if c := made[len(made)-2]; !c.closed.Load() {
			t.Error("not closed when the backend had left")
		}
	})
}

// counted is connections that are never returned.
type counted struct {
	active, idle atomic.Int64
	closed       atomic.Bool
}

func (c *counted) Counts() (active, idle int) { return int(c.active.Load()), int(c.idle.Load()) }

func (c *counted) Close() error {
	c.idle.Store(0)
	c.closed.Store(true)
	return nil
}
