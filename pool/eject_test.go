package pool

import (
	"testing"
	"testing/synctest"
	"time"
)

// fail reports failures of the kind that max_percent bounds.
func fail(b *Backend, times int) {
	for range times {
		b.Report(Status)
	}
}

func expectPassive(t *testing.T, b *Backend, want Passive) {
	t.Helper()
	synctest.Wait()
	if got := b.state.Load().passive; got != want {
		t.Errorf("%s is %s, want %s", b.Address(), got, want)
	}
}

var ejecting = Options{
	Members: at("a", "b"), NewPicker: rotate,
	Eject: Eject{Failures: 3, Duration: 10 * time.Second, MaxPercent: 50},
}

func TestEjectionNeedsConsecutiveFailures(t *testing.T) {
	running(t, ejecting, func(t *testing.T, p *Pool) {
		a := p.Backend("a")
		for _, o := range []Outcome{Connect, Timeout, Success, Reset, Protocol, Aborted} {
			a.Report(o)
		}
		expectPassive(t, a, PassiveOK)
		a.Report(Status)
		expectPassive(t, a, PassiveEject)
		for range 4 {
			if b := mustPick(t, p); b == a {
				t.Error("picked an ejected one")
			}
		}
		a.Report(Success) // of a request from before
		expectPassive(t, a, PassiveEject)
		if s := a.Status(); s.Errors != 5 || s.Usable || s.LastChange.Reason != "3 failures in a row, the last: status 502, 503 or 504" {
			t.Errorf("%+v, %+v", s, s.LastChange)
		}
	})
}

func TestEjectionGrowsAndTrials(t *testing.T) {
	running(t, ejecting, func(t *testing.T, p *Pool) {
		a, b := p.Backend("a"), p.Backend("b")
		a.Reserve() // an earlier, long request, such as a WebSocket
		fail(a, 3)
		for n := 1; n <= 12; n++ {
			expectPassive(t, a, PassiveEject)
			time.Sleep(time.Duration(min(n, 10))*10*time.Second - time.Millisecond)
			expectPassive(t, a, PassiveEject)
			time.Sleep(time.Millisecond)
			expectPassive(t, a, PassiveTrial)
			if !a.Reserve() {
				t.Fatal("no trial request")
			}
			if a.Reserve() {
				t.Fatal("two trial requests at a time")
			}
			if got := mustPick(t, p); got != b {
				t.Fatal("picked one whose trial is on its way")
			}
			a.Report(Connect)
			a.Release()
		}
		time.Sleep(100 * time.Second)
		expectPassive(t, a, PassiveTrial)
		if !a.Reserve() {
			t.Fatal("no trial request")
		}
		a.Release() // ended by its client
		if !a.Reserve() {
			t.Fatal("no second trial request after the first said nothing")
		}
		a.Report(Success)
		a.Release()
		expectPassive(t, a, PassiveOK)
		for range 2 {
			if !a.Reserve() {
				t.Error("still limited after the trial")
			}
		}
		// The series of ejections has ended: the next one is short again.
		fail(a, 3)
		time.Sleep(10 * time.Second)
		expectPassive(t, a, PassiveTrial)
	})
}

func TestProbeEndsEjection(t *testing.T) {
	running(t, ejecting, func(t *testing.T, p *Pool) {
		a := p.Backend("a")
		fail(a, 3)
		expectPassive(t, a, PassiveEject)
		p.ProbePassed(a)
		expectPassive(t, a, PassiveOK)
		fail(a, 3)
		p.SetActive(a, false, "refused")
		p.SetActive(a, true, "passed")
		expectPassive(t, a, PassiveOK)
		if !a.Usable() {
			t.Error("not usable")
		}
	})
}

func TestMaxPercent(t *testing.T) {
	for _, c := range []struct {
		members, percent, want int
	}{
		{1, 50, 0}, {2, 50, 1}, {3, 50, 1}, {4, 50, 2}, {10, 10, 1}, {9, 10, 0},
		{1, 100, 1}, {3, 100, 3}, {3, 99, 2}, {3, 0, 0},
	} {
		o := Options{Eject: Eject{Failures: 2, Duration: time.Second, MaxPercent: c.percent}}
		for i := range c.members {
			o.Members = append(o.Members, Member{Address: string(rune('a' + i))})
		}
		p := New(o)
		for _, b := range p.Backends() {
			fail(b, 5)
		}
		ejected := 0
		for _, b := range p.Backends() {
			if b.state.Load().passive == PassiveEject {
				ejected++
			}
		}
		if ejected != c.want {
			t.Errorf("%d%% of %d: %d ejected, want %d", c.percent, c.members, ejected, c.want)
		}
		p.Close()
	}
}

