//go:build e2e

package chaos

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	lasts  = flag.Duration("chaos.time", 25*time.Second, "how long faults are made; the environment's LB_CHAOS comes first")
	seeded = flag.Uint64("chaos.seed", 0, "repeats the decisions of a run; 0: another one each time")
)

const (
	clients = 24
	// pace is the mean pause of a client between two requests.
	pace = 40 * time.Millisecond
)

// crowd is the clients, with every outcome other than a correct response.
type crowd struct {
	numbers   numbers
	ledger    *ledger
	responses atomic.Int64

	mu       sync.Mutex
	outcomes []outcome // all but whole responses of 200
}

// ask runs the clients until end is closed, and waits for them.
func (c *crowd) ask(address string, seed uint64, calm bool, end <-chan struct{}) {
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			cl := &client{address: address, random: rand.New(rand.NewPCG(seed, uint64(i)))}
			defer cl.close()
			for {
				select {
				case <-end:
					return
				default:
				}
				c.judgeSoon(cl.do(c.numbers.next(cl.random, calm)))
				wait(time.Duration(cl.random.Int64N(int64(2*pace))), end)
			}
		})
	}
	group.Wait()
}

// judgeSoon keeps an outcome for the judgment, which needs the log.
func (c *crowd) judgeSoon(o outcome) {
	if o.status == 200 && o.whole {
		if _, ok := judge(&o, &evidence{arrivals: c.ledger.of(o.id)}); ok {
			c.responses.Add(1)
			if o.idempotent() {
				c.ledger.forget(o.id)
			}
			return
		}
	}
	c.mu.Lock()
	c.outcomes = append(c.outcomes, o)
	c.mu.Unlock()
}

// TestChaos: for any fault behind lb, each failure that a client sees is allowed by the documentation, no response is
// wrong, no POST is processed twice, and in the end no resources are leaked.
func TestChaos(t *testing.T) {
	if text := os.Getenv("LB_CHAOS"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("LB_CHAOS: %v", err)
		}
		*lasts = d
	}
	seed := *seeded
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-chaos.seed %d -chaos.time %v", seed, *lasts)

	c := &crowd{ledger: &ledger{arrivals: map[uint64][]*arrival{}}}
	w := &environment{t: t, fixed: 3, end: make(chan struct{})}
	for i := range 6 {
		o, err := startOrigin(fmt.Sprintf("origin-%d", i), freePort(t), i%2 == 1, c.ledger)
		if err != nil {
			t.Fatal(err)
		}
		defer o.close()
		w.origins = append(w.origins, o)
	}
	w.lb = startBalancer(t, binary, func(b *balancer) string { return w.text(b, initial) })
	w.publish(w.origins[w.fixed:], nil)
	allUp := func() bool { return w.lb.usable() == len(w.origins) }
	eventually(t, "all backends are up", allUp)

	calm(c, w, seed)
	before := settled(t, w.lb, holds{})
	memory := w.lb.memory()

	var watch watch
	var watching sync.WaitGroup
	unwatched := make(chan struct{})
	watching.Go(func() { watch.run(w.lb, unwatched) })
	end := make(chan struct{})
	ending := time.AfterFunc(*lasts, func() { close(end) })
	defer ending.Stop()
	w.start(seed)
	c.ask(w.lb.listen, seed, false, end)
	w.stop()
	close(unwatched)
	watching.Wait()

	eventually(t, "all backends are up again", allUp)
	stormy := len(c.outcomes)
	calm(c, w, seed+1)
	for _, o := range c.outcomes[stormy:] {
		t.Errorf("after the faults: %s %d: status %d, %s %v", o.method, o.id, o.status, o.wrong, o.err)
	}
	after := settled(t, w.lb, before)
	t.Logf("goroutines, descriptors, in flight, waiting: before %v, after %v; memory %d MiB, then %d MiB", before, after, memory, w.lb.memory())
	t.Logf("%d faults, %d reloads, %d refused reloads, %d scalings, %d changes by the admin API",
		w.faults.Load(), w.reloads.Load(), w.refusals.Load(), w.scalings.Load(), w.changes.Load())
	w.accounts(c)
	verdicts(t, w, c, &watch)
}

