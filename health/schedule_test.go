package health

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"lb/pool"
)

// scripted is a dialer whose backends respond at once, refuse or hang. It works without a network and so in fake
// time.
type scripted struct {
	mu     sync.Mutex
	script map[string]string // by address, the results of the next probes: u up, d refused, h hang; the last one repeats
	start  time.Time
	dialed map[string][]time.Duration // since start
}

func newScript() *scripted {
	return &scripted{
		script: make(map[string]string),
		start:  time.Now(),
		dialed: make(map[string][]time.Duration),
	}
}

func (s *scripted) dial(ctx context.Context, b *pool.Backend) (net.Conn, error) {
	s.mu.Lock()
	address := b.Address()
	s.dialed[address] = append(s.dialed[address], time.Since(s.start))
	script := s.script[address]
	if len(script) > 1 {
		s.script[address] = script[1:]
	}
	s.mu.Unlock()
	switch script[0] {
	case 'd':
		return nil, syscall.ECONNREFUSED
	case 'n':
		return nil, &net.DNSError{Name: "app", Err: "no such host", IsNotFound: true}
	case 'h':
		<-ctx.Done()
		return nil, ctx.Err()
	}
	client, server := net.Pipe()
	_ = server.Close()
	return client, nil
}

func (s *scripted) set(address, script string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script[address] = script
}

func (s *scripted) times(address string) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dialed[address])
}

// times builds the expected times of probes from milliseconds.
func times(ms ...int) []time.Duration {
	var d []time.Duration
	for _, m := range ms {
		d = append(d, time.Duration(m)*time.Millisecond)
	}
	return d
}

var tcpConfig = Config{
	Type: TCP, Interval: 2 * time.Second, FastInterval: 500 * time.Millisecond, Timeout: time.Second, Rise: 2, Fall: 3,
}

// TestSchedule pins when probes run and what flips: the first probe runs at once and decides alone, later ones need
// rise or fall in a row, and a backend that is changing state is probed at the fast interval.
func TestSchedule(t *testing.T) {
	cases := []struct {
		name, script string
		probes       []time.Duration
		flips        string // u, d with the milliseconds since the start
	}{
		{"up at once", "u", times(0, 2000, 4000, 6000), "u@0"},
		{"down at once", "d", times(0, 2000, 4000, 6000), "d@0"},
		{"falls", "uddd", times(0, 2000, 2500, 3000, 5000), "u@0 d@3000"},
		{"rises", "duu", times(0, 2000, 2500, 4500, 6500), "d@0 u@2500"},
		{"not in a row", "uddudu", times(0, 2000, 2500, 3000, 5000, 5500), "u@0"},
		{"back and forth", "uddduu", times(0, 2000, 2500, 3000, 5000, 5500), "u@0 d@3000 u@5500"},
		{"hangs: the fast interval never overlaps a probe", "uhhhd", times(0, 2000, 3000, 4000, 6000), "u@0 d@5000"},
		{"hangs from the start", "hu", times(0, 2000, 2500, 4500), "d@1000 u@2500"},
		{"no such name: back-off up to the interval", "n", times(0, 500, 1500, 3500, 5500), "d@0"},
		{"the name appears", "nnuu", times(0, 500, 1500, 2000, 4000), "d@0 u@2000"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := newScript(), &recorder{}
				s.set("a:1", c.script)
				checker := New(Options{Config: tcpConfig, Pool: r, Dial: s.dial})
				checker.Join(backend("a:1"))
				checker.Start(t.Context())
				time.Sleep(c.probes[len(c.probes)-1] + time.Millisecond)
				synctest.Wait()
				checker.Stop()

				if got := s.times("a:1"); !slices.Equal(got, c.probes) {
					t.Errorf("probes at %v, want %v", got, c.probes)
				}
				var flips []string
				for _, f := range r.all() {
					word := "d@"
					if f.up {
						word = "u@"
					}
					flips = append(flips, word+milliseconds(f.at.Sub(s.start)))
				}
				if got := strings.Join(flips, " "); got != c.flips {
					t.Errorf("flips %q, want %q", got, c.flips)
				}
			})
		})
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// TestHangingTargetDelaysNoOther: probes of different backends must not run one after another.
func TestHangingTargetDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newScript(), &recorder{}
		config := tcpConfig
		config.Timeout = time.Hour
		checker := New(Options{Config: config, Pool: r, Dial: s.dial})
		for _, address := range []string{"hang:1", "hang:2", "ok:1"} {
			s.set(address, address[:1])
			checker.Join(backend(address))
		}
		s.set("ok:1", "u")
		checker.Start(t.Context())
		time.Sleep(6001 * time.Millisecond)
		synctest.Wait()
		if got, want := s.times("ok:1"), times(0, 2000, 4000, 6000); !slices.Equal(got, want) {
			t.Errorf("probes at %v, want %v", got, want)
		}
		checker.Stop() // also ends the probes that hang
		if n := len(s.times("hang:1")); n != 1 {
			t.Errorf("%d probes of the hanging target, want 1", n)
		}
		if got := len(r.all()); got != 1 {
			t.Errorf("%d flips, want one: an interrupted probe says nothing", got)
		}
	})
}

