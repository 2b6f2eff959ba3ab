package pool

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// queue holds the requests that wait for room, or for a backend that can be used, first come first served. Requests that find
// room look at waiting only; nothing takes the lock while none waits.
type queue struct {
	waiting atomic.Int64 // the length of all lists, changed under mu
	mu      sync.Mutex
	list    list.List               // of *waiter: those for which several backends will do
	choosy  int                     // waiters in it for which not the same will do as for the others
	owned   map[*Backend]*list.List // of *waiter: those that wait for their own backend
	arrived uint64                  // waiters so far
	ration  ration
}

// waiter is one request in the queue. Whatever takes it out of its list, under the queue's
// lock, sets the result and closes done.
type waiter struct {
	own     *Backend // goes before all others while it can be used; nil: there is none
	insists bool     // and no other will do, while own can be used and is not on trial
	key     uint64
	tried   []*Backend
	number  uint64        // in the order of arrival
	list    *list.List    // that it is in
	place   *list.Element // nil once out of the list
	done    chan struct{}
	backend *Backend
	err     error
}

// plain tells whether any backend that first tries go to will do.
func (w *waiter) plain() bool { return w.own == nil && len(w.tried) == 0 }

// enter puts w at the end, unless as many are waiting already as may. For the same backend no more than its part of the
// limit may: one client's cookie is not to shut the pool for all.
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

// leave takes w out and tells whether it was still waiting; if not, its result is set.
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

// first returns the first of those that wait for their own backend and may get one now, but for some owners; nil if there
// is none. With full, those whose own cannot be used need not be asked: no other has room.
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

// wait queues the caller until it gets a backend, the queue timeout or ctx ends, or no backend has been usable for WhileDown.
func (p *Pool) wait(ctx context.Context, s *snapshot, w *waiter) (*Backend, error) {
	w.done = make(chan struct{})
	if !p.queue.enter(w, s.queueLimit, len(s.members)) {
		return p.refuse(w, ErrQueueFull)
	}
	started := time.Now()
	defer func() { p.metrics.queueWait.Observe(time.Since(started)) }()
	// Room may have come up before the queue was entered; from here on Release sees the waiter.
	p.serveQueue()
	if s := p.snapshot.Load(); s.trials || len(s.usable) == 0 { // it may be another by now
		p.outbox.nudge() // to be let through one by one: see renewTrials; or to be waited for: see down.go
	}

	var timeout <-chan time.Time
	if s.queueTimeout > 0 {
		timer := time.NewTimer(s.queueTimeout)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		if !p.queue.leave(w) && w.backend != nil {
			w.backend.Release()
		}
		return nil, ctx.Err()
	case <-timeout:
		if p.queue.leave(w) {
			return p.refuse(w, ErrQueueTimeout)
		}
	}
	return w.backend, w.err
}

// refuse is the end of a request that may not wait, or not any longer. One that wanted a backend of its own, or that came when only
// such ones waited, gets any that is free instead: those that wait for any would have it already.
func (p *Pool) refuse(w *waiter, err error) (*Backend, error) {
	if s := p.snapshot.Load(); len(s.usable) > 0 && (w.own != nil || p.queue.anyFree()) {
		if b := s.pick(w.key, w.tried); b != nil {
			return b, nil
		}
	}
	p.metrics.queueRejected.Inc()
	return nil, err
}

// anyFree reports whether all that wait do so for their own backend.
func (q *queue) anyFree() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.list.Len() == 0
}

// serveQueue reserves backends for those that wait, from the first on, as long as there is room. One for which
// none of the free backends will do lets the next pass.
func (p *Pool) serveQueue() {
	q := &p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	s := p.snapshot.Load()
	now := time.Now()
	full := false                 // if there is no room for one of the plain, there is none for the others
	var busy [8]*Backend          // that those waiting for them cannot have
	blocked := busy[:0]           // the part of it in use
	own := q.first(blocked, full) // the next that waits for its own backend
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
			close(w.done)
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

// serve sets the result, if there is one by now.
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
