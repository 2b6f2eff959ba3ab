package pool

import (
	"testing"
	"testing/synctest"
	"time"
)

// retries asks for as many retries as there are.
func retries(p *Pool) int {
	n := 0
	for p.AllowRetry() {
		n++
	}
	return n
}

func requests(t *testing.T, p *Pool, n int) {
	for range n {
		mustPick(t, p).Release()
	}
}

func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Members: at("a", "b"), NewPicker: rotate, RetryBudget: 0.1})
		defer p.Close()
		if n := retries(p); n != firstRetries {
			t.Errorf("%d retries at the start", n)
		}
		exhausted := p.metrics.budgetExhausted.Get()
		if exhausted != 1 {
			t.Errorf("refused %d times, want once", exhausted)
		}

		total := 0
		for range 100 { // 100 requests a second, all of which want a retry
			for range 10 {
				time.Sleep(100 * time.Millisecond)
				requests(t, p, 10)
				total += retries(p)
			}
		}
		if total < 980 || total > 1000 {
			t.Errorf("%d retries of 10,000 requests, want a tenth", total)
		}

		total = 0
		for range 100 { // one request a second
			time.Sleep(time.Second)
			requests(t, p, 1)
			total += retries(p)
		}
		if total < 280 || total > 300 {
			t.Errorf("%d retries in 100 s of little traffic, want 3 a second", total)
		}

		for range 100 { // without retries no more than about ten seconds' worth accumulates
			time.Sleep(time.Second)
			requests(t, p, 100)
			p.budget.refill(p.snapshot.Load(), time.Now())
		}
		if n := retries(p); n < 90 || n > 101 {
			t.Errorf("%d retries piled up, want 100", n)
		}

		time.Sleep(time.Hour)
		if n := retries(p); n < 29 || n > 30 {
			t.Errorf("%d retries after an idle hour, want 30", n)
		}
	})
}

// Retries are no requests: they must not earn further retries.
func TestRetriesEarnNothing(t *testing.T) {
	p := New(Options{Members: at("a", "b"), RetryBudget: 0.1})
	defer p.Close()
	tried := p.Backends()[:1]
	for range 10 {
		mustPick(t, p, tried...).Release()
	}
	if a, b := p.Backends()[0].counters.asked.Load(), p.Backends()[1].counters.asked.Load(); a+b != 0 {
		t.Errorf("%d requests counted", a+b)
	}
}

func TestRetryReasons(t *testing.T) {
	p := New(Options{})
	defer p.Close()
	m := p.Metrics()
	m.Retried(Connect, 0)
	m.Retried(Status, 503)
	m.Retried(Status, 200)
	m.Retried(Success, 0)
	if m.retries[Connect].Get() != 1 || m.retriesByStatus[1].Get() != 1 || m.retriesByStatus[0].Get() != 0 {
		t.Error("counted under another reason")
	}
}

// load is traffic on a pool in simulated time.
type load struct {
	pool *Pool
	rate int // requests a second
}

// well ends requests successfully at the first try.
func (l *load) well(d time.Duration) {
	for i, steps := 0, max(int(d/(100*time.Millisecond)), 1); i < steps && d > 0; i++ {
		time.Sleep(d / time.Duration(steps))
		part := l.rate * int(d/time.Millisecond)
		l.pool.Backends()[0].counters.asked.Add(uint64((i+1)*part/steps/1000 - i*part/steps/1000))
	}
}