// calm runs the clients for a while without faults.
func calm(c *crowd, w *environment, seed uint64) {
	end := make(chan struct{})
	ending := time.AfterFunc(2*time.Second, func() { close(end) })
	defer ending.Stop()
	c.ask(w.lb.listen, seed, true, end)
}

// settled waits until the process holds no more than before; with no before, until it holds nothing for requests.
func settled(t *testing.T, lb *balancer, before holds) (h holds) {
	t.Helper()
	var last holds
	eventually(t, fmt.Sprintf("lb holds no more than %v", before), func() bool {
		open := lb.metrics("lb_backend_connections{", "lb_connections{") // idle ones are closed after a second
		last, h = h, lb.holds()
		if h.inFlight != 0 || h.waiting != 0 {
			return false
		}
		if before == (holds{}) {
			return open[0]+open[1] == 0 && h == last
		}
		return h.goroutines <= before.goroutines && h.descriptors <= before.descriptors
	})
	if t.Failed() {
		_, stacks := lb.ask("GET", "/debug/pprof/goroutine?debug=1", "")
		t.Logf("it holds %+v:\n%s", h, stacks)
	}
	return h
}

// accounts checks that lb has counted every request once.
func (w *environment) accounts(c *crowd) {
	left := 0
	for i := range c.outcomes {
		if c.outcomes[i].left() {
			left++
		}
	}
	sent := int(c.numbers.last.Load())
	counted := int(w.lb.metrics(`lb_requests_total{site="chaos"`)[0])
	if counted > sent || counted < sent-left {
		w.t.Errorf("lb counted %d requests; %d were sent, %d of which were left", counted, sent, left)
	}
}

// verdicts judges the outcomes, and prints how often each occurred.
func verdicts(t *testing.T, w *environment, c *crowd, watch *watch) {
	logged := readLog(t, w.lb.dir+"/access.log")
	outages, err := readOutages(w.lb.out.String())
	if err != nil {
		t.Fatal(err)
	}
	harmed := func(backend string, from, to time.Time) []kind {
		for _, o := range w.origins {
			if o.name == backend || o.link.address == backend {
				return o.link.harmed(from, to)
			}
		}
		return nil
	}
	t.Logf("%d outages of the pool", len(outages))
	count, failed := map[string]int{"responded": int(c.responses.Load())}, 0
	for i := range c.outcomes {
		o := &c.outcomes[i]
		e := &evidence{arrivals: c.ledger.of(o.id), logged: logged[fmt.Sprint(o.id)],
			harmed: harmed, outage: outages.at, stalled: watch.stalled, usable: watch.usable, exhausted: watch.exhausted, refused: watch.refused}
		why, ok := judge(o, e)
		if ok {
			count[fmt.Sprintf("%d %s", o.status, why)]++
			continue
		}
		if failed++; failed <= 20 {
			t.Errorf("%s %d (key %t, body %d, chunked %t) from %s to %s: status %d, whole %t: %s\n  arrivals %v\n  logged %+v",
				o.method, o.id, o.key, o.length, o.chunked, o.start.Format("05.000"), o.end.Format("05.000"), o.status, o.whole, why, e.arrivals, e.logged)
		}
	}
	if failed > 20 {
		t.Errorf("and %d more", failed-20)
	}
	for id, all := range c.ledger.arrivals { // whatever its client saw
		if len(all) > 1 && !all[0].idempotent {
			t.Errorf("POST %d reached backends %d times", id, len(all))
		}
	}
	var lines []string
	for what, n := range count {
		lines = append(lines, fmt.Sprintf("%8d  %s", n, what))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(b, a) })
	t.Logf("%d requests:\n%s", c.numbers.last.Load(), strings.Join(lines, "\n"))
	if c.responses.Load() < int64(lasts.Seconds())*clients {
		t.Errorf("only %d responses: the clients were stuck", c.responses.Load())
	}
}

// readLog returns the access log's lines by request.
func readLog(t *testing.T, path string) map[string]*line {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*line{}
	for l := range strings.Lines(string(text)) {
		var entry line
		if err := json.Unmarshal([]byte(l), &entry); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		all[entry.ID] = &entry
	}
	return all
}
