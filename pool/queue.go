package pool

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// queue holds the requests that wait for room, first come first served. Requests that find
// room look at waiting only; nobody takes the lock while nobody waits.
type queue struct {
	waiting atomic.Int64 // the length of list, changed under mu
	mu      sync.Mutex
	list    list.List // of *waiter
	choosy  int       // waiters in it for whom not the same will do as for the others
}

// waiter is one request in the queue. Whoever takes it out of the list, under the queue's
// lock, sets the result and closes done.
type waiter struct {
	own     *Backend // the only one that will do, while it can be used and is not on trial; nil: any
	key     uint64
	tried   []*Backend
	place   *list.Element // nil once out of the list
	done    chan struct{}
	backend *Backend
	err     error
}

// plain tells whether any backend that first tries go to will do.
func (w *waiter) plain() bool { return w.own == nil && len(w.tried) == 0 }

// enter puts w at the end, unless limit are waiting already.
func (q *queue) enter(w *waiter, limit int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.list.Len() >= limit {
		return false
	}
	w.place = q.list.PushBack(w)
	q.waiting.Add(1)
	if !w.plain() {
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
	q.list.Remove(w.place)
	w.place = nil
	q.waiting.Add(-1)
	if !w.plain() {
		q.choosy--
	}
}

// wait queues the caller until it gets a backend, the queue timeout or ctx ends, or no backend is usable.
func (p *Pool) wait(ctx context.Context, s *snapshot, w *waiter) (*Backend, error) {
	w.done = make(chan struct{})
	if !p.queue.enter(w, s.queueLimit) {
		return p.refuse(w, ErrQueueFull)
	}
	started := time.Now()
	defer func() { p.metrics.queueWait.Observe(time.Since(started)) }()
	// Room may have come up before the queue was entered; from here on Release sees the waiter.
	p.serveQueue()
	if p.snapshot.Load().trials { // it may be another by now
		p.outbox.nudge() // to be let through one by one: see renewTrials
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

// refuse is the end of one who may not wait, or not any longer. Who wanted a backend of its own gets any that is
// free instead: those who wait for any would have it already.
func (p *Pool) refuse(w *waiter, err error) (*Backend, error) {
	if w.own != nil {
		if b := p.snapshot.Load().picker.Pick(w.key); b != nil {
			return b, nil
		}
	}
	p.metrics.queueRejected.Inc()
	return nil, err
}

// serveQueue reserves backends for those who wait, from the first on, as long as there is room. One for whom
// none of the free backends will do lets the next pass.
func (p *Pool) serveQueue() {
	q := &p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	s := p.snapshot.Load()
	full := false // if there is no room for one of the plain, there is none for the others
	for e := q.list.Front(); e != nil && (!full || q.choosy > 0); {
		w := e.Value.(*waiter)
		e = e.Next()
		if full && w.plain() {
			continue
		}
		if !w.serve(s) {
			full = full || w.plain()
			continue
		}
		q.remove(w)
		close(w.done)
	}
}

// serve sets the result, if there is one by now.
func (w *waiter) serve(s *snapshot) bool {
	own := w.own != nil && w.own.returning()
	switch {
	case own && w.own.Reserve():
		w.backend = w.own
	case own && w.own.awaited():
		return false
	case len(s.usable) == 0:
		w.err = ErrNoBackend
	default:
		w.backend = s.pick(w.key, w.tried)
		return w.backend != nil
	}
	return true
}
