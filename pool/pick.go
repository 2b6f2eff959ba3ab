package pool

import "context"

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
	if len(s.usable) == 0 {
		return nil, ErrNoBackend
	}
	// Who comes while others wait stands behind them.
	if p.queue.waiting.Load() == 0 {
		b := s.pick(key, tried)
		if len(tried) != 0 && p.queue.waiting.Load() != 0 {
			p.serveQueue() // pick may have held a tried one while somebody looked for room
		}
		if b != nil {
			return b, nil
		}
	}
	if s.queueLimit <= 0 {
		return nil, ErrFull
	}
	return p.wait(ctx, s, &waiter{own: own, key: key, tried: tried})
}

// pick reserves one that is not in tried; one that is, if all usable ones are; else it returns nil.
//
// The algorithm is asked a few times, so that a retry is balanced like any request: each time with another key, made
// of the last, so that one that goes by the key has another answer, and the same one for the same request.
func (s *snapshot) pick(key uint64, tried []*Backend) *Backend {
	if len(tried) == 0 {
		return s.picker.Pick(key)
	}
	next := key
	for range 3 {
		b := s.picker.Pick(next)
		if b == nil {
			return nil
		}
		if !contains(tried, b) {
			return b
		}
		b.giveBack()
		next = next*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019
	}
	allTried := true
	start := int(key % uint64(len(s.usable)))
	for i := range s.usable {
		b := s.usable[(start+i)%len(s.usable)]
		if contains(tried, b) {
			continue
		}
		if b.Reserve() {
			return b
		}
		allTried = false
	}
	if allTried {
		return s.picker.Pick(key)
	}
	return nil
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
	if len(s.usable) == 0 || p.queue.waiting.Load() != 0 {
		return nil
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
