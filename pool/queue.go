package pool

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// queue holds the requests that wait for room, or for a usable backend, first come first served. Requests that find
// room read only waiting; nothing takes the lock while none waits.
type queue struct {
	waiting atomic.Int64 // the length of all lists, changed under mu
	mu      sync.Mutex
	list    list.List               // of *waiter: those that several backends can serve
	choosy  int                     // waiters in it that not all of the others' backends can serve
	owned   map[*Backend]*list.List // of *waiter: those that wait for their own backend
	arrived uint64                  // waiters so far
	ration  ration
}

// waiter is one request in the queue. What takes it out of its list, under the queue's lock, sets the result and
// calls granted.
type waiter struct {
	own     *Backend // preferred while it can be used; nil: there is none
	insists bool     // no other backend will do while own can be used and is not on trial
	key     uint64
	tried   []*Backend
	number  uint64        // in the order of arrival
	list    *list.List    // the list it is in
	place   *list.Element // nil once out of the list
	granted func()        // does not block; the queue is locked
	result  atomic.Bool   // backend or err is set
	backend *Backend
	err     error
}

// plain reports whether any backend for first tries will do.
func (w *waiter) plain() bool { return w.own == nil && len(w.tried) == 0 }

// enter appends w, unless the limit is reached. Waiters for the same backend may only use its part of the limit, so
// that the cookie of one client cannot fill the queue.
func (q *queue) enter(w *waiter, limit, members int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.list = &q.list
	if w.insists {
		if w.list = q.owned[w.own]; w.list == nil {
			w.list = list.New()
		}
		if w.list.Len() >= max(1, limit/max(1, members)) {
			return false
		}
	}
	if int(q.waiting.Load()) >= limit {
		return false
	}
	if w.insists && w.list.Len() == 0 {
		if q.owned == nil {
			q.owned = map[*Backend]*list.List{}
		}
		q.owned[w.own] = w.list
	}
	q.arrived++
	w.number = q.arrived
	w.place = w.list.PushBack(w)
	q.waiting.Add(1)
	if !w.insists && !w.plain() {
		q.choosy++
	}
	return true
}

// leave removes w and reports whether it was still waiting; if not, its result is set.
func (q *queue) leave(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.place == nil {
		return false
	}
	q.remove(w)
	return true
}

func (q *queue) remove(w *waiter) {
	w.list.Remove(w.place)
	w.place = nil
	q.waiting.Add(-1)
	switch {
	case w.insists:
		if w.list.Len() == 0 {
			delete(q.owned, w.own)
		}
	case !w.plain():
		q.choosy--
	}
}

// first returns the first waiter for its own backend that may get it now, except for some backends; nil if there is
// none. With full, those whose own backend cannot be used are skipped, since no other has room.
func (q *queue) first(except []*Backend, full bool) (first *waiter) {
	for own, l := range q.owned {
		w := l.Front().Value.(*waiter)
		if first != nil && w.number > first.number || own.awaited() && !own.hasRoom() || full && !own.returning() || contains(except, own) {
			continue
		}
		first = w
	}
	return first
}

// A Wait is the place of a request in the queue of a pool. The zero value has none.
type Wait struct {
	waiter
	pool    *Pool
	started time.Time
	timeout time.Duration
}

// Timeout is how long the wait may last; 0: without limit. Expire must be called after that.
func (w *Wait) Timeout() time.Duration { return w.timeout }

// Granted reports whether there is a result.
func (w *Wait) Granted() bool { return w.result.Load() }

// Result returns what was granted: a reserved backend, or why there is none. It may be called after granted was.
func (w *Wait) Result() (*Backend, error) {
	w.observe()
	return w.backend, w.err
}

// Cancel gives up the place, and releases what may have been granted meanwhile.
func (w *Wait) Cancel() {
	w.observe()
	if !w.pool.queue.leave(&w.waiter) && w.backend != nil {
		w.backend.Release()
	}
}

// Expire ends a wait after its timeout. It returns what was granted at the last moment, or a backend that is free
// nevertheless, or ErrQueueTimeout.
func (w *Wait) Expire() (*Backend, error) {
	w.observe()
	if w.pool.queue.leave(&w.waiter) {
		return w.pool.refuse(&w.waiter, ErrQueueTimeout)
	}
	return w.backend, w.err
}

