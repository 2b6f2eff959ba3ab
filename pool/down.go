package pool

import "time"

// A pool without a usable backend is down. For a while requests wait for it to come back, as a restart takes no longer than
// that; then they are refused at once.
const (
	// openEvery is how often those that waited are let in when the pool is back: at first one, then twice as many each time, but
	// never more than mostAtOnce. A backend that has just started is not to meet all of them at once.
	openEvery  = 10 * time.Millisecond
	mostAtOnce = 64
	// hurryEvery is how often backends that failed their checks are checked while requests wait.
	hurryEvery = 50 * time.Millisecond
	// restored is how long a pool must be up for its next time down to count from its beginning.
	restored = time.Second
)

// down is for how long a pool has been without a usable backend. Guarded by Pool.mu.
type down struct {
	since  time.Time     // zero: it is up, or an administrator wants it so
	before time.Duration // until it was last up, if that did not last
	up     time.Time     // when it was last up again
}

// awaited reports whether one of the members may become usable by itself. A pool without any may get some.
func awaited(members []*Backend) bool {
	for _, b := range members {
		if b.state.Load().admin == Ready {
			return true
		}
	}
	return len(members) == 0
}

// markDown notes in the next snapshot whether the pool is down, and until when requests wait for it. The caller holds p.mu.
func (p *Pool) markDown(next *snapshot, now time.Time) {
	d := &p.down
	switch isDown := next.tier == tierNone && awaited(next.members) && !p.closed; {
	case isDown && d.since.IsZero():
		if now.Sub(d.up) > restored {
			d.before = 0
		}
		d.since = now
	case !isDown && !d.since.IsZero():
		d.before += now.Sub(d.since)
		d.since, d.up = time.Time{}, now
		if next.tier != tierNone && p.queue.waiting.Load() != 0 {
			p.queue.startRation()
			p.outbox.nudge()
		}
	}
	if !d.since.IsZero() && p.started.Load() && p.options.QueueLimit > 0 {
		next.downUntil = d.since.Add(p.options.WhileDown - d.before)
		if p.queue.waiting.Load() != 0 {
			p.outbox.nudge() // WhileDown may be shorter now
		}
	}
}

// tend has those that wait for a pool that is down refused when it has been so for too long, and the backends whose checks fail
// looked at meanwhile. It returns how long until there is more to do, and is called by the pool's goroutine alone.
func (p *Pool) tend(now time.Time) time.Duration {
	s := p.snapshot.Load()
	if p.queue.waiting.Load() == 0 {
		p.queue.endRation()
		return farAway
	}
	if len(s.usable) > 0 {
		return p.open()
	}
	if !now.Before(s.downUntil) {
		p.serveQueue()
		return farAway
	}
	wait := s.downUntil.Sub(now)
	p.mu.Lock()
	hurry := p.options.CheckNow
	p.mu.Unlock()
	if hurry == nil {
		return wait
	}
	if next := p.hurried.Add(hurryEvery).Sub(now); next > 0 {
		return min(wait, next)
	}
	p.hurried = now
	for _, b := range s.members {
		if state := b.state.Load(); state.admin == Ready && state.active == ActiveDown && state.passive != PassiveRefuse {
			hurry(b)
		}
	}
	return min(wait, hurryEvery)
}

// ration bounds how many of those that wait are let in at a time. Guarded by queue.mu.
type ration struct {
	on   bool
	left int // of this time
	size int // of the next
}

func (r *ration) spent() bool { return r.on && r.left <= 0 }

func (r *ration) spend() {
	if r.on {
		r.left--
	}
}

func (q *queue) startRation() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ration = ration{on: true, left: 1, size: 2}
}

func (q *queue) endRation() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting.Load() == 0 {
		q.ration = ration{}
	}
}

// open lets the next in of those that waited for a pool that is back, and returns how long until the next time.
func (p *Pool) open() time.Duration {
	q := &p.queue
	q.mu.Lock()
	if !q.ration.on {
		q.mu.Unlock()
		return farAway
	}
	if q.ration.left > 0 {
		q.ration = ration{} // those that are left wait for room
	} else {
		q.ration.left = q.ration.size
		q.ration.size = min(2*q.ration.size, mostAtOnce)
	}
	q.mu.Unlock()
	p.serveQueue()
	return openEvery
}
