package pool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tenthsOver returns how many tenths of b's weight count at the beginning and after each second.
func tenthsOver(b *Backend, seconds int) []int {
	tenths := []int{b.Tenths()}
	for range seconds {
		time.Sleep(time.Second)
		synctest.Wait()
		tenths = append(tenths, b.Tenths())
	}
	return tenths
}

// TestSlowStart: which backends start slowly, and which get their whole share at once. The tenths of b are checked from the last
// line of each case on.
func TestSlowStart(t *testing.T) {
	slowly := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10}
	atOnce := []int{10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10}
	fail := func(b *Backend, times int) {
		for range times {
			b.Report(Reset)
		}
	}
	up := func(p *Pool) {
		for _, b := range p.Backends() {
			p.SetActive(b, true, "test")
			time.Sleep(time.Second)
		}
	}
	for _, c := range []struct {
		name   string
		checks bool
		want   []int
		steps  func(p *Pool, b *Backend)
	}{
		{"first probes", true, atOnce, func(p *Pool, _ *Backend) { up(p) }},
		{"first probe fails", true, slowly, func(p *Pool, b *Backend) {
			p.SetActive(p.Backend("a:1"), true, "test")
			p.SetActive(b, false, "test")
			time.Sleep(time.Second)
			p.SetActive(b, true, "test")
		}},
		{"down, up", true, slowly, func(p *Pool, b *Backend) {
			up(p)
			p.SetActive(b, false, "test")
			time.Sleep(time.Second)
			p.SetActive(b, true, "test")
		}},
		{"without checks", false, atOnce, func(*Pool, *Backend) {}},
		{"drained", false, slowly, func(p *Pool, b *Backend) {
			p.SetAdmin(b, Drain, "test")
			p.SetAdmin(b, Ready, "test")
		}},
		{"maintained", true, slowly, func(p *Pool, b *Backend) {
			up(p)
			p.SetAdmin(b, Maint, "test")
			p.SetAdmin(b, Ready, "test")
			time.Sleep(time.Second)
			p.SetActive(b, true, "test")
		}},
		{"trial", false, slowly, func(_ *Pool, b *Backend) {
			fail(b, 3)
			time.Sleep(time.Second)
			synctest.Wait()
			b.Report(Success)
		}},
		{"on trial", false, atOnce, func(_ *Pool, b *Backend) { // one request at a time is slow enough
			fail(b, 3)
			time.Sleep(time.Second)
		}},
		{"probed while ejected", true, slowly, func(p *Pool, b *Backend) {
			up(p)
			fail(b, 3)
			p.ProbePassed(b)
		}},
		{"alone", true, atOnce, func(p *Pool, b *Backend) {
			up(p)
			p.SetActive(p.Backend("a:1"), false, "test")
			p.SetActive(p.Backend("c:1"), false, "test")
			p.SetActive(b, false, "test")
			p.SetActive(b, true, "test")
		}},
		{"weight set", false, atOnce, func(p *Pool, b *Backend) { _ = p.SetWeight(b, 7, "test") }},
		{"down again: from the beginning", true, slowly, func(p *Pool, b *Backend) {
			up(p)
			for range 2 {
				p.SetActive(b, false, "test")
				p.SetActive(b, true, "test")
				if b.Tenths() != 1 {
					panic("not slow")
				}
				time.Sleep(5 * time.Second)
			}
			p.SetActive(b, false, "test")
			p.SetActive(b, true, "test")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Members: at("a:1", "b:1", "c:1"), HealthChecks: c.checks, SlowStart: 9 * time.Second,
				Eject: Eject{Failures: 3, Duration: time.Second, MaxPercent: 50}}
			running(t, o, func(t *testing.T, p *Pool) {
				b := p.Backend("b:1")
				c.steps(p, b)
				if got := tenthsOver(b, 10); !slices.Equal(got, c.want) {
					t.Errorf("tenths %v, want %v", got, c.want)
				}
				if got := p.Backend("a:1").Tenths(); got != 10 {
					t.Errorf("%d tenths of another, want 10", got)
				}
			})
		})
	}
}