func TestJitterBounds(t *testing.T) {
	for _, c := range []struct {
		random float64
		want   []time.Duration
	}{
		{0, times(0, 1800, 3600)},
		{0.5, times(0, 2000, 4000)},
		{0.9999999999, times(0, 2200, 4400)},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript()
			s.set("a:1", "u")
			config := tcpConfig
			config.Jitter = 0.1
			checker := New(Options{Config: config, Pool: &recorder{}, Dial: s.dial, Random: func() float64 { return c.random }})
			checker.Join(backend("a:1"))
			checker.Start(t.Context())
			time.Sleep(5 * time.Second)
			checker.Stop()
			if got := s.times("a:1"); !slices.Equal(got, c.want) {
				t.Errorf("random %v: probes at %v, want %v", c.random, got, c.want)
			}
		})
	}
}

// TestLoopsWakeTogether: probes are due at multiples of a fortieth of their interval, whenever their backends joined,
// so that the process wakes at most forty times in an interval. Rounding does not change the mean interval.
func TestLoopsWakeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const backends, seconds = 200, 60
		s := newScript()
		config := tcpConfig
		config.Jitter = 0.1
		random := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		checker := New(Options{Config: config, Pool: &recorder{}, Dial: s.dial, Random: func() float64 {
			mu.Lock()
			defer mu.Unlock()
			return random.Float64()
		}})
		checker.Start(t.Context())
		for i := range backends {
			address := "b:" + strconv.Itoa(i)
			s.set(address, "u")
			checker.Join(backend(address))
			time.Sleep(7 * time.Millisecond)
		}
		time.Sleep(seconds * time.Second)
		checker.Stop()
		wakes, probes := map[time.Duration]bool{}, 0
		for i := range backends {
			for _, at := range s.times("b:" + strconv.Itoa(i))[1:] {
				wakes[at] = true
				probes++
				if at%(50*time.Millisecond) != 0 {
					t.Fatalf("a probe at %v, not a fortieth of the interval", at)
				}
			}
		}
		if most := (seconds + 2) * 20; len(wakes) > most {
			t.Errorf("woke %d times, want %d at most", len(wakes), most)
		}
		if want := backends * seconds / 2; probes < want*98/100 || probes > want*104/100 {
			t.Errorf("%d probes in %d s, want about %d", probes, seconds, want)
		}
	})
}

func TestJoinAndLeaveWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newScript(), &recorder{}
		s.set("a:1", "u")
		s.set("b:1", "d")
		checker := New(Options{Config: tcpConfig, Pool: r, Dial: s.dial})
		a, b := backend("a:1"), backend("b:1")
		checker.Join(a)
		checker.Start(t.Context())
		time.Sleep(time.Second)
		checker.Join(b) // discovered: probed at once
		checker.Join(a) // there already: no second loop
		time.Sleep(1500 * time.Millisecond)
		checker.Leave(a)
		time.Sleep(time.Minute)
		checker.Stop()
		if got, want := s.times("a:1"), times(0, 2000); !slices.Equal(got, want) {
			t.Errorf("probes of the one that left at %v, want %v", got, want)
		}
		if got := s.times("b:1"); len(got) < 20 || got[0] != time.Second {
			t.Errorf("probes of the one that joined at %v, want the first at 1s", got)
		}
		if n := len(r.all()); n != 2 {
			t.Errorf("%d flips, want 2", n)
		}
	})
}

// TestLeaveDropsTheProbeInProgress: a result after its backend was removed is not reported.
func TestLeaveDropsTheProbeInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newScript(), &recorder{}
		s.set("a:1", "h")
		checker := New(Options{Config: tcpConfig, Pool: r, Dial: s.dial})
		a := backend("a:1")
		checker.Join(a)
		checker.Start(t.Context())
		time.Sleep(500 * time.Millisecond)
		checker.Leave(a)
		time.Sleep(time.Minute)
		checker.Stop()
		if n := len(r.all()); n != 0 {
			t.Errorf("%d flips of a backend that left", n)
		}
	})
}

