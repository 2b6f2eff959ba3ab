package pool

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// doors holds which backends accept connections, and counts the attempts.
type doors struct {
	mu     sync.Mutex
	isOpen map[string]bool
	looked map[string]int
}

func newDoors() *doors { return &doors{isOpen: map[string]bool{}, looked: map[string]int{}} }

func (d *doors) dial(_ context.Context, b *Backend) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looked[b.Address()]++
	if d.isOpen[b.Address()] {
		return nil
	}
	return errors.New("refused")
}

func (d *doors) open(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isOpen[address] = true
}

func (d *doors) looks(address string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.looked[address]
}

// TestRefusingBackendIsUnusableUntilItAccepts: one refused connection takes a backend out, whatever the settings of eject, and the pool itself
// detects when it accepts again.
func TestRefusingBackendIsUnusableUntilItAccepts(t *testing.T) {
	for _, eject := range []Eject{{}, ejecting.Eject} {
		d := newDoors()
		var seen events
		o := Options{Members: at("a", "b"), NewPicker: rotate, Dial: d.dial, Eject: eject}
		seen.hook(&o)
		running(t, o, func(t *testing.T, p *Pool) {
			a, b := p.Backend("a"), p.Backend("b")
			synctest.Wait()
			seen.take()
			for range 3 {
				a.Report(Connect)
				a.Refused("connection refused")
			}
			expectPassive(t, a, PassiveRefuse)
			expect(t, "events", seen.take(), []string{"a ok>ejected: connection refused"})
			for range 4 {
				if got := mustPick(t, p); got != b {
					t.Fatal("picked one that refuses connections")
				}
			}
			if s := a.Status(); s.Usable || s.State != "ejected" || s.Passive != "ejected" {
				t.Errorf("%+v", s)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := d.looks("a"); n < 60 || n > 70 {
				t.Errorf("%d looks in a minute", n)
			}
			d.open("a")
			time.Sleep(slowestRedial)
			expectPassive(t, a, PassiveOK)
			expect(t, "events", seen.take(), []string{"a ejected>ok: accepts connections"})
		})
	}
}

// TestNoDialsInMaintenance: a backend in maintenance is not dialed.
func TestNoDialsInMaintenance(t *testing.T) {
	d := newDoors()
	running(t, Options{Members: at("a", "b"), Dial: d.dial}, func(t *testing.T, p *Pool) {
		a := p.Backend("a")
		a.Refused("connection refused")
		p.SetAdmin(a, Maint, "by hand")
		synctest.Wait()
		before := d.looks("a")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := d.looks("a") - before; n != 0 {
			t.Errorf("%d looks", n)
		}
		d.open("a")
		p.SetAdmin(a, Ready, "by hand")
		time.Sleep(slowestRedial)
		expectPassive(t, a, PassiveOK)
	})
}

// TestResetsEjectAllButTheLast: max_percent does not limit ejections for failed connections.
func TestResetsEjectAllButTheLast(t *testing.T) {
	for _, o := range []Outcome{Reset, Connect} {
		for _, percent := range []int{0, 50} {
			p := New(Options{Members: at("a", "b", "c", "d"), Eject: Eject{Failures: 2, Duration: time.Second, MaxPercent: percent}})
			for _, b := range p.Backends() {
				for range 5 {
					b.Report(o)
				}
			}
			if got := addresses(p.snapshot.Load().usable); got != "d" {
				t.Errorf("outcome %d, max_percent %d: %q usable", o, percent, got)
			}
			p.Close()
		}
	}
}

// TestEjectedAreTriedWhenTheLastRefuses: when the last backend that was not ejected begins to refuse connections, or fails its checks,
// the temporarily ejected ones are tried at once.
func TestEjectedAreTriedWhenTheLastRefuses(t *testing.T) {
	for what, end := range map[string]func(*Pool, *Backend){
		"refuses":    func(_ *Pool, b *Backend) { b.Refused("connection refused") },
		"goes down":  func(p *Pool, b *Backend) { p.SetActive(b, false, "status 500") },
		"is drained": func(p *Pool, b *Backend) { p.SetAdmin(b, Drain, "by hand") },
	} {
		o := ejecting
		o.Dial = newDoors().dial
		running(t, o, func(t *testing.T, p *Pool) {
			a, b := p.Backend("a"), p.Backend("b")
			fail(a, 3)
			end(p, b)
			if got := addresses(p.snapshot.Load().usable); got != "a" {
				t.Errorf("when the last one %s: %q usable", what, got)
			}
			expectPassive(t, a, PassiveTrial)
		})
	}
}

// TestRelapse: a backend that alternately accepts and refuses is not dialed too often.
func TestRelapse(t *testing.T) {
	d := newDoors()
	d.open("a")
	running(t, Options{Members: at("a", "b"), Dial: d.dial}, func(t *testing.T, p *Pool) {
		a := p.Backend("a")
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			a.Refused("connection refused")
			synctest.Wait()
		}
		if n := d.looks("a"); n > 80 {
			t.Errorf("%d looks in a minute", n)
		}
	})
}

func TestRecentFailures(t *testing.T) {
	var now int64
	b := NewBackendWith(Member{Address: "a"}, func() int64 { return now })
	if n := b.RecentFailures(); n != 0 {
		t.Errorf("%d at first", n)
	}
	for range 8 {
		b.Report(Status)
	}
	b.Report(Aborted)
	for want := int64(8); want > 0; want /= 2 {
		if n := b.RecentFailures(); n != want {
			t.Errorf("%d, want %d", n, want)
		}
		now += tick << halvingShift
	}
	if n := b.RecentFailures(); n != 0 {
		t.Errorf("%d in the end", n)
	}
	if b.recent.word.Load() != 0 {
		t.Error("what is over still costs a look at the clock")
	}
}