func (w *Wait) observe() { w.pool.metrics.queueWait.Observe(time.Since(w.started)) }

// enqueue begins to wait: granted is called, on any goroutine, when w has a result. If waiting is false, the result
// is returned.
func (p *Pool) enqueue(s *snapshot, w *Wait) (b *Backend, waiting bool, err error) {
	w.pool = p
	if !p.queue.enter(&w.waiter, s.queueLimit, len(s.members)) {
		b, err = p.refuse(&w.waiter, ErrQueueFull)
		return b, false, err
	}
	w.started, w.timeout = time.Now(), s.queueTimeout
	// There may have been room before w entered the queue; from here on Release sees w.
	p.serveQueue()
	if s := p.snapshot.Load(); s.trials || len(s.usable) == 0 { // it may have changed
		p.outbox.nudge() // to be let through one by one, see renewTrials, or waited for, see down.go
	}
	return nil, true, nil
}

// await blocks until a wait begun by enqueue has ended, or ctx ends.
func (w *Wait) await(ctx context.Context, done <-chan struct{}) (*Backend, error) {
	var timeout <-chan time.Time
	if w.timeout > 0 {
		timer := time.NewTimer(w.timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-done:
		return w.Result()
	case <-ctx.Done():
		w.Cancel()
		return nil, ctx.Err()
	case <-timeout:
		return w.Expire()
	}
}

// refuse ends a request that may not wait, or no longer. One that wanted its own backend, or that came when all
// waiters wanted theirs, gets any free backend instead; waiters for any backend would have it already.
func (p *Pool) refuse(w *waiter, err error) (*Backend, error) {
	if s := p.snapshot.Load(); len(s.usable) > 0 && (w.own != nil || p.queue.anyFree()) {
		if b := s.pick(w.key, w.tried); b != nil {
			return b, nil
		}
	}
	p.metrics.queueRejected.Inc()
	return nil, err
}

// anyFree reports whether all waiters wait for their own backend.
func (q *queue) anyFree() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.list.Len() == 0
}

// serveQueue reserves backends for waiters, from the first on, as long as there is room. A waiter that no free
// backend can serve lets the next pass.
func (p *Pool) serveQueue() {
	q := &p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	s := p.snapshot.Load()
	now := time.Now()
	full := false                 // if there is no room for a plain one, there is none for the others
	var busy [8]*Backend          // backends that their waiters cannot have
	blocked := busy[:0]           // the part of it in use
	own := q.first(blocked, full) // the next waiter for its own backend
	for e := q.list.Front(); ; {
		for e != nil && full && e.Value.(*waiter).plain() {
			if q.choosy == 0 {
				e = nil
				break
			}
			e = e.Next()
		}
		var w *waiter
		if e != nil {
			w = e.Value.(*waiter)
		}
		owned := own != nil && (w == nil || own.number < w.number)
		switch {
		case owned:
			w = own
		case w == nil:
			return
		default:
			e = e.Next()
		}
		if len(s.usable) > 0 && q.ration.spent() {
			return
		}
		if w.serve(s, now) {
			q.remove(w)
			granted := w.granted
			w.result.Store(true) // from now on the request may go on, and use w again
			granted()
			q.ration.spend()
		} else if owned {
			blocked = append(blocked, w.own)
			full = full || !w.own.returning()
		} else {
			full = full || w.plain()
		}
		if owned {
			own = q.first(blocked, full)
		}
	}
}

// serve sets the result, if there is one.
func (w *waiter) serve(s *snapshot, now time.Time) bool {
	own := w.own != nil && w.own.returning()
	switch {
	case own && w.own.Reserve():
		w.backend = w.own
	case own && w.insists && w.own.awaited():
		return false
	case len(s.usable) == 0:
		if now.Before(s.downUntil) {
			return false
		}
		w.err = ErrNoBackend
	default:
		w.backend = s.pick(w.key, w.tried)
		return w.backend != nil
	}
	return true
}
