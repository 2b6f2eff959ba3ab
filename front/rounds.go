package front

import (
	"sync"
	"sync/atomic"
	"time"
)

// rounds finds the requests that take long: one goroutine goes through the open connections now and then. A timer
// for each request would find them too, but a timer that is set wakes the poller of a process that is idle
// otherwise. newRounds makes one.
type rounds struct {
	awake atomic.Bool
	wake  chan struct{} // holds one
}

const (
	// watchAfter is how long at least a request is under way before anybody looks whether its client is still
	// there, and how often the connections are gone through while there are requests.
	watchAfter = 40 * time.Millisecond
	// roundsRest is how many times in a row no request is found before nobody looks any more.
	roundsRest = 50
)

func newRounds() *rounds { return &rounds{wake: make(chan struct{}, 1)} }

// look makes sure that somebody goes through the connections.
func (r *rounds) look() {
	if !r.awake.Load() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// run starts a watch for every request that has been under way for a round, until f has stopped.
func (r *rounds) run(f *Front) {
	var watches sync.WaitGroup
	defer watches.Wait()
	var slow []*Conn
	even := false
	for {
		r.awake.Store(true)
		tick := time.NewTicker(watchAfter)
		for empty := 0; empty < roundsRest; {
			select {
			case <-f.stopped:
				tick.Stop()
				return
			case <-tick.C:
			}
			any := false
			if slow, any = f.slow(slow[:0]); any {
				empty = 0
			} else {
				empty++
			}
			even = !even
			for _, c := range slow {
				if c.body.pending() && !(even && c.hungUp()) {
					c.presence.lookAgain()
					continue
				}
				watches.Go(c.watch)
			}
			clear(slow)
		}
		tick.Stop()
		// Who begins to await looks at awake after that: either it is seen here, or it wakes us.
		r.awake.Store(false)
		if _, any := f.slow(nil); any {
			continue
		}
		select {
		case <-f.stopped:
			return
		case <-r.wake:
		}
	}
}

// slow appends the connections whose request was there in the round before already and is not watched yet. It
// reports whether there are any requests at all.
func (s *socket) slow(slow []*Conn) (_ []*Conn, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.active {
		switch v := &c.presence; v.state.Load() {
		case presenceOff:
			continue
		case presenceNew:
			v.state.CompareAndSwap(presenceNew, presenceSeen)
		case presenceSeen:
			if v.state.CompareAndSwap(presenceSeen, presenceWatched) {
				slow = append(slow, c)
			}
		}
		any = true
	}
	return slow, any
}

// slow does so for all sockets.
func (f *Front) slow(slow []*Conn) (_ []*Conn, any bool) {
	for _, s := range f.allSockets() {
		more, some := s.slow(slow)
		slow, any = more, any || some
	}
	return slow, any
}
