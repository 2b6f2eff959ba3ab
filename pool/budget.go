package pool

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"lb/internal/limits"
)

const (
	// budgetMemory is how long unused budget lasts: about ten seconds' worth can pile up.
	budgetMemory = 10 * time.Second
	// firstRetries is what a new pool starts with, so that its first failures can be retried.
	firstRetries = 10

	// token is one retry in the unit of budget.tokens.
	token = 1000
	// refillEvery bounds how often the members' counters are added up.
	refillEvery = 10 * time.Millisecond
	// inVainAtMost is one in how many requests may be retried in vain without harm to what is saved: there are
	// requests that no backend can answer.
	inVainAtMost = 50
	// excuses is how many of those may come at once.
	excuses = 2
)

// budget limits retries to a share of the requests. Requests do not touch it: they are counted
// by backend anyway, and who wants to retry adds those counters up.
//
// Unused budget decays by 1/e in budgetMemory, so that a steady load piles up what it deposits in that time: when one
// backend dies, all that it had is retried at once. When all fail, retries are in vain, and what is saved would
// multiply the load; so each retry that did not save its request takes half of what is saved away.
type budget struct {
	tokens   atomic.Int64
	fresh    atomic.Int64  // of the tokens, what comes in in refillEvery: not yet saved
	between  atomic.Uint64 // requests, as far as refill has seen them, less inVainAtMost for each retried in vain
	mu       sync.Mutex    // tried, never waited for
	refilled time.Time
}

func (g *budget) start(now time.Time) {
	g.refilled = now
	g.tokens.Store(firstRetries * token)
}

// AllowRetry reports whether the retry budget allows one more retry, and takes it from the budget.
func (p *Pool) AllowRetry() bool {
	g := &p.budget
	g.refill(p.snapshot.Load(), time.Now())
	for {
		n := g.tokens.Load()
		if n < token {
			p.metrics.budgetExhausted.Inc()
			return false
		}
		if g.tokens.CompareAndSwap(n, n-token) {
			return true
		}
	}
}

// RetriesFailed tells that a request failed after so many retries.
func (p *Pool) RetriesFailed(retries int) {
	g := &p.budget
	if retries <= 0 || g.excuse() {
		return
	}
	for {
		n := g.tokens.Load()
		saved := n - g.fresh.Load()
		if saved <= 0 || g.tokens.CompareAndSwap(n, n-saved+saved>>retries) {
			return
		}
	}
}

// excuse reports whether enough requests came for one to be retried in vain without harm.
func (g *budget) excuse() bool {
	for {
		n := g.between.Load()
		if n < inVainAtMost {
			return false
		}
		if g.between.CompareAndSwap(n, n-inVainAtMost) {
			return true
		}
	}
}

// refill deposits the share of the requests since the last time, but at least the floor.
func (g *budget) refill(s *snapshot, now time.Time) {
	if !g.mu.TryLock() {
		return
	}
	defer g.mu.Unlock()
	elapsed := now.Sub(g.refilled)
	if elapsed < refillEvery {
		return
	}
	g.refilled = now
	var requests uint64
	for _, b := range s.members {
		asked := b.counters.asked.Load()
		requests += asked - b.budgeted
		b.budgeted = asked
	}
	// Who adds to it is alone here; who takes from it meanwhile is given it back at worst.
	g.between.Store(min(g.between.Load()+requests, excuses*inVainAtMost))
	deposit := max(s.retryBudget*float64(requests), limits.RetryFloor*elapsed.Seconds()) * token
	g.fresh.Store(int64(deposit * refillEvery.Seconds() / elapsed.Seconds()))
	// The deposit came in evenly over the time elapsed and decayed meanwhile.
	k := elapsed.Seconds() / budgetMemory.Seconds()
	kept := math.Exp(-k)
	had := g.tokens.Load()
	g.tokens.Add(int64(float64(had)*(kept-1) + deposit*(1-kept)/k))
}
