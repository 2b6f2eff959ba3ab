package proxy

import (
	"time"

	"lb/cache"
)

const (
	// longestWait is how long a request waits for the response to another one. Then it is forwarded by itself.
	longestWait = 5 * time.Second
	// mostWaits is how often a request waits: a second time if the response that it waited for was not one for it.
	mostWaits = 2
)

// flightWait is the wait of an exchange for the response to another request. It is a task of the loop of the exchange.
type flightWait struct {
	x      *Exchange // nil: the wait has ended
	waiter *cache.Waiter
}

// Run ends the wait.
func (w *flightWait) Run() {
	if x := w.x; x != nil {
		x.take(eventDone)
	}
}

// landed continues when the flight has ended: with the response if it may be used, otherwise the request waits once more, or is forwarded.
func (x *Exchange) landed() {
	c := x.caching
	c.wait.x, c.wait = nil, nil
	x.wait(0)
	now := x.worker.Loop.Now()
	q := x.cacheRequest(now)
	l := c.by.Route.Look(&q, x.scratch[:0])
	x.scratch = l.Key
	x.caching = nil
	switch l.Outcome {
	case cache.Hit, cache.Refresh:
		if l.Outcome == cache.Refresh {
			c.by.refresh(x, &l)
		}
		c.by.Route.Count(cache.CountCollapsed)
		x.scratch = append(cache.AppendForwarded(x.scratch[:0], c.lookup.Why, 0, false), "; collapsed"...)
		x.sendStored(l.Entry, q.Now)
	default:
		c.by.forward(x, &l, c.waits+1)
	}
}

// flightTimeout ends a wait that has lasted too long: the request is forwarded.
func (x *Exchange) flightTimeout() {
	c := x.caching
	x.leaveFlight()
	c.waits = mostWaits
	c.by.forward(x, &c.lookup, c.waits)
}

// leaveFlight ends a wait.
func (x *Exchange) leaveFlight() {
	c := x.caching
	if c.wait != nil {
		c.wait.waiter.Leave()
		c.wait.x, c.wait = nil, nil
	}
}

// flightDisconnected ends an exchange whose client has disconnected while it waited.
func (x *Exchange) flightDisconnected() {
	x.leaveFlight()
	x.abandon()
}
