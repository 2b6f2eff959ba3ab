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

		for range 100 { // nobody retries: no more than about ten seconds' worth piles up
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
