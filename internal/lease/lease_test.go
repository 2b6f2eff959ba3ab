package lease

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/internal/gcra"
	"lb/internal/lbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process is a process of a fleet.
type process struct {
	*Store
	changes chan error // of Changed
	asked   atomic.Int64
}

// join starts a process whose limits are in the Redis at an address.
func join(t testing.TB, url string) *process {
	t.Helper()
	address, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{changes: make(chan error, 100)}
	p.Store = NewStore(Options{
		Address: address, Changed: func(err error) { p.changes <- err }, Asked: func(time.Duration, error) { p.asked.Add(1) },
	})
	p.patience = patience * 100 // for a machine that is busy
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return p
}

// lost waits until Redis cannot be used, and returns the reason.
func (p *process) lost(t testing.TB) string {
	t.Helper()
	err, ok := lbtest.Wait(t, "redis is lost", p.changes)
	if !ok || err == nil {
		t.Fatalf("%v", err)
	}
	return err.Error()
}

func (p *process) found(t testing.TB) {
	t.Helper()
	if err, ok := lbtest.Wait(t, "redis is found", p.changes); !ok || err != nil {
		t.Fatalf("%v", err)
	}
}

func client(l *Limit, name string) Client {
	return Client{Key: gcra.Key(l.table.entries.Seed(), 0, []byte(name)), Identity: []byte(name)}
}

// decide is what a filter does.
func decide(l *Limit, name string) Outcome {
	c := client(l, name)
	o := l.Take(c)
	if o == Unknown {
		o = l.Ask(context.Background(), c)
	}
	return o
}

const perHour = 1.0 / 3600

// TestFleet: of many requests through three processes, the burst passes and no more, and few ask Redis.
func TestFleet(t *testing.T) {
	redis := lbtest.StartRedis(t)
	const burst, requests = 1000, 3000
	var granted, denied, other atomic.Int64
	var fleet []*process
	var running sync.WaitGroup
	for range 3 {
		p := join(t, "redis://"+redis.Addr)
		fleet = append(fleet, p)
		l := p.NewLimit("a", perHour, burst, NewTable())
		for range 4 {
			running.Go(func() {
				for range requests / 12 {
					switch decide(l, "ann") {
					case Granted:
						granted.Add(1)
					case Denied:
						denied.Add(1)
					default:
						other.Add(1)
					}
				}
			})
		}
	}
	running.Wait()
	if other.Load() > 0 {
		t.Errorf("%d requests could not be decided", other.Load())
	}
	if n := granted.Load(); n > burst || n < burst-3*burst/10 {
		t.Errorf("%d requests passed of %d", n, burst)
	}
	asked := int64(0)
	for _, p := range fleet {
		asked += p.asked.Load()
	}
	t.Logf("%d granted, %d denied, %d round trips", granted.Load(), denied.Load(), asked)
	if l := fleet[0].NewLimit("a", perHour, burst, NewTable()); decide(l, "bob") != Granted {
		t.Error("another client is denied")
	}
	if l := fleet[0].NewLimit("b", perHour, burst, NewTable()); decide(l, "ann") != Granted {
		t.Error("another limit denies")
	}
}

