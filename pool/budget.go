package pool

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"lb/internal/limits"
)

const (
	// budgetMemory is how long unused budget lasts, so that about ten seconds' worth accumulates.
	budgetMemory = 10 * time.Second
	// firstRetries is what a new pool starts with, so that its first failures can be retried.
	firstRetries = 10

	// token is one retry in the unit of budget.tokens.
	token = 1000
	// refillEvery bounds how often the members' counters are added up.
	refillEvery = 10 * time.Millisecond
	// freeFailureEvery: one in that many requests may fail after its retries without reducing the budget, since there are
	// requests that no backend can serve.
	freeFailureEvery = 50
	// maxFreeFailures is how many of them may fail at once.
	maxFreeFailures = 2
)

// budget limits retries to a share of the requests. Requests do not write to it: they are counted by backend anyway,
// and a retry adds those counters up.
//
// Unused budget decays by 1/e in budgetMemory, so that a steady load accumulates what it deposits in that time: when
// one backend fails, all its requests are retried at once. When all backends fail, retries are useless and the
// accumulated budget would multiply the load; so each retry that did not save its request halves it.
type budget struct {
	tokens   atomic.Int64
	fresh    atomic.Int64  // of the tokens, the deposit of refillEvery: not yet accumulated
	between  atomic.Uint64 // requests counted by refill, minus freeFailureEvery for each that failed after its retries
	mu       sync.Mutex    // only with TryLock
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

// RetriesFailed is called for a request that failed after so many retries.
func (p *Pool) RetriesFailed(retries int) {
	g := &p.budget
	if retries <= 0 || g.freeFailure() {
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

// freeFailure reports whether there were enough requests for one to fail after its retries.
func (g *budget) freeFailure() bool {
	for {
		n := g.between.Load()
		if n < freeFailureEvery {
			return false
		}
		if g.between.CompareAndSwap(n, n-freeFailureEvery) {
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
	// Only this goroutine adds to it; a concurrent freeFailure is lost at worst.
	g.between.Store(min(g.between.Load()+requests, maxFreeFailures*freeFailureEvery))
	deposit := max(s.retryBudget*float64(requests), limits.RetryFloor*elapsed.Seconds()) * token
	g.fresh.Store(int64(deposit * refillEvery.Seconds() / elapsed.Seconds()))
	// The deposit arrived evenly over the elapsed time and decayed meanwhile.
	k := elapsed.Seconds() / budgetMemory.Seconds()
	kept := math.Exp(-k)
	had := g.tokens.Load()
	g.tokens.Add(int64(float64(had)*(kept-1) + deposit*(1-kept)/k))
}
