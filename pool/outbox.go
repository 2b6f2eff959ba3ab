package pool

import "sync"

// outbox holds what is to be done outside of requests and locks: hooks, log lines, closing connections.
// Its lock is held for an append only and no other is taken under it.
type outbox struct {
	mu      sync.Mutex
	pending []func()
	wake    chan struct{} // capacity 1
}

// add puts one thing to do behind the others. It never blocks.
func (o *outbox) add(do func()) {
	o.mu.Lock()
	o.pending = append(o.pending, do)
	o.mu.Unlock()
	o.nudge()
}

// nudge makes the pool's goroutine look at its timers and at the outbox.
func (o *outbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// deliver does all there is to do, in order, with what comes up meanwhile.
func (o *outbox) deliver() {
	for {
		o.mu.Lock()
		pending := o.pending
		o.pending = nil
		o.mu.Unlock()
		if len(pending) == 0 {
			return
		}
		for _, do := range pending {
			do()
		}
	}
}
