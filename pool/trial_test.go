package pool

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// onTrialAt brings a backend to its trial.
func onTrialAt(t *testing.T, p *Pool, b *Backend) {
	t.Helper()
	fail(b, int(p.options.Eject.Failures))
	expectPassive(t, b, PassiveEject)
	time.Sleep(p.options.Eject.Duration)
	expectPassive(t, b, PassiveTrial)
}

var trying = Options{
	Members:   []Member{{Address: "a"}, {Address: "x", Backup: true}, {Address: "y", Backup: true}},
	NewPicker: rotate, QueueLimit: 10, QueueTimeout: 5 * time.Second,
	Eject: Eject{Failures: 3, Duration: time.Second, MaxPercent: 50},
}

// TestTrialWithBackups: while a primary has its trial request, the backups serve all others, and none waits.
func TestTrialWithBackups(t *testing.T) {
	running(t, trying, func(t *testing.T, p *Pool) {
		a, x, y := p.Backend("a"), p.Backend("x"), p.Backend("y")
		onTrialAt(t, p, a)
		if got := mustPick(t, p); got != a {
			t.Errorf("the trial request went to %s", got.Address())
		}
		for range 4 {
			mustPick(t, p)
		}
		if x.InFlight() != 2 || y.InFlight() != 2 {
			t.Errorf("%d and %d on the backups, which are of the same weight", x.InFlight(), y.InFlight())
		}
		time.Sleep(time.Minute) // the trial hangs
		for range 10 {
			if got := mustPick(t, p); got == a {
				t.Fatal("two trial requests at a time, though others are usable")
			}
		}
		if got := mustPick(t, p, x, y); got == a {
			t.Error("a retry went to the one whose trial is on its way")
		}
		if e := p.Explain(0, false, nil); !strings.Contains(e.Why, "on trial") || !e.Backends[0].Used || e.Backends[0].Room || !e.Backends[1].Used {
			t.Errorf("explained as %+v", e)
		}
		if s := p.Status(); s.Tier != "backup" || s.Waiting != 0 {
			t.Errorf("tier %s, %d waiting", s.Tier, s.Waiting)
		}
		a.Report(Success)
		a.Release()
		for range 5 {
			if got := mustPick(t, p); got != a {
				t.Errorf("after the trial: %s", got.Address())
			}
		}
	})
}

// TestRetryDoesNotWaitForATrial: a retry that could only use a backend on trial returns to one that was tried rather than wait.
func TestRetryDoesNotWaitForATrial(t *testing.T) {
	o := trying
	o.Members = at("a", "b")
	running(t, o, func(t *testing.T, p *Pool) {
		a, b := p.Backend("a"), p.Backend("b")
		onTrialAt(t, p, a)
		if got := mustPick(t, p, b); got != a {
			t.Errorf("the trial request went to %s", got.Address())
		}
		if got := mustPick(t, p, b); got != b {
			t.Errorf("with the trial on its way: %s", got.Address())
		}
	})
}

// TestSlowTrialOfTheOnlyOne: if no other backend is usable, a slow trial delays the others for a second only. Then there is
// another trial, and the first success admits all.
func TestSlowTrialOfTheOnlyOne(t *testing.T) {
	for _, members := range [][]Member{at("a"), {{Address: "a"}, {Address: "x", Backup: true}}} {
		o := trying
		o.Members, o.Eject.MaxPercent = members, 100
		running(t, o, func(t *testing.T, p *Pool) {
			a := p.Backend("a")
			for _, b := range p.Backends()[1:] {
				p.SetActive(b, false, "refused")
			}
			onTrialAt(t, p, a)
			l := line{pool: p}
			began := time.Now()
			for _, name := range []string{"trial", "1", "2", "3", "4"} {
				l.join(t.Context(), name)
			}
			expect(t, "at first", l.seen.take(), []string{"trial got a"})
			time.Sleep(trialPatience - 10*time.Millisecond)
			expect(t, "in the first second", l.seen.take(), nil)
			time.Sleep(20 * time.Millisecond)
			expect(t, "after a second", l.seen.take(), []string{"1 got a"})
			time.Sleep(trialPatience)
			expect(t, "after two", l.seen.take(), []string{"2 got a"})
			a.Report(Success) // of the second request
			a.Release()
			synctest.Wait()
			if got := l.seen.take(); len(got) != 2 {
				t.Errorf("after a success: %v", got)
			}
			if n, passed := a.InFlight(), time.Since(began); n != 4 || passed > 3*trialPatience {
				t.Errorf("%d in flight after %v", n, passed)
			}
		})
	}
}

// TestSlowTrialWithoutQueue: the same without a queue; max_conns still applies.
func TestSlowTrialWithoutQueue(t *testing.T) {
	o := trying
	o.Members, o.Eject.MaxPercent, o.QueueLimit = []Member{{Address: "a", MaxConns: 2}}, 100, 0
	running(t, o, func(t *testing.T, p *Pool) {
		a := p.Backend("a")
		onTrialAt(t, p, a)
		mustPick(t, p)
		expectError(t, p, ErrFull)
		if room := p.Explain(0, false, nil).Backends[0].Room; room {
			t.Error("there seems to be room")
		}
		time.Sleep(trialPatience + 2*tick)
		if room := p.Explain(0, false, nil).Backends[0].Room; !room {
			t.Error("there seems to be no room")
		}
		mustPick(t, p)
		time.Sleep(time.Minute)
		expectError(t, p, ErrFull)
	})
}

// TestStickyClientsOfATrial: while the trial request of a sticky backend is in flight, the other backends serve its clients,
// including those that wait in the queue, but the clients keep their cookie.
func TestStickyClientsOfATrial(t *testing.T) {
	o := trying
	o.Members = []Member{{Address: "a"}, {Address: "b", MaxConns: 2}}
	o.Sticky = &Sticky{Value: func(address string) string { return "of " + address }, Key: "k"}
	running(t, o, func(t *testing.T, p *Pool) {
		a, b := p.Backend("a"), p.Backend("b")
		ofA := []byte("of a")
		pick := func(want *Backend) {
			t.Helper()
			if got, err := p.PickSticky(t.Context(), ofA, 0); got != want {
				t.Errorf("picked %v, %v; want %s", got, err, want.Address())
			}
		}
		onTrialAt(t, p, a)
		pick(a)
		pick(b)
		pick(b)
		if e := p.Explain(0, true, ofA); !strings.Contains(e.Sticky, "on trial") || e.Choice == "a" {
			t.Errorf("explained as %q, choice %q", e.Sticky, e.Choice)
		}
		if p.Moves(ofA, b) || p.Moves(ofA, a) || !p.Moves([]byte("of c"), b) {
			t.Error("a client moves for the time of a trial")
		}
		got := make(chan *Backend)
		go func() {
			b, _ := p.PickSticky(t.Context(), ofA, 0)
			got <- b
		}()
		synctest.Wait()
		b.Release()
		if got := <-got; got != b {
			t.Errorf("from the queue: %v", got)
		}
		fail(a, 1)
		if !p.Moves(ofA, b) {
			t.Error("a client does not move from a backend that is ejected")
		}
	})
}
