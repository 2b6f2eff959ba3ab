package front

import (
	"sync"
	"sync/atomic"
	"time"
)

// roster holds the open connections. One goroutine goes through it now and then and finds the requests that take
// long. A timer for each request would find them too, but a timer that is set wakes the poller of a process that
// is idle otherwise. newRoster makes one.
type roster struct {
	shards [16]rosterShard
	next   atomic.Uint32
	awake  atomic.Bool
	wake   chan struct{} // made by newRoster; holds one
}

// rosterShard is a part of the roster, so that who opens and closes connections is not held up for long.
type rosterShard struct {
	mu    sync.Mutex
	first *vigil
	_     [40]byte
}

const (
	// vigilAfter is how long at least a request is under way before anybody looks whether its client is still
	// there, and how often the roster is gone through while there are requests.
	vigilAfter = 40 * time.Millisecond
	// rosterRest is how many times in a row no request is found before nobody looks any more.
	rosterRest = 50
)

func newRoster() *roster { return &roster{wake: make(chan struct{}, 1)} }

// shard returns the part that a new connection belongs to.
func (r *roster) shard() *rosterShard { return &r.shards[r.next.Add(1)%uint32(len(r.shards))] }

// enter puts v on the list.
func (r *roster) enter(v *vigil) {
	v.shard = r.shard()
	s := v.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.after = s.first; s.first != nil {
		s.first.before = v
	}
	s.first = v
}

// look makes sure that somebody goes through the roster.
func (r *roster) look() {
	if !r.awake.Load() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// leave takes v off the list.
func (r *roster) leave(v *vigil) {
	s := v.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.before != nil {
		v.before.after = v.after
	} else {
		s.first = v.after
	}
	if v.after != nil {
		v.after.before = v.before
	}
	v.before, v.after = nil, nil
}

// run starts a watch for every request that has been under way for a round, until stop is closed.
func (r *roster) run(stop <-chan struct{}) {
	var watches sync.WaitGroup
	defer watches.Wait()
	var slow []*Conn
	for {
		r.awake.Store(true)
		tick := time.NewTicker(vigilAfter)
		for empty := 0; empty < rosterRest; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
			any := false
			if slow, any = r.round(slow[:0]); any {
				empty = 0
			} else {
				empty++
			}
			for _, c := range slow {
				watches.Go(c.watch)
			}
			clear(slow)
		}
		tick.Stop()
		// Who begins to await looks at awake after that: either it is seen here, or it wakes us.
		r.awake.Store(false)
		if _, any := r.round(nil); any {
			continue
		}
		select {
		case <-stop:
			return
		case <-r.wake:
		}
	}
}

// round appends the connections whose request was there in the round before already and is not watched yet. It
// reports whether there are any requests at all.
func (r *roster) round(slow []*Conn) (_ []*Conn, any bool) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for v := s.first; v != nil; v = v.after {
			switch v.state.Load() {
			case vigilOff:
				continue
			case vigilNew:
				v.state.CompareAndSwap(vigilNew, vigilSeen)
			case vigilSeen:
				if v.state.CompareAndSwap(vigilSeen, vigilWatched) {
					slow = append(slow, v.conn)
				}
			}
			any = true
		}
		s.mu.Unlock()
	}
	return slow, any
}