// TestReconfigureKeepsState: a reload must not reset health.
func TestReconfigureKeepsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newScript(), &recorder{}
		s.set("a:1", "d")
		config := tcpConfig
		config.Interval = time.Hour
		checker := New(Options{Config: config, Pool: r, Dial: s.dial})
		checker.Join(backend("a:1"))
		checker.Start(t.Context())
		time.Sleep(500 * time.Millisecond)
		s.set("a:1", "u")
		checker.Reconfigure(tcpConfig) // an hour's wait becomes one of 2s from the last probe
		time.Sleep(1600 * time.Millisecond)
		synctest.Wait()
		if got := r.all(); len(got) != 1 || got[0].up {
			t.Errorf("flips %v, want the first one only: one pass after a reload is not a first probe", got)
		}
		time.Sleep(time.Second)
		checker.Stop()
		if got, want := s.times("a:1"), times(0, 2000, 2500); !slices.Equal(got, want) {
			t.Errorf("probes at %v, want %v", got, want)
		}
		if got := r.all(); len(got) != 2 || !got[1].up || got[1].reason != "2 checks passed in a row" {
			t.Errorf("flips %v, want down, then up", got)
		}
	})
}

// TestTwoPoolsDoNotShareHealth: results belong to a backend of a pool, not to an address.
func TestTwoPoolsDoNotShareHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fine, broken := newScript(), newScript()
		fine.set("a:1", "u")
		broken.set("a:1", "d")
		one, two := &recorder{}, &recorder{}
		first := New(Options{Config: tcpConfig, Pool: one, Dial: fine.dial})
		second := New(Options{Config: tcpConfig, Pool: two, Dial: broken.dial})
		first.Join(backend("a:1"))
		second.Join(backend("a:1"))
		first.Start(t.Context())
		second.Start(t.Context())
		time.Sleep(10 * time.Second)
		first.Stop()
		second.Stop()
		if f := one.all(); len(f) != 1 || !f[0].up {
			t.Errorf("flips in the first pool %v, want up only", f)
		}
		if f := two.all(); len(f) != 1 || f[0].up {
			t.Errorf("flips in the second pool %v, want down only", f)
		}
	})
}

// TestMaintenance: no probes during maintenance, and one at once when it ends, which decides alone.
func TestMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newScript(), &recorder{}
		s.set("a:1", "u")
		p := pool.New(pool.Options{Name: "app", Members: []pool.Member{{Address: "a:1"}}, HealthChecks: true})
		b := p.Backend("a:1")
		r.pool = p
		checker := New(Options{Config: tcpConfig, Pool: r, Dial: s.dial})
		p.SetAdmin(b, pool.Maint, "test")
		checker.Join(b)
		checker.Start(t.Context())
		time.Sleep(time.Minute)
		p.SetAdmin(b, pool.Ready, "test")
		checker.AdminChanged(b)
		checker.AdminChanged(b) // called twice: still one loop
		time.Sleep(3 * time.Second)
		p.SetAdmin(b, pool.Drain, "test") // a draining backend is probed on
		checker.AdminChanged(b)
		time.Sleep(2 * time.Second)
		p.SetAdmin(b, pool.Maint, "test")
		checker.AdminChanged(b)
		time.Sleep(time.Minute)
		s.set("a:1", "d")
		p.SetAdmin(b, pool.Ready, "test")
		checker.AdminChanged(b)
		synctest.Wait()
		checker.Stop()
		if got, want := s.times("a:1"), times(60_000, 62_000, 64_000, 125_000); !slices.Equal(got, want) {
			t.Errorf("probes at %v, want %v", got, want)
		}
		if f := r.all(); len(f) != 2 || !f[0].up || f[1].up {
			t.Errorf("flips %v, want up, then down by the first probe after the second maintenance", f)
		}
	})
}

// TestShortMaintenance: what was known is stale even if maintenance was over before AdminChanged was called.
func TestShortMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.set("a:1", "ud")
		p := pool.New(pool.Options{Name: "app", Members: []pool.Member{{Address: "a:1"}}, HealthChecks: true})
		b := p.Backend("a:1")
		checker := New(Options{Config: tcpConfig, Pool: p, Dial: s.dial})
		checker.Join(b)
		checker.Start(t.Context())
		time.Sleep(time.Second)
		p.SetAdmin(b, pool.Maint, "test")
		p.SetAdmin(b, pool.Ready, "test")
		checker.AdminChanged(b)
		checker.AdminChanged(b)
		synctest.Wait()
		checker.Stop()
		if got, want := s.times("a:1"), times(0, 1000); !slices.Equal(got, want) {
			t.Errorf("probes at %v, want %v", got, want)
		}
		if b.ActiveState() != pool.ActiveDown {
			t.Errorf("%v, want down by the first probe after maintenance", b.ActiveState())
		}
	})
}

func TestStartEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.set("a:1", "u")
		ctx, cancel := context.WithCancel(t.Context())
		checker := New(Options{Config: tcpConfig, Pool: &recorder{}, Dial: s.dial})
		checker.Join(backend("a:1"))
		checker.Start(ctx)
		time.Sleep(time.Second)
		cancel()
		time.Sleep(time.Minute)
		checker.Stop()
		checker.Join(backend("a:1")) // after the end: nothing starts
		if got, want := s.times("a:1"), times(0); !slices.Equal(got, want) {
			t.Errorf("probes at %v, want %v", got, want)
		}
	})
}
