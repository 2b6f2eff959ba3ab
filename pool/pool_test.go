package pool

import (
	"context"
	"testing"
	"testing/synctest"

	"lb/internal/limits"
)

func TestMembersAreTheUnionOfTheSources(t *testing.T) {
	p := New(Options{
		Members: []Member{{Address: "a", Weight: 5}, {Address: "b"}, {Address: "a", Weight: 6}},
		Sources: []string{"dns", "file"},
	})
	defer p.Close()
	p.SetMembers("file", []Member{{Address: "c", Weight: 3}, {Address: "d"}})
	p.SetMembers("dns", []Member{{Address: "a", Weight: 7}, {Address: "c", Weight: 4, MaxConns: 9, Backup: true}})
	if got := addresses(p.Backends()); got != "a b c d" {
		t.Errorf("members %s", got)
	}
	if a, c := p.Backend("a"), p.Backend("c"); a.Weight() != 5 || c.Weight() != 4 || c.MaxConns() != 9 || !c.Status().Backup {
		t.Errorf("the settings are not those of the first source: a %+v, c %+v", a.Status(), c.Status())
	}
	c := p.Backend("c")
	p.SetMembers("dns", nil)
	if p.Backend("c") != c || c.Weight() != 3 || c.MaxConns() != 0 {
		t.Errorf("c did not stay with the other source's settings: %+v", c.Status())
	}
	p.SetMembers("docker", at("e"))
	p.Apply(Options{Members: at("b"), Sources: []string{"file"}})
	if got := addresses(p.Backends()); got != "b c d" {
		t.Errorf("after a reload without dns and docker: %s", got)
	}
}

// A reload keeps everything that did not change; it does not reset backends to up or unknown.
func TestApplyKeepsBackends(t *testing.T) {
	o := Options{Members: at("a", "b", "c"), HealthChecks: true, Connect: connect}
	p := New(o)
	defer p.Close()
	a, b := p.Backend("a"), p.Backend("b")
	p.SetActive(a, true, "first probe")
	p.SetActive(b, false, "first probe")
	p.SetAdmin(a, Drain, "by hand")
	if err := p.SetWeight(b, 40, "by hand"); err != nil {
		t.Fatal(err)
	}
	a.Reserve()
	a.Metrics.Requests.Inc(200)

	o.Members = []Member{{Address: "b", Weight: 2}, {Address: "d"}, {Address: "a", MaxConns: 3}}
	p.Apply(o)
	if p.Backend("a") != a || p.Backend("b") != b {
		t.Fatal("backends whose address stayed are other objects")
	}
	if s := a.Status(); s.Active != "up" || s.Admin != "drain" || s.InFlight != 1 || s.Requests != 1 || s.MaxConns != 3 {
		t.Errorf("a: %+v", s)
	}
	if s := b.Status(); s.Active != "down" || s.Weight != 40 || s.ConfiguredWeight != 2 {
		t.Errorf("b: %+v", s)
	}
	if s := p.Backend("d").Status(); s.Active != "unknown" {
		t.Errorf("d: %+v", s)
	}

	a.Release()

	o.HealthChecks = false
	p.Apply(o)
	if s := p.Backend("a").Status(); s.Active != "up" {
		t.Errorf("without health checks a is %+v", s)
	}
}

func TestHooksComeInOrder(t *testing.T) {
	var seen events
	o := Options{Members: at("a", "b"), HealthChecks: true}
	seen.hook(&o)
	running(t, o, func(t *testing.T, p *Pool) {
		join := o.OnJoin
		o.OnJoin = func(b *Backend) {
			join(b)
			p.SetActive(b, true, "first probe") // a hook may call the pool
		}
		expect(t, "at the start", seen.take(), []string{
			"a absent>unknown: configuration", "join a", "b absent>unknown: configuration", "join b",
		})
		p.SetActive(p.Backend("a"), false, "connection refused")
		expect(t, "first result", seen.take(), []string{"a unknown>down: connection refused"})
		p.SetActive(p.Backend("a"), false, "again")
		expect(t, "no change", seen.take(), nil)

		o.Members = at("b", "c")
		p.Apply(o)
		expect(t, "reload", seen.take(), []string{
			"a down>absent: configuration", "leave a", "c absent>unknown: configuration", "join c",
			"c unknown>up: first probe",
		})
	})
}

