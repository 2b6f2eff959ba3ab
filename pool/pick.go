package pool

import (
	"context"
	"time"
)

// Pick reserves a backend that is not in tried, unless only tried ones are left. The key is what the
// pool's picker is given: see Picker. The caller must Release it. The context bounds the wait in the queue only.
func (p *Pool) Pick(ctx context.Context, key uint64, tried []*Backend) (*Backend, error) {
	if len(tried) == 0 && p.queue.waiting.Load() == 0 {
		if b := p.snapshot.Load().picker.Pick(key); b != nil {
			b.counters.asked.Add(1)
			return b, nil
		}
	}
	b, err := p.pickOrWait(ctx, key, tried, nil)
	if b != nil && len(tried) == 0 {
		b.counters.asked.Add(1)
	}
	return b, err
}

// pickOrWait picks any backend. While it waits, own will do as well, should it become usable; nil: there is none.
func (p *Pool) pickOrWait(ctx context.Context, key uint64, tried []*Backend, own *Backend) (*Backend, error) {
	s := p.snapshot.Load()
	isDown := len(s.usable) == 0
	if isDown && !time.Now().Before(s.downUntil) {
		return nil, ErrNoBackend
	}
	// What comes while others wait goes behind them.
	if !isDown && p.queue.waiting.Load() == 0 {
		b := s.pick(key, tried)
		if len(tried) != 0 && p.queue.waiting.Load() != 0 {
			p.serveQueue() // pick may have held a tried one while somebody looked for room
		}
		if b != nil {
			return b, nil
		}
	}
	if s.queueLimit <= 0 {
		p.metrics.queueRejected.Inc()
		return nil, ErrFull
	}
	return p.wait(ctx, s, &waiter{own: own, key: key, tried: tried})
}

// pick reserves a backend that is not in tried: one in use, else a spare one. With none of either left it reserves one
// that is in tried; while one is left that has no room it returns nil.
//
// In a panic those in use may be down, so that a spare one, which is not, comes before these.
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

// pickUntried reserves one of a set that is not in tried, and usable where that is asked for. With none, left tells
// that there is one without room.
//
// The algorithm is asked a few times, so that a retry is balanced like any request: each time with another key, made
// of the last, so that one that goes by the key has another answer, and the same one for the same request.
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
		// Nobody waits for the trial of another to end: it may take long.
		left = left || b.limit.Load() != onTrial
	}
	return nil, left
}

// contains is written out as tried has one or two entries and this is the request path.
func contains(tried []*Backend, b *Backend) bool {
	for _, t := range tried {
		if t == b {
			return true
		}
	}
	return false
}

// TryPick reserves a backend that is not in tried, for a retry that need not be. It never waits and
// never overtakes those who do; nil if there is none. The caller must Release it.
func (p *Pool) TryPick(key uint64, tried []*Backend) *Backend {
	s := p.snapshot.Load()
	if len(s.usable) == 0 {
		return nil
	}
	if p.queue.waiting.Load() != 0 {
		if len(s.spare) == 0 {
			return nil
		}
		b, _ := pickUntried(s.spare, s.spares, key, tried, false) // which those who wait for their first try may not have
		p.serveQueue()                                            // it may have held a tried one while somebody looked for room
		return b
	}
	b := s.pick(key, tried)
	if p.queue.waiting.Load() != 0 {
		p.serveQueue() // pick may have held a tried one while somebody looked for room
	}
	if b != nil && contains(tried, b) {
		b.Release()
		return nil
	}
	return b
}