// TestBurst: a small burst is exact, whichever process a request comes to.
func TestBurst(t *testing.T) {
	redis := lbtest.StartRedis(t)
	a, b := join(t, "redis://"+redis.Addr), join(t, "redis://"+redis.Addr+"/0")
	limits := []*Limit{a.NewLimit("a", perHour, 5, NewTable()), b.NewLimit("a", perHour, 5, NewTable())}
	for i := range 10 {
		want := Granted
		if i >= 5 {
			want = Denied
		}
		if got := decide(limits[i%2], "ann"); got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
	if d := limits[0].table.entries.Peek(client(limits[0], "ann").Key, gcra.NewRate(perHour, 5)); d.OK || d.Retry < 59*time.Minute || d.Retry > time.Hour {
		t.Errorf("%+v", d)
	}
	name := limits[0].name(&Client{Identity: []byte("ann")})
	if life := redis.Do("PTTL", name); len(life) != len(":18000000") {
		t.Errorf("the key lives %s ms", life)
	}
}

// TestValues: whatever is at a key in Redis, a client gets at most its burst and waits at most as long as that takes.
func TestValues(t *testing.T) {
	redis := lbtest.StartRedis(t)
	p := join(t, "redis://"+redis.Addr)
	for name, c := range map[string]struct {
		command []string
		want    Outcome
	}{
		"a list":      {[]string{"RPUSH", "KEY", "x"}, Granted},
		"text":        {[]string{"SET", "KEY", "x"}, Granted},
		"nan":         {[]string{"SET", "KEY", "nan"}, Granted},
		"the past":    {[]string{"SET", "KEY", "-1e300"}, Granted},
		"the future":  {[]string{"SET", "KEY", "1e300"}, Denied},
		"infinity":    {[]string{"SET", "KEY", "inf"}, Denied},
		"no script":   {[]string{"SCRIPT", "FLUSH"}, Granted},
		"expiry lost": {[]string{"SET", "KEY", "1"}, Granted},
	} {
		l := p.NewLimit(name, 1, 2, NewTable())
		key := l.name(&Client{Identity: []byte("ann")})
		for i := range c.command {
			c.command[i] = strings.Replace(c.command[i], "KEY", key, 1)
		}
		redis.Do(c.command...)
		if got := decide(l, "ann"); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if life := redis.Do("PTTL", key); len(life) < 2 || len(life) > len(":2000") || life[1] == '-' {
			t.Errorf("%s: the key lives %s ms", name, life)
		}
	}
}

// TestKilled: while Redis is away nobody waits for it, and it is used again when it is back.
func TestKilled(t *testing.T) {
	redis := lbtest.StartRedis(t)
	p := join(t, "redis://"+redis.Addr)
	l := p.NewLimit("a", perHour, 1, NewTable())
	if decide(l, "ann") != Granted {
		t.Fatal("not granted")
	}
	for range 2 {
		redis.Kill()
		lbtest.Eventually(t, "the loss", func() bool { return decide(l, "bob") == Unavailable && p.Down() })
		if o := l.Take(client(l, "eve")); o != Unavailable {
			t.Errorf("%d", o)
		}
		p.lost(t)
		redis.Start(t)
		p.found(t)
		if o := decide(l, "eve"); o != Granted {
			t.Errorf("%d", o)
		}
	}
}

// TestStopped: a Redis that accepts and does not respond.
func TestStopped(t *testing.T) {
	redis := lbtest.StartRedis(t)
	p := join(t, "redis://"+redis.Addr)
	l := p.NewLimit("a", perHour, 1, NewTable())
	if decide(l, "ann") != Granted {
		t.Fatal("not granted")
	}
	redis.Signal(syscall.SIGSTOP)
	var waiting sync.WaitGroup
	for range 50 {
		waiting.Go(func() {
			if o := decide(l, "bob"); o != Unavailable {
				t.Errorf("%d", o)
			}
		})
	}
	waiting.Wait()
	p.lost(t)
	redis.Signal(syscall.SIGCONT)
	p.found(t)
	if o := decide(l, "eve"); o != Granted {
		t.Errorf("%d", o)
	}
}

// TestRefusals: what Redis refuses is lost with a reason that says what to do and contains no password.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		args     []string
		userinfo string
		want     string
	}{
		"no password":    {[]string{"--requirepass", "right"}, "", "the URL needs a password"},
		"wrong password": {[]string{"--requirepass", "right"}, ":secret@", "the password in the URL is wrong"},
		"unknown user":   {[]string{"--requirepass", "right"}, "ann:secret@", "the password in the URL is wrong"},
		"a replica":      {[]string{"--replicaof", "127.0.0.1", "1"}, "", "name the primary"},
		"a cluster":      {[]string{"--cluster-enabled", "yes"}, "", "CLUSTERDOWN"},
		"full":           {[]string{"--maxmemory", "1"}, "", "raise maxmemory"},
	} {
		redis := lbtest.StartRedis(t, c.args...)
		p := join(t, "redis://"+c.userinfo+redis.Addr)
		if got := p.lost(t); !strings.Contains(got, c.want) || strings.Contains(got, "secret") {
			t.Errorf("%s: %s", name, got)
		}
		if o := decide(p.NewLimit("a", 1, 1, NewTable()), "ann"); o != Unavailable {
			t.Errorf("%s: %d", name, o)
		}
	}
	redis := lbtest.StartRedis(t, "--requirepass", "right")
	if o := decide(join(t, "redis://:right@"+redis.Addr).NewLimit("a", 1, 1, NewTable()), "ann"); o != Granted {
		t.Errorf("the right password: %d", o)
	}
	server := lbtest.StartRedis(t, "--user", "lb", "on", ">right", "~{lb:limit}:*", "+evalsha", "+script|load", "+get", "+set", "+time", "+select")
	if o := decide(join(t, "redis://lb:right@"+server.Addr+"/3").NewLimit("a", 1, 1, NewTable()), "ann"); o != Granted {
		t.Errorf("a user for lb alone: %d", o)
	}
	for _, text := range []string{"MOVED 1 10.0.0.2:6379", "LOADING Redis is loading the dataset in memory", "NOPERM this user has no permissions"} {
		if err := explained(errors.New(text)); !strings.HasPrefix(err.Error(), text+": ") {
			t.Error(err)
		}
	}
}