// failing lets all tries fail, each with as many retries as allowed, and returns the numbers of requests and of tries. A response
// takes takes milliseconds.
func (l *load) failing(d time.Duration, takes int) (requests, attempts int) {
	under := make([][]int, takes+1) // way: the tries of those whose next response is due, by millisecond
	for ms := 0; ms < int(d/time.Millisecond); ms++ {
		time.Sleep(time.Millisecond)
		now, next := ms%(takes+1), (ms+takes)%(takes+1)
		due := under[now]
		under[now] = nil
		for n := (ms+1)*l.rate/1000 - ms*l.rate/1000; n > 0; n-- {
			l.pool.Backends()[0].counters.asked.Add(1)
			requests++
			attempts++
			due = append(due, -1)
		}
		for i := 0; i < len(due); i++ {
			tries := due[i]
			switch {
			case tries < 0: // sets out
				tries = 0
			case tries < 2 && l.pool.AllowRetry():
				attempts++
				tries++
			default:
				l.pool.RetriesFailed(tries)
				continue
			}
			if takes == 0 {
				due = append(due, tries)
			} else {
				under[next] = append(under[next], tries)
			}
		}
	}
	return requests, attempts
}

// TestSavedBudgetIsNotForStorms: the budget saved while all was well does not multiply the load when everything fails. From the
// first second on, tries stay within 110 % of the requests plus three a second.
func TestSavedBudgetIsNotForStorms(t *testing.T) {
	for _, rate := range []int{1, 20, 500, 10_000} {
		for _, before := range []struct{ well, idle time.Duration }{
			{}, {well: time.Second}, {well: 11 * time.Second}, {well: 10 * time.Minute}, {idle: time.Hour},
			{well: time.Minute, idle: 5 * time.Second},
		} {
			for _, lasts := range []time.Duration{time.Second, 5 * time.Second, time.Minute} {
				for _, takes := range []int{0, 5} {
					if lasts == time.Minute && (rate > 1000 || takes > 0) {
						continue // long to compute, and no other than the shorter ones
					}
					synctest.Test(t, func(t *testing.T) {
						p := New(Options{Members: at("a"), RetryBudget: 0.1})
						defer p.Close()
						l := load{p, rate}
						l.well(before.well)
						time.Sleep(before.idle)
						requests, attempts := l.failing(lasts, takes)
						inFlight := rate * takes / 1000 // retried before the first failures were known
						most := 1.10*float64(requests) + 3*lasts.Seconds() + 10 + float64(rate)/1000 + 4*float64(inFlight)
						if float64(attempts) > most || lasts >= 5*time.Second && attempts == requests {
							t.Errorf("%d/s after %v, in %v of failures that take %d ms: %d attempts for %d requests, %.0f at most",
								rate, before, lasts, takes, attempts, requests, most)
						}
					})
				}
			}
		}
	}
}

// TestBudgetOfFailures: budget that is not saved can be spent, however many retries fail.
func TestBudgetOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Members: at("a"), RetryBudget: 1})
		defer p.Close()
		l := load{p, 1000}
		if requests, attempts := l.failing(time.Minute, 0); attempts < 2*requests*95/100 {
			t.Errorf("%d attempts for %d requests, of which each may be retried once", attempts, requests)
		}
	})
}

// TestSavedBudgetCoversAFailingBackend: one of three backends fails at 1,000 requests a second. The requests that it had, and
// those that it gets until it is ejected, are all retried successfully, so that the budget lasts. A few requests that
// no backend can serve do not use it up.
func TestSavedBudgetCoversAFailingBackend(t *testing.T) {
	for _, well := range []time.Duration{11 * time.Second, time.Minute, time.Hour} {
		for _, hopeless := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				p := New(Options{Members: at("a", "b", "c"), RetryBudget: 0.1})
				defer p.Close()
				l := load{p, 1000}
				for range int(well / time.Second) {
					l.well(time.Second)
					if hopeless && p.AllowRetry() && p.AllowRetry() {
						p.RetriesFailed(2)
					}
				}
				for range 100 { // in flight at the failing backend
					p.AllowRetry()
				}
				for range 100 { // 100 a second, a third of the requests
					l.well(10 * time.Millisecond)
					p.AllowRetry()
					p.AllowRetry()
					p.AllowRetry()
				}
				if n := p.metrics.budgetExhausted.Get(); n != 0 {
					t.Errorf("%d retries were refused", n)
				}
			})
		}
	}
}
