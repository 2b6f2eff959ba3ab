//go:build e2e

package chaos

import (
	"regexp"
	"sync"
	"time"
)

// sample is what lb said of its pool at one moment.
type sample struct {
	at                 time.Time
	usable             int
	exhausted, refused float64 // counters
}

// watch samples the pool until end is closed.
type watch struct {
	mu      sync.Mutex
	samples []sample
}

const sampleEvery = 50 * time.Millisecond

func (w *watch) run(b *balancer, end <-chan struct{}) {
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

// between returns the samples of a time and one on either side of it.
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

// outages are the times in which the pool had no usable backend, as lb says in its log. They may be shorter than what
// lies between two samples.
type outages []struct{ from, to time.Time }

// logSlack is how much later than its effect a change may stand in the log.
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
			o = append(o, struct{ from, to time.Time }{at, time.Now()})
		}
	}
	return o, nil
}

// at reports whether there was an outage within a time.
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
