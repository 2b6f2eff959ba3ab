package discovery

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// maxBackoff bounds the wait after a failed attempt, unless the interval is longer.
	maxBackoff = 5 * time.Second
	// backoffJitter is the largest random share added to a wait after a failure, so that many balancers do not query
	// a recovering server all at once.
	backoffJitter = 0.2
)

// pace computes the waits between attempts to query a source.
type pace struct {
	interval time.Duration  // the least time between two attempts, failed or not
	random   func() float64 // from 0 up to but not 1; nil: math/rand/v2
	failed   int            // attempts in a row
}

// delay returns the time from the start of the last attempt to that of the next: the interval, doubled after each
// failure in a row, up to maxBackoff but never less than the interval.
func (p *pace) delay() time.Duration {
	wait := p.interval
	if p.failed == 0 {
		return wait
	}
	for n := 1; n < p.failed && wait < maxBackoff; n++ {
		wait *= 2
	}
	wait = max(min(wait, maxBackoff), p.interval)
	random := p.random
	if random == nil {
		random = rand.Float64
	}
	return wait + time.Duration(backoffJitter*random()*float64(wait))
}

// sleepUntil sleeps until a moment; it returns false if ctx ended first.
func sleepUntil(ctx context.Context, moment time.Time) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
