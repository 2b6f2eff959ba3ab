package cache

import (
	"slices"
	"sync"

	"lb/internal/stablehash"
)

// maxWaiters is how many requests may wait for one response. Others are forwarded.
const maxWaiters = 1024

// shard holds the flights of a part of the keys.
type shard struct {
	mu      sync.Mutex
	flights map[string]*Flight
}

// Flight is a request to a backend for whose response others wait.
type Flight struct {
	shard   *shard
	key     string
	waiters []*Waiter // guarded by shard.mu
}

// Waiter is a request that waits.
type Waiter struct {
	flight *Flight
	wake   func()
}

// Join has a request that is to be forwarded lead a flight, or wait for the one of another request, as l allows. If it does neither, both
// results are nil, and it is forwarded by itself. wake is called at the end of the flight, in any goroutine; with nil the request does not
// wait, and other tells if there is a flight.
func (c *Cache) Join(l *Lookup, wake func()) (lead *Flight, wait *Waiter, other bool) {
	if !l.Leads && !l.Waits {
		return nil, nil, false
	}
	s := &c.shards[stablehash.New().Add(l.Key).Sum()%uint64(len(c.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flights[string(l.Key)]
	switch {
	case f == nil && l.Leads:
		f = &Flight{shard: s, key: string(l.Key)}
		if s.flights == nil {
			s.flights = map[string]*Flight{}
		}
		s.flights[f.key] = f
		return f, nil, false
	case f == nil:
		return nil, nil, false
	case wake == nil || !l.Waits || len(f.waiters) >= maxWaiters:
		return nil, nil, true
	}
	w := &Waiter{f, wake}
	f.waiters = append(f.waiters, w)
	return nil, w, true
}

// End ends a flight and wakes those that wait. It reports whether there were any.
func (f *Flight) End() (waited bool) {
	f.shard.mu.Lock()
	delete(f.shard.flights, f.key)
	waiters := f.waiters
	f.waiters = nil
	f.shard.mu.Unlock()
	for _, w := range waiters {
		w.wake()
	}
	return len(waiters) > 0
}

// Waited reports whether requests wait now.
func (f *Flight) Waited() bool {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	return len(f.waiters) > 0
}

// Leave ends a wait before the end of the flight. wake may still be called.
func (w *Waiter) Leave() {
	f := w.flight
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if i := slices.Index(f.waiters, w); i >= 0 {
		f.waiters = slices.Delete(f.waiters, i, i+1)
	}
}
