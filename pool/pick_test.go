package pool

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/cpu"
)

func TestTriedAreAvoided(t *testing.T) {
	p := New(Options{Members: []Member{{Address: "a", MaxConns: 2}, {Address: "b", MaxConns: 1}, {Address: "c", MaxConns: 1}}})
	defer p.Close()
	a, b, c := p.Backend("a"), p.Backend("b"), p.Backend("c")
	if got := mustPick(t, p, a); got != b {
		t.Errorf("picked %s", got.Address())
	}
	if got := mustPick(t, p, a, b); got != c {
		t.Errorf("picked %s", got.Address())
	}
	// b and c are full now: a, which has room, is not used while they are usable.
	if got, err := p.Pick(t.Context(), 0, []*Backend{a}); err != ErrFull {
		t.Errorf("picked %v, %v", got, err)
	}
	if got := mustPick(t, p, a, b, c); got != a {
		t.Errorf("all tried: picked %s", got.Address())
	}
	p.SetActive(b, false, "refused")
	p.SetAdmin(c, Maint, "upgrade")
	if got := mustPick(t, p, a); got != a {
		t.Errorf("the only usable one is tried: picked %s", got.Address())
	}
	if n := a.InFlight(); n != 2 {
		t.Errorf("a has %d requests, it was picked twice", n)
	}
}

func TestNoneUsable(t *testing.T) {
	p := New(Options{Members: at("a"), QueueLimit: 10, PanicThreshold: 1})
	defer p.Close()
	p.SetActive(p.Backend("a"), false, "refused")
	expectError(t, p, ErrNoBackend)
	if _, err := p.Pick(t.Context(), 0, []*Backend{p.Backend("a")}); err != ErrNoBackend {
		t.Errorf("error %v", err)
	}
}

func TestRequestPathDoesNotAllocate(t *testing.T) {
	for _, maxConns := range []int{0, 10} {
		p := New(Options{
			Members: []Member{{Address: "a", MaxConns: maxConns}, {Address: "b", MaxConns: maxConns}}, NewPicker: rotate,
			Eject: Eject{Failures: 5, MaxPercent: 50}, QueueLimit: 10,
		})
		ctx := t.Context()
		tried := p.Backends()[:1]
		if n := testing.AllocsPerRun(100, func() {
			b, _ := p.Pick(ctx, 0, nil)
			b.Report(Timeout)
			b.Observe(0, 1e6)
			b.Report(Success)
			b.Release()
			b, _ = p.Pick(ctx, 0, tried)
			p.Metrics().Retried(Status, 503)
			p.ProbePassed(b)
			b.Release()
			p.AllowRetry()
		}); n != 0 {
			t.Errorf("max_conns %d: %v allocations", maxConns, n)
		}
		p.Close()
	}
}

// Requests to different backends must not write to the same cache line.
func TestCountersStandAlone(t *testing.T) {
	var b Backend
	line := unsafe.Sizeof(cpu.CacheLinePad{})
	from := unsafe.Offsetof(b.counters)
	if size := unsafe.Sizeof(b.counters); size > line {
		t.Errorf("the counters take %d bytes, a cache line has %d", size, line)
	}
	if before := unsafe.Offsetof(b.closing) + unsafe.Sizeof(b.closing); from-before < line {
		t.Errorf("%d bytes before the counters", from-before)
	}
	if after := unsafe.Sizeof(b) - from - unsafe.Sizeof(b.counters); after < line {
		t.Errorf("%d bytes after the counters", after)
	}
}

func TestMovingAverage(t *testing.T) {
	b := NewBackend(Member{Address: "a"})
	b.Observe(0, 8e6)
	if got := b.Status().EWMAMillis; got != 8 {
		t.Errorf("after the first: %v ms", got)
	}
	for range 16 {
		b.Observe(0, 24e6)
	}
	if got := b.Status().EWMAMillis; got < 16 || got > 20 {
		t.Errorf("after sixteen of 24 ms: %v ms", got)
	}
	for range 200 {
		b.Observe(0, 24e6)
	}
	if got := b.Status().EWMAMillis; got < 23.9 || got > 24 {
		t.Errorf("in the end: %v ms", got)
	}
}

func BenchmarkPickAndRelease(b *testing.B) {
	p := New(Options{Members: at("a", "b", "c"), NewPicker: rotate})
	defer p.Close()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		backend, _ := p.Pick(ctx, 0, nil)
		backend.Report(Success)
		backend.Release()
	}
}