// TestSlowStartOfLateMembers: a backend that joins a pool in use starts slowly, also if discovery found it. The first members of
// an empty pool do not.
func TestSlowStartOfLateMembers(t *testing.T) {
	for _, checks := range []bool{false, true} {
		t.Run(fmt.Sprint("checks ", checks), func(t *testing.T) {
			o := Options{HealthChecks: checks, SlowStart: 9 * time.Second, Sources: []string{"dns"}}
			running(t, o, func(t *testing.T, p *Pool) {
				set := func(addresses ...string) {
					p.SetMembers("dns", at(addresses...))
					for _, b := range p.Backends() {
						if b.ActiveState() == ActiveUnknown {
							p.SetActive(b, true, "test")
						}
					}
				}
				set("a:1", "b:1")
				if a, b := p.Backend("a:1").Tenths(), p.Backend("b:1").Tenths(); a != 10 || b != 10 {
					t.Errorf("the first have %d and %d tenths, want all", a, b)
				}
				time.Sleep(time.Second)
				set("a:1", "b:1", "c:1")
				c := p.Backend("c:1")
				if got := c.Status().SlowStartPercent; got != 10 {
					t.Errorf("the status says %d %%, want 10", got)
				}
				time.Sleep(4500 * time.Millisecond)
				synctest.Wait()
				if got := c.Tenths(); got != 5 {
					t.Errorf("%d tenths at half time, want 5", got)
				}
				o.SlowStart = 0
				p.Apply(o)
				if got := c.Tenths(); got != 10 || c.Status().SlowStartPercent != 0 {
					t.Errorf("%d tenths without slow_start, want 10", got)
				}
			})
		})
	}
}

// TestSlowStartStepsTogether: however many backends come back, and whenever, the pool creates a bounded number of pickers, and
// none after all have their share.
func TestSlowStartStepsTogether(t *testing.T) {
	var pickers atomic.Int64
	o := Options{HealthChecks: true, SlowStart: 10 * time.Second, NewPicker: func(b []*Backend, seed uint64) Picker {
		pickers.Add(1)
		return rotate(b, seed)
	}}
	for i := range 301 {
		o.Members = append(o.Members, Member{Address: fmt.Sprintf("b:%d", i)})
	}
	running(t, o, func(t *testing.T, p *Pool) {
		all := p.Backends()
		for _, b := range all {
			p.SetActive(b, b == all[0], "test")
		}
		random := rand.New(rand.NewPCG(3, 4))
		for _, b := range all[1:] {
			p.SetActive(b, true, "test")
			time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
		}
		synctest.Wait()
		before := pickers.Load()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if made := pickers.Load() - before; made < 9 || made > stepsAtMost+1 {
			t.Errorf("%d pickers made, want 9 to %d", made, stepsAtMost+1)
		}
		for _, b := range all {
			if b.Tenths() != 10 {
				t.Fatalf("%s has %d tenths in the end", b.Address(), b.Tenths())
			}
		}
		before = pickers.Load()
		time.Sleep(time.Hour)
		synctest.Wait()
		if made := pickers.Load() - before; made != 0 {
			t.Errorf("%d pickers made while nothing changed", made)
		}
		if wait := p.growShares(time.Now()); wait != farAway {
			t.Errorf("looks again in %v, want %v", wait, farAway)
		}
	})
}

// TestSlowStartLeavesLimits: a growing share does not limit a backend: it serves a request that has no other backend.
func TestSlowStartLeavesLimits(t *testing.T) {
	o := Options{Members: []Member{{Address: "a:1", MaxConns: 1}, {Address: "b:1", MaxConns: 2}}, SlowStart: time.Hour}
	running(t, o, func(t *testing.T, p *Pool) {
		b := p.Backend("b:1")
		p.SetAdmin(b, Drain, "test")
		p.SetAdmin(b, Ready, "test")
		for range 3 {
			defer mustPick(t, p).Release()
		}
		if _, err := p.Pick(t.Context(), 0, nil); !errors.Is(err, ErrFull) {
			t.Errorf("got %v, want %v", err, ErrFull)
		}
	})
}