func TestLastUsableIsNotEjected(t *testing.T) {
	p := New(ejecting)
	defer p.Close()
	p.SetActive(p.Backend("b"), false, "refused")
	fail(p.Backend("a"), 10)
	if !p.Backend("a").Usable() {
		t.Error("the last usable backend was ejected")
	}
	p.SetActive(p.Backend("b"), true, "passed")
	fail(p.Backend("a"), 3)
	if p.Backend("a").Usable() {
		t.Error("not ejected, though another is usable")
	}
}

func TestTrialKeepsMaxConns(t *testing.T) {
	o := ejecting
	o.Members = []Member{{Address: "a", MaxConns: 2}, {Address: "b"}}
	running(t, o, func(t *testing.T, p *Pool) {
		a := p.Backend("a")
		a.Reserve()
		a.Reserve()
		fail(a, 3)
		time.Sleep(10 * time.Second)
		expectPassive(t, a, PassiveTrial)
		if a.Reserve() {
			t.Error("a third request with max_conns 2")
		}
		a.Release()
		if !a.Reserve() {
			t.Error("no trial though there is room")
		}
	})
}

// TestTrialEndsWithTheHead: a trial request with an endless response has succeeded when the response begins.
func TestTrialEndsWithTheHead(t *testing.T) {
	running(t, ejecting, func(t *testing.T, p *Pool) {
		a := p.Backend("a")
		fail(a, 3)
		a.HeadArrived() // late, of an earlier request
		expectPassive(t, a, PassiveEject)
		time.Sleep(ejecting.Eject.Duration)
		synctest.Wait()
		expectPassive(t, a, PassiveTrial)
		if !a.Reserve() || a.Reserve() {
			t.Fatal("not one request at a time")
		}
		a.HeadArrived()
		expectPassive(t, a, PassiveOK)
		if !a.Reserve() {
			t.Error("no second request while the first continues")
		}
		a.Report(Success)
		a.Release()
		a.Release()
		if n := a.InFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestEjectionTurnedOff(t *testing.T) {
	o := ejecting
	p := New(o)
	defer p.Close()
	a := p.Backend("a")
	fail(a, 3)
	o.Eject = Eject{}
	p.Apply(o)
	if !a.Usable() {
		t.Error("a reload without ejection left it ejected")
	}
	fail(a, 10)
	if !a.Usable() {
		t.Error("ejected without a limit")
	}
}

// TestFailedTrialOpensNoGap: while a failed trial ejects a backend, no request gets past the limit of one. When the limit is
// lifted, no request may see the snapshot that still contains the backend.
func TestFailedTrialOpensNoGap(t *testing.T) {
	o := ejecting
	var a *Backend
	var open bool
	o.NewPicker = func(usable []*Backend, seed uint64) Picker {
		if a != nil && a.state.Load().passive == PassiveEject && a.limit.Load() != onTrial {
			open = open || a.pool.snapshot.Load().has(a)
		}
		return rotate(usable, seed)
	}
	running(t, o, func(t *testing.T, p *Pool) {
		a = p.Backend("a")
		fail(a, 3)
		time.Sleep(10 * time.Second)
		expectPassive(t, a, PassiveTrial)
		open = false // the first ejection takes back no limit
		if !a.Reserve() {
			t.Fatal("no trial request")
		}
		a.Report(Connect)
		a.Release()
		expectPassive(t, a, PassiveEject)
		if open {
			t.Error("the limit went before the backend had left the snapshot")
		}
		if a.limit.Load() == onTrial {
			t.Error("on trial while ejected: in a panic it would get one request at a time")
		}
	})
}

func (s *snapshot) has(b *Backend) bool { return contains(s.usable, b) }

// TestLastPrimaryGoesForABackup: the last usable primary is ejected regardless of max_percent if a backup can take over, but not
// without a backup, and not where max_percent is 0.
func TestLastPrimaryGoesForABackup(t *testing.T) {
	for _, c := range []struct {
		percent int
		backup  bool // is usable
		want    string
	}{{50, true, "x"}, {50, false, "b"}, {34, true, "x"}, {10, true, "a b"}, {0, true, "a b"}} {
		p := New(Options{
			Members: append(at("a", "b"), Member{Address: "x", Backup: true}),
			Eject:   Eject{Failures: 2, Duration: time.Second, MaxPercent: c.percent},
		})
		p.SetActive(p.Backend("x"), c.backup, "probe")
		fail(p.Backend("a"), 2)
		fail(p.Backend("b"), 2)
		if got := addresses(p.snapshot.Load().usable); got != c.want {
			t.Errorf("%+v: %s used", c, got)
		}
		p.Close()
	}
}
