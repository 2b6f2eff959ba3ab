//go:build e2e

package chaos

import (
	"regexp"
	"slices"
	"sync"
	"time"
)

// sample is the state of the pool at one moment.
type sample struct {
	at                 time.Time
	usable             int
	exhausted, refused float64 // counters
}

// watch samples the pool until end is closed, and notices when this process, whose backends then do not respond, gets no processor.
type watch struct {
	mu      sync.Mutex
	samples []sample
	stalls  []period
}

type period struct{ from, to time.Time }

func (p period) overlaps(from, to time.Time) bool { return p.from.Before(to) && p.to.After(from) }

const (
	sampleEvery = 50 * time.Millisecond
	stallTick   = 20 * time.Millisecond
	longStall   = 500 * time.Millisecond // half of the shortest timeout
)

func (w *watch) run(b *balancer, end <-chan struct{}) {
	var ticking sync.WaitGroup
	ticking.Go(func() { w.watchStalls(end) })
	defer ticking.Wait()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case <-tick.C:
		}
		s := sample{usable: b.usable(), at: time.Now()}
		m := b.metrics("lb_retry_budget_exhausted_total{", "lb_queue_rejected_total{")
		s.exhausted, s.refused = m[0], m[1]
		if s.usable < 0 {
			continue
		}
		w.mu.Lock()
		w.samples = append(w.samples, s)
		w.mu.Unlock()
	}
}

func (w *watch) watchStalls(end <-chan struct{}) {
	tick := time.NewTicker(stallTick)
	defer tick.Stop()
	for last := time.Now(); ; last = time.Now() {
		select {
		case <-end:
			return
		case <-tick.C:
		}
		if now := time.Now(); now.Sub(last) >= longStall {
			w.mu.Lock()
			w.stalls = append(w.stalls, period{last, now})
			w.mu.Unlock()
		}
	}
}

// stalled reports whether this process stood still for longStall between two times.
func (w *watch) stalled(from, to time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.stalls, func(p period) bool { return p.overlaps(from, to) })
}

// between returns the samples between two times, and one on either side.
func (w *watch) between(from, to time.Time) []sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	first, last := 0, len(w.samples)
	for i := range w.samples {
		if w.samples[i].at.Before(from) {
			first = i
		}
		if w.samples[i].at.After(to) {
			last = i + 1
			break
		}
	}
	return w.samples[first:last]
}

// usable returns the least number of usable backends.
func (w *watch) usable(from, to time.Time) int {
	least := 1 << 30
	for _, s := range w.between(from, to) {
		least = min(least, s.usable)
	}
	return least
}

// outages are the times in which the pool had no usable backend, by lb's log. They may be shorter than the interval of
// the samples.
type outages []period

// logSlack is how much later than its effect a change may be logged.
const logSlack = 20 * time.Millisecond

var poolChange = regexp.MustCompile(`(?m)^(\S+) .* pool changed: pool=app from=(\S+) to=(\S+) `)

func readOutages(log string) (o outages, err error) {
	for _, m := range poolChange.FindAllStringSubmatch(log, -1) {
		at, err := time.Parse(time.RFC3339Nano, m[1])
		if err != nil {
			return nil, err
		}
		if m[2] == "none" && len(o) > 0 {
			o[len(o)-1].to = at
		}
		if m[3] == "none" {
			o = append(o, period{at, time.Now()})
		}
	}
	return o, nil
}

// at reports whether there was an outage between two times.
func (o outages) at(from, to time.Time) bool {
	for _, out := range o {
		if out.from.Add(-logSlack).Before(to) && out.to.Add(logSlack).After(from) {
			return true
		}
	}
	return false
}

func (w *watch) exhausted(from, to time.Time) bool {
	s := w.between(from, to)
	return len(s) > 1 && s[len(s)-1].exhausted > s[0].exhausted
}

func (w *watch) refused(from, to time.Time) bool {
	s := w.between(from, to)
	return len(s) > 1 && s[len(s)-1].refused > s[0].refused
}