// TestTryPick: an optional retry gets a backend that was not tried, at once, or none.
func TestTryPick(t *testing.T) {
	p := New(Options{Members: []Member{{Address: "a", MaxConns: 1}, {Address: "b", MaxConns: 1}}, QueueLimit: 10})
	defer p.Close()
	a, b := p.Backend("a"), p.Backend("b")
	if got := p.TryPick(0, []*Backend{a}); got != b {
		t.Fatalf("picked %v", got)
	}
	if got := p.TryPick(0, []*Backend{a}); got != nil {
		t.Errorf("with b full: picked %s", got.Address())
	}
	if a.InFlight() != 0 || b.InFlight() != 1 {
		t.Errorf("%d and %d in flight", a.InFlight(), b.InFlight())
	}
	b.Release()
	if got := p.TryPick(0, []*Backend{a, b}); got != nil {
		t.Errorf("all tried: picked %s", got.Address())
	}
	p.SetActive(a, false, "refused")
	p.SetActive(b, false, "refused")
	if got := p.TryPick(0, nil); got != nil {
		t.Errorf("none usable: picked %s", got.Address())
	}
}

// TestRetryGoesToABackup: a retry that has tried all primaries goes to a backup, not back to a primary. A first try does not,
// however full the primaries are.
func TestRetryGoesToABackup(t *testing.T) {
	p := New(Options{NewPicker: rotate, Members: []Member{
		{Address: "a", MaxConns: 1}, {Address: "b", MaxConns: 1},
		{Address: "x", MaxConns: 1, Backup: true}, {Address: "y", MaxConns: 1, Backup: true},
	}})
	defer p.Close()
	a, b, x, y := p.Backend("a"), p.Backend("b"), p.Backend("x"), p.Backend("y")
	both := []*Backend{x, y}
	if got := mustPick(t, p, a); got != b {
		t.Errorf("a tried: picked %s", got.Address())
	}
	if got := p.TryPick(0, []*Backend{a}); !contains(both, got) {
		t.Errorf("a tried, b full, by TryPick: picked %v", got)
	}
	if got := mustPick(t, p, a, b); !contains(both, got) {
		t.Errorf("a and b tried: picked %s", got.Address())
	}
	if x.InFlight() != 1 || y.InFlight() != 1 {
		t.Errorf("%d and %d on the backups", x.InFlight(), y.InFlight())
	}
	// Both backups are full: a, which was tried, does not replace one that was not.
	if got, err := p.Pick(t.Context(), 0, []*Backend{a, b}); err != ErrFull {
		t.Errorf("picked %v, %v", got, err)
	}
	if got := mustPick(t, p, a, b, x, y); got != a {
		t.Errorf("all tried: picked %s", got.Address())
	}
	x.Release()
	expectError(t, p, ErrFull) // a first try
	a.Release()
	p.SetActive(x, false, "refused")
	p.SetAdmin(y, Maint, "upgrade")
	if got := mustPick(t, p, a, b); got != a {
		t.Errorf("no backup usable: picked %s", got.Address())
	}
}

// TestRetryInPanic: of the backends that a panic uses, a retry takes the usable ones first, then a backup, and only then those
// that are down.
func TestRetryInPanic(t *testing.T) {
	p := New(Options{NewPicker: rotate, PanicThreshold: 1, Members: append(at("a", "b", "c"), Member{Address: "x", Backup: true})})
	defer p.Close()
	a, b, c, x := p.Backend("a"), p.Backend("b"), p.Backend("c"), p.Backend("x")
	p.SetActive(b, false, "refused")
	for range 5 {
		if got := mustPick(t, p, c); got != a {
			t.Errorf("c tried: picked %s", got.Address())
		}
		if got := mustPick(t, p, a, c); got != x {
			t.Errorf("a and c tried: picked %s", got.Address())
		}
		if got := mustPick(t, p, a, c, x); got != b {
			t.Errorf("all but b tried: picked %s", got.Address())
		}
	}
}

// TestWaitingRetryGetsABackup: a retry in the queue gets a free backup, ahead of requests that wait for a primary
// with their first try.
func TestWaitingRetryGetsABackup(t *testing.T) {
	o := Options{QueueLimit: 5, Members: []Member{{Address: "a", MaxConns: 1}, {Address: "x", MaxConns: 1, Backup: true}}}
	running(t, o, func(t *testing.T, p *Pool) {
		l := line{pool: p}
		a := mustPick(t, p)
		l.join(t.Context(), "1")
		l.join(t.Context(), "retry", a)
		expect(t, "a is full", l.seen.take(), []string{"retry got x"})
		l.join(t.Context(), "2")
		l.join(t.Context(), "another", a)
		p.Backend("x").Release()
		expect(t, "x is free", l.seen.take(), []string{"another got x"})
		if b := p.TryPick(0, []*Backend{a}); b != nil {
			t.Errorf("TryPick picked %s", b.Address())
		}
		p.Backend("x").Release()
		if b := p.TryPick(0, []*Backend{a}); b != p.Backend("x") {
			t.Errorf("TryPick, before the requests that wait for a: %v", b)
		}
		a.Release()
		expect(t, "a is free", l.seen.take(), []string{"1 got a"})
		a.Release()
		expect(t, "a is free again", l.seen.take(), []string{"2 got a"})
	})
}
