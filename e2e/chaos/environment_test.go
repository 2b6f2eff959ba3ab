//go:build e2e

package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// environment is all that changes in lb and its backends during the load.
type environment struct {
	t       *testing.T
	lb      *balancer
	origins []*origin
	fixed   int // the number of origins in the configuration; the others are in a file
	end     chan struct{}
	group   sync.WaitGroup

	faults, reloads, refusals, scalings, changes atomic.Int64
}

// actor runs step after random pauses between two lengths until the end, and then last.
func (w *environment) actor(seed uint64, least, most time.Duration, step func(r *rand.Rand), last func()) {
	r := rand.New(rand.NewPCG(seed, 0))
	w.group.Go(func() {
		defer last()
		for w.pause(r, least, most) {
			step(r)
		}
	})
}

// pause reports whether the test goes on.
func (w *environment) pause(r *rand.Rand, least, most time.Duration) bool {
	wait(least+time.Duration(r.Int64N(int64(most-least))), w.end)
	select {
	case <-w.end:
		return false
	default:
		return true
	}
}

func (w *environment) start(seed uint64) {
	for i, o := range w.origins {
		w.actor(seed+uint64(i), 300*time.Millisecond, 3*time.Second, func(r *rand.Rand) { w.fault(r, o) }, func() { w.set(o, nil) })
	}
	w.actor(seed+100, 300*time.Millisecond, 1500*time.Millisecond, w.reload, func() { w.apply(initial, true) })
	w.actor(seed+101, 300*time.Millisecond, 1500*time.Millisecond, w.change, func() {})
	w.actor(seed+102, 300*time.Millisecond, 1500*time.Millisecond, w.scale, func() { w.publish(w.origins[w.fixed:], nil) })
}

func (w *environment) stop() {
	close(w.end)
	w.group.Wait()
}

func (w *environment) set(o *origin, f *fault) {
	if err := o.link.set(f); err != nil {
		w.t.Error(err)
	}
}

// fault makes one fault and ends it.
func (w *environment) fault(r *rand.Rand, o *origin) {
	f := &fault{over: make(chan struct{}), after: 1 + r.IntN(20_000), piece: 1 + r.IntN(900),
		wait: time.Duration(1+r.IntN(60)) * time.Millisecond}
	least, most := 200*time.Millisecond, 2500*time.Millisecond
	switch f.kind = []kind{reset, hiccup, die, refuse, delay, slice, hang, cut}[r.IntN(8)]; f.kind {
	case reset:
		least, most = time.Millisecond, 2*time.Millisecond
	case hiccup:
		least, most = time.Millisecond, 60*time.Millisecond
	}
	w.faults.Add(1)
	w.set(o, f)
	w.pause(r, least, most)
	w.set(o, nil)
}

// change changes a backend by the admin API and undoes it.
func (w *environment) change(r *rand.Rand) {
	o := w.origins[r.IntN(w.fixed)]
	path := "/api/v1/pools/app/backends/" + o.link.address
	what := []string{`{"admin":"drain"}`, `{"admin":"maint"}`, `{"weight":7}`}[r.IntN(3)]
	if status, body := w.lb.ask("PUT", path, what); status != 200 {
		w.t.Errorf("PUT %s %s: %d %s", path, what, status, body)
	}
	w.pause(r, 100*time.Millisecond, 1500*time.Millisecond)
	if status, body := w.lb.ask("PUT", path, `{"admin":"ready","weight":0}`); status != 200 {
		w.t.Errorf("PUT %s: %d %s", path, status, body)
	}
	w.changes.Add(1)
}

// scale writes some of the discovered backends into their file.
func (w *environment) scale(r *rand.Rand) {
	var some []*origin
	for _, o := range w.origins[w.fixed:] {
		if r.IntN(3) > 0 {
			some = append(some, o)
		}
	}
	w.publish(some, r)
	w.scalings.Add(1)
}

