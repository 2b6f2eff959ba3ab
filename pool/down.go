package pool

import "time"

// A pool without a usable backend is down. Requests wait for it for some time, since a restart takes no longer than
// that; after that they are refused at once.
const (
	// openEvery is how often waiting requests are let in when the pool is back: one at first, then twice as many each
	// time, up to mostAtOnce. A backend that has just started must not get all of them at once.
	openEvery  = 10 * time.Millisecond
	mostAtOnce = 64
	// checkNowEvery is how often backends that failed their checks are checked while requests wait.
	checkNowEvery = 50 * time.Millisecond
	// restored is how long a pool must be up before its next time down counts from zero.
	restored = time.Second
)

// down records for how long a pool has been without a usable backend. Guarded by Pool.mu.
type down struct {
	since  time.Time     // zero: it is up, or an administrator took it down
	before time.Duration // from earlier times down that were too close together
	up     time.Time     // when it was last up again
}

// awaited reports whether a member may become usable by itself. A pool without members may get some.
func awaited(members []*Backend) bool {
	for _, b := range members {
		if b.state.Load().admin == Ready {
			return true
		}
	}
	return len(members) == 0
}

// markDown sets in the next snapshot until when requests wait for a pool that is down. The caller holds p.mu.
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

// tend refuses waiting requests when the pool has been down for too long, and has backends whose checks fail checked
// until then. It returns how long until it is due again. Only the pool's goroutine calls it.
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
	checkNow := p.options.CheckNow
	p.mu.Unlock()
	if checkNow == nil {
		return wait
	}
	if next := p.checkedNow.Add(checkNowEvery).Sub(now); next > 0 {
		return min(wait, next)
	}
	p.checkedNow = now
	for _, b := range s.members {
		if state := b.state.Load(); state.admin == Ready && state.active == ActiveDown && state.passive != PassiveRefuse {
			checkNow(b)
		}
	}
	return min(wait, checkNowEvery)
}

// ration bounds how many waiting requests are let in at a time. Guarded by queue.mu.
type ration struct {
	on   bool
	left int // of this step
	size int // of the next step
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

// open lets in the next waiting requests of a pool that is back, and returns how long until the next step.
func (p *Pool) open() time.Duration {
	q := &p.queue
	q.mu.Lock()
	if !q.ration.on {
		q.mu.Unlock()
		return farAway
	}
	if q.ration.left > 0 {
		q.ration = ration{} // the remaining ones wait for room
	} else {
		q.ration.left = q.ration.size
		q.ration.size = min(2*q.ration.size, mostAtOnce)
	}
	q.mu.Unlock()
	p.serveQueue()
	return openEvery
}