// TestNonsense: a server that is no Redis.
func TestNonsense(t *testing.T) {
	for _, response := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "+OK\r\n", "$-5\r\n", ":1\r\n", ""} {
		server := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			b := make([]byte, 4096)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				c.Send(response)
			}
		})
		p := join(t, "redis://"+server.Addr)
		t.Logf("%q: %s", response, p.lost(t))
		if o := decide(p.NewLimit("a", 1, 1, NewTable()), "ann"); o != Unavailable {
			t.Errorf("%q: %d", response, o)
		}
	}
}

// TestLeases: a lease that is used up is followed by a larger one, and ends; a refusal is remembered.
func TestLeases(t *testing.T) {
	const most = 8
	table := NewTable()
	now, later := func() int64 { return table.now() }, given{retry: time.Hour, reset: time.Hour}
	if o, _ := table.take(1, most); o != Unknown {
		t.Error("an unknown key has a lease")
	}
	for _, want := range []int{1, 2, 4, 8, 8} {
		size, held := table.next(1, most)
		if size != want || held != 0 {
			t.Fatalf("the next lease has %d tokens, %d are left, want %d", size, held, want)
		}
		table.put(1, now(), size, size, false, later)
		asked := 0
		for range size {
			o, more := table.take(1, most)
			if o != Granted {
				t.Fatalf("a lease of %d: %d", size, o)
			}
			if more {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("a lease of %d asks for more %d times", size, asked)
		}
		if o, _ := table.take(1, most); o != Unknown {
			t.Errorf("after a lease of %d: %d", size, o)
		}
	}
	table.put(1, now()-life.Milliseconds(), 8, 8, false, later)
	if o, _ := table.take(1, most); o != Unknown {
		t.Error("a lease has not ended")
	}
	if size, held := table.next(1, most); size != 1 || held != 0 {
		t.Errorf("after a lease that was not used: %d, %d", size, held)
	}
	table.put(1, now(), 1, 0, true, later)
	if o, _ := table.take(1, most); o != Denied {
		t.Errorf("%d", o)
	}
	table.put(1, now(), 8, 3, true, later)
	for range 3 {
		if o, more := table.take(1, most); o != Granted || more {
			t.Errorf("%d %t", o, more)
		}
	}
	for _, s := range []state{{}, {tokens: maxLease, until: 1 << 40, step: 12, denied: true, asked: true}, {until: 5, asked: true}} {
		if unpack(s.pack()) != s {
			t.Errorf("%+v", s)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	l := (&Store{}).NewLimit("a", 1, 1<<15, NewTable())
	c := client(l, "ann")
	l.table.put(c.Key, l.table.now(), 2000, 2000, true, given{})
	if n := testing.AllocsPerRun(1000, func() { l.Take(c) }); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"redis://a":                           "a:6379/0",
		"redis://:secret@[::1]:1/5":           "[::1]:1/5",
		"rediss://ann:secret@redis.example/1": "redis.example:6379/1",
		"redis://:s%2Fecret@a:1":              "a:1/0",
		"":                                    "",
		"secret":                              "",
		"http://a":                            "",
		"redis://:secret@":                    "",
		"redis://a:secret":                    "",
		"redis://a:0":                         "",
		"redis://a:70000":                     "",
		"redis://a/secret":                    "",
		"redis://a/-1":                        "",
		"redis://a?password=secret":           "",
		"redis://a#secret":                    "",
		"redis://secret@a":                    "",
		"redis://:secret\x00@a":               "",
		"redis://:sec%ret@a":                  "",
	} {
		a, err := ParseURL(text)
		if want == "" {
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err != nil || a.String() != want || (a.tlsConfig() != nil) != strings.HasPrefix(text, "rediss") {
			t.Errorf("%q: %s %v", text, a, err)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	l := (&Store{}).NewLimit("a", 1, 1<<15, NewTable())
	c := client(l, "ann")
	for i := 0; b.Loop(); i++ {
		if i%1000 == 0 {
			l.table.put(c.Key, l.table.now(), 2000, 2000, true, given{})
		}
		l.Take(c)
	}
}

// BenchmarkFleet is a client that never reaches its limit, with the share of requests that wait for Redis.
func BenchmarkFleet(b *testing.B) {
	redis := lbtest.StartRedis(b)
	l := join(b, "redis://"+redis.Addr).NewLimit("a", 1e6, 1e6, NewTable())
	c, waited := client(l, "ann"), 0
	for b.Loop() {
		if l.Take(c) == Unknown {
			waited++
			l.Ask(context.Background(), c)
		}
	}
	b.ReportMetric(float64(waited)/float64(b.N), "waits/op")
}