func (w *environment) publish(origins []*origin, r *rand.Rand) {
	text := "# address [weight=N]\n"
	for _, o := range origins {
		text += o.link.address
		if r != nil {
			text += fmt.Sprintf(" weight=%d", 1+r.IntN(5))
		}
		text += "\n"
	}
	replaceFile(w.t, w.lb.dir+"/app.backends", text)
}

// variant is what a reload changes.
type variant struct {
	balance        string
	weight         int
	response, idle string
	maxConns       int
	route          bool // one more
	unkept         bool // each request on a connection of its own
}

// initial is the configuration at the start and at the end.
var initial = variant{balance: "round_robin", weight: 1, response: "1s", idle: "2s", maxConns: 0}

// reload changes the configuration, once in four times to one that is broken.
func (w *environment) reload(r *rand.Rand) {
	v := variant{
		balance:  []string{"round_robin", "least_conn", "p2c", "peak_ewma", "random", "hash"}[r.IntN(6)],
		weight:   1 + r.IntN(5),
		response: "1s", idle: "2s",
		maxConns: []int{0, 0, 4, 16}[r.IntN(4)],
		route:    r.IntN(2) == 0,
		unkept:   r.IntN(2) == 0,
	}
	if r.IntN(3) == 0 { // other settings of connections, so that all backends are replaced
		v.response, v.idle = "1500ms", "1s"
	}
	w.apply(v, r.IntN(4) > 0)
}

func (w *environment) apply(v variant, good bool) {
	text, want := w.text(w.lb, v), 200
	if !good {
		text, want = strings.Replace(text, "balance", "balence", 1), 422
	}
	w.lb.configure(w.t, text)
	if status, body := w.lb.ask("POST", "/api/v1/reload", ""); status != want {
		w.t.Errorf("reload: %d %s, want %d", status, body, want)
	}
	if good {
		w.reloads.Add(1)
	} else {
		w.refusals.Add(1)
	}
}

// text is the configuration.
func (w *environment) text(b *balancer, v variant) string {
	var s strings.Builder
	fmt.Fprintf(&s, "listen %q {}\nadmin {\n  listen = %q\n}\ntrusted_proxies = [\"127.0.0.0/8\"]\n", b.listen, b.admin)
	fmt.Fprintf(&s, "access_log {\n  file   = %q\n  sample = 0\n}\n", b.dir+"/access.log")
	s.WriteString("site \"chaos\" {\n  route \"/\" {\n    proxy {\n      pool = \"app\"\n    }\n  }\n")
	if v.route {
		s.WriteString("  route \"/other/\" {\n    respond {\n      status = 404\n    }\n  }\n")
	}
	fmt.Fprintf(&s, "}\npool \"app\" {\n  balance = %q\n", v.balance)
	for i, o := range w.origins[:w.fixed] {
		fmt.Fprintf(&s, "  backend %q {\n    weight    = %d\n    max_conns = %d\n  }\n", o.link.address, 1+i*(v.weight-1), v.maxConns)
	}
	fmt.Fprintf(&s, "  discover \"file\" {\n    path = %q\n  }\n", b.dir+"/app.backends")
	s.WriteString("  health {\n    path          = \"/healthz\"\n    interval      = \"400ms\"\n    fast_interval = \"100ms\"\n    timeout       = \"400ms\"\n    rise          = 1\n    fall          = 2\n  }\n")
	s.WriteString("  eject {\n    duration = \"1s\"\n  }\n  queue {\n    limit   = 64\n    timeout = \"1s\"\n  }\n")
	idle := 256
	if v.unkept {
		idle = 0
	}
	fmt.Fprintf(&s, "  keepalive {\n    max_idle     = %d\n    idle_timeout = \"1s\"\n  }\n", idle)
	fmt.Fprintf(&s, "  timeouts {\n    connect  = \"500ms\"\n    response = %q\n    idle     = %q\n  }\n}\n", v.response, v.idle)
	return s.String()
}