func TestRemovedBackendFinishesItsRequests(t *testing.T) {
	running(t, Options{Members: at("a"), Connect: connect}, func(t *testing.T, p *Pool) {
		a := mustPick(t, p)
		mustPick(t, p)
		p.SetMembers(SourceConfig, at("b"))
		if b := mustPick(t, p); b.Address() != "b" {
			t.Errorf("picked %s, which has left", b.Address())
		}
		synctest.Wait()
		c := Conns[*conns](a)
		a.Release()
		synctest.Wait()
		if c.closed.Load() != 0 {
			t.Error("closed while a request was in flight")
		}
		a.Release()
		synctest.Wait()
		if c.closed.Load() != 1 {
			t.Error("not closed after the last request")
		}
		if a.Reserve() || a.InFlight() != 0 {
			t.Error("reserved after its connections were closed")
		}
	})
}

func TestCloseEndsWithTheLastRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Members: at("a", "b"), Connect: connect})
		p.Start(t.Context())
		a := mustPick(t, p)
		p.Close()
		p.Close()
		expectError(t, p, ErrNoBackend)
		p.SetMembers("dns", at("late"))
		if len(p.Backends()) != 0 {
			t.Error("a closed pool took a member")
		}
		a.Release()
		p.Wait()
		if n := Conns[*conns](a).closed.Load(); n != 1 {
			t.Errorf("connections were closed %d times", n)
		}
	})
}

func TestContextEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := New(Options{Members: at("a", "b"), Connect: connect})
		p.Start(ctx)
		a := mustPick(t, p)
		b := p.Backend("b")
		cancel()
		p.Wait()
		if Conns[*conns](a).closed.Load() != 1 || Conns[*conns](b).closed.Load() != 1 {
			t.Error("connections were left open")
		}
		a.Release()
	})
}

// A pool that was built for an invalid configuration can be closed without having been started.
func TestCloseWithoutStart(t *testing.T) {
	p := New(Options{Members: at("a"), Connect: connect, OnJoin: func(*Backend) { t.Error("joined") }})
	a := p.Backend("a")
	p.Close()
	p.Wait()
	if Conns[*conns](a).closed.Load() != 1 {
		t.Error("connections were left open")
	}
}

// Health belongs to the backend of one pool, not to an address.
func TestPoolsDoNotShareState(t *testing.T) {
	one, other := New(Options{Name: "one", Members: at("a")}), New(Options{Name: "other", Members: at("a")})
	defer one.Close()
	defer other.Close()
	one.SetActive(one.Backend("a"), false, "refused")
	one.SetActive(other.Backend("a"), false, "not its own")
	expectError(t, one, ErrNoBackend)
	mustPick(t, other).Release()
}

func TestAdminStates(t *testing.T) {
	p := New(Options{Members: at("a", "b"), HealthChecks: true})
	defer p.Close()
	a, b := p.Backend("a"), p.Backend("b")
	p.SetActive(a, true, "probe")
	p.SetActive(b, true, "probe")
	p.SetAdmin(a, Maint, "upgrade")
	for range 10 {
		if got := mustPick(t, p); got != b {
			t.Error("a backend in maintenance got a request")
		}
	}
	p.SetAdmin(a, Ready, "upgraded")
	if a.ActiveState() != ActiveUnknown {
		t.Errorf("not checked yet, but it is %v", a.ActiveState())
	}
	p.ProbePassed(a)
	if !a.Usable() {
		t.Error("not usable after its first probe")
	}
	if s := a.Status(); s.LastChange == nil || s.LastChange.To != "up" || s.LastChange.Reason == "" {
		t.Errorf("last change %+v", s.LastChange)
	}
	for _, w := range []int{-1, limits.MaxWeight + 1} {
		if err := p.SetWeight(a, w, "by hand"); err == nil {
			t.Errorf("weight %d was accepted", w)
		}
	}
	if err := p.SetWeight(a, 9, "by hand"); err != nil || a.Weight() != 9 {
		t.Errorf("weight %d, %v", a.Weight(), err)
	}
	if err := p.SetWeight(a, 0, "by hand"); err != nil || a.Weight() != 1 {
		t.Errorf("weight %d, %v", a.Weight(), err)
	}
}

// A single pass of a backend that is down does not make it up if rise is higher.
func TestProbePassedDoesNotFlip(t *testing.T) {
	p := New(Options{Members: at("a"), HealthChecks: true})
	defer p.Close()
	a := p.Backend("a")
	p.SetActive(a, false, "refused")
	p.ProbePassed(a)
	if a.ActiveState() != ActiveDown {
		t.Error("up without rise")
	}
}
