package pool

import (
	"context"
	"time"
)

// Pick reserves a backend that is not in tried, unless only tried ones are left. The key is for the pool's picker:
// see Picker. The caller must Release the backend. The context only bounds the wait in the queue.
func (p *Pool) Pick(ctx context.Context, key uint64, tried []*Backend) (*Backend, error) {
	return p.pickOrAwait(ctx, key, nil, tried)
}

// PickSticky is a first Pick for a client that sent a value of Sticky: see PickOrWait.
func (p *Pool) PickSticky(ctx context.Context, value []byte, key uint64) (*Backend, error) {
	return p.pickOrAwait(ctx, key, value, nil)
}

func (p *Pool) pickOrAwait(ctx context.Context, key uint64, value []byte, tried []*Backend) (*Backend, error) {
	s, own, b, next, err := p.pickNow(key, value, tried)
	if next == pickDone {
		return b, err
	}
	done := make(chan struct{})
	w := &Wait{waiter: waiter{own: own, insists: next == waitForOwn, key: key, tried: tried, granted: func() { close(done) }}}
	b, waiting, err := p.enqueue(s, w)
	if waiting {
		b, err = w.await(ctx, done)
	}
	if b != nil && len(tried) == 0 {
		b.counters.asked.Add(1)
	}
	return b, err
}

// PickOrWait reserves a backend that is not in tried, unless only tried ones are left. The key is for the pool's
// picker: see Picker. A first pick for a client that sent a value of Sticky is for the client's own backend. It waits
// if that is full, and takes another if the wait is over or not allowed, if there is no such backend, or if it cannot
// be used or is on trial. The caller must Release the backend.
//
// If waiting is true the request waits in the queue, and granted is called, on any goroutine and perhaps before
// PickOrWait returns, when w.Result has the outcome; it must not block.
func (p *Pool) PickOrWait(w *Wait, key uint64, value []byte, tried []*Backend, granted func()) (b *Backend, waiting bool, err error) {
	s, own, b, next, err := p.pickNow(key, value, tried)
	if next == pickDone {
		return b, false, err
	}
	*w = Wait{waiter: waiter{own: own, insists: next == waitForOwn, key: key, tried: tried, granted: granted}}
	b, waiting, err = p.enqueue(s, w)
	if b != nil && len(tried) == 0 {
		b.counters.asked.Add(1)
	}
	return b, waiting, err
}

// nextStep is what follows pickNow.
type nextStep uint8

const (
	pickDone   nextStep = iota // there is a backend, or an error
	waitForAny                 // the request must wait
	waitForOwn                 // the same for its own backend only
)

// pickNow picks without waiting.
func (p *Pool) pickNow(key uint64, value []byte, tried []*Backend) (s *snapshot, own, b *Backend, next nextStep, err error) {
	s = p.snapshot.Load()
	if len(value) == 0 && len(tried) == 0 && p.queue.waiting.Load() == 0 {
		if b := s.picker.Pick(key); b != nil {
			b.counters.asked.Add(1)
			return s, nil, b, pickDone, nil
		}
	}
	if len(value) > 0 {
		own = s.sticky[string(value)]
	}
	b, next, err = p.pickIn(s, own, key, tried)
	if b != nil && len(tried) == 0 {
		b.counters.asked.Add(1)
	}
	return s, own, b, next, err
}

// pickIn picks from a snapshot for a client of the backend own; nil: it has none.
func (p *Pool) pickIn(s *snapshot, own *Backend, key uint64, tried []*Backend) (*Backend, nextStep, error) {
	if own != nil && own.returning() {
		// A draining backend is in no picker, so that only its own clients wait for it in the queue.
		if (p.queue.waiting.Load() == 0 || own.AdminState() == Drain) && own.Reserve() {
			return own, pickDone, nil
		}
		if own.awaited() && s.queueLimit > 0 {
			return nil, waitForOwn, nil
		}
	}
	s = p.snapshot.Load() // own may have left meanwhile
	isDown := len(s.usable) == 0
	if isDown && !time.Now().Before(s.downUntil) {
		return nil, pickDone, ErrNoBackend
	}
	// New requests queue behind those that wait.
	if !isDown && p.queue.waiting.Load() == 0 {
		b := s.pick(key, tried)
		if len(tried) != 0 && p.queue.waiting.Load() != 0 {
			p.serveQueue() // pick may have held a tried one while a waiting request needed it
		}
		if b != nil {
			return b, pickDone, nil
		}
	}
	if s.queueLimit <= 0 {
		p.metrics.queueRejected.Inc()
		return nil, pickDone, ErrFull
	}
	return nil, waitForAny, nil
}

// pick reserves a backend that is not in tried: a used one, or else a spare one. If neither is left it reserves one
// that is in tried; if one is left but has no room it returns nil.
//
// In a panic used backends may be down, so usable ones and spare ones are tried before them.
func (s *snapshot) pick(key uint64, tried []*Backend) *Backend {
	if len(tried) == 0 {
		return s.picker.Pick(key)
	}
	panicked := s.tier == tierPanic && len(s.spare) > 0
	b, left := pickUntried(s.usable, s.picker, key, tried, panicked)
	if b == nil && len(s.spare) > 0 {
		var more bool
		b, more = pickUntried(s.spare, s.spares, key, tried, false)
		left = left || more
	}
	if b == nil && panicked {
		var more bool
		b, more = pickUntried(s.usable, s.picker, key, tried, false)
		left = left || more
	}
	if b != nil || left {
		return b
	}
	return s.picker.Pick(key)
}

// pickUntried reserves a backend of a set that is not in tried, and with usable set, one that is usable. Without such
// a backend, left reports that there is one without room.
//
// It calls the algorithm a few times, so that a retry is balanced like any request: each time with another key,
// computed from the last one, so that a picker that uses the key gives another result, which is the same for the same
// request.
func pickUntried(set []*Backend, picker Picker, key uint64, tried []*Backend, usable bool) (b *Backend, left bool) {
	next := key
	for range 3 {
		b := picker.Pick(next)
		if b == nil {
			break
		}
		if !contains(tried, b) && (!usable || b.Usable()) {
			return b, false
		}
		b.giveBack()
		next = next*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019
	}
	start := int(key % uint64(len(set)))
	for i := range set {
		b := set[(start+i)%len(set)]
		if contains(tried, b) || usable && !b.Usable() {
			continue
		}
		if b.Reserve() {
			return b, false
		}
		// Requests do not wait for the trial of another to end, which may take long.
		left = left || b.limit.Load() != onTrial
	}
	return nil, left
}

// contains is written out since tried has one or two entries and this is the request path.
func contains(tried []*Backend, b *Backend) bool {
	for _, t := range tried {
		if t == b {
			return true
		}
	}
	return false
}

// TryPick reserves a backend that is not in tried, for an optional retry. It never waits and never overtakes waiting
// requests; nil if there is none. The caller must Release the backend.
func (p *Pool) TryPick(key uint64, tried []*Backend) *Backend {
	s := p.snapshot.Load()
	if len(s.usable) == 0 {
		return nil
	}
	if p.queue.waiting.Load() != 0 {
		if len(s.spare) == 0 {
			return nil
		}
		b, _ := pickUntried(s.spare, s.spares, key, tried, false) // which requests that wait for their first try cannot use
		p.serveQueue()                                            // it may have held a tried one while a waiting request needed it
		return b
	}
	b := s.pick(key, tried)
	if p.queue.waiting.Load() != 0 {
		p.serveQueue() // pick may have held a tried one while a waiting request needed it
	}
	if b != nil && contains(tried, b) {
		b.Release()
		return nil
	}
	return b
}
