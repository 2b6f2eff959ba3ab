package proxy

import (
	"sync/atomic"

	"lb/netloop"
)

// holds counts the requests that wait before a backend is chosen: for the question of a filter, for their body, or in the queue of a
// pool. What they may need of their State has to stay.
type holds struct{ begun, ended atomic.Int64 }

// holdState has the exchange be counted until releaseState.
func (x *Exchange) holdState() {
	if !x.held {
		x.held = true
		x.state.holds.begun.Add(1)
	}
}

// releaseState ends that. In the same event of the loop, a backend is chosen, or the exchange holds its state again, or needs it no more.
func (x *Exchange) releaseState() {
	if x.held {
		x.held = false
		x.state.holds.ended.Add(1)
	}
}

// Unused reports whether no request will choose a backend by the State any more, which must have been replaced by Swap. It waits for the
// current events of the loops, and must not be called on one.
func (s *State) Unused(loops []*netloop.Loop) bool {
	passTurn(loops) // whatever has loaded s holds it by now, or needs it no more
	begun := s.holds.begun.Load()
	if s.holds.ended.Load() != begun {
		return false
	}
	passTurn(loops) // what has just released s has chosen its backend by now
	return s.holds.begun.Load() == begun
}

// passTurn returns when each loop has ended the event that it was at.
func passTurn(loops []*netloop.Loop) {
	passed := make(chan struct{}, len(loops))
	for _, l := range loops {
		if !l.Post(netloop.TaskFunc(func() { passed <- struct{}{} })) {
			passed <- struct{}{} // it has stopped
		}
	}
	for range loops {
		<-passed
	}
}
