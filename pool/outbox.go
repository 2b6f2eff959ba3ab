package pool

import "sync"

// outbox holds work for outside of requests and locks: hooks, log lines, closing connections. Its lock is only held
// for an append, and no other lock is taken under it.
type outbox struct {
	mu      sync.Mutex
	pending []func()
	wake    chan struct{} // capacity 1
}

// add appends one function. It never blocks.
func (o *outbox) add(do func()) {
	o.mu.Lock()
	o.pending = append(o.pending, do)
	o.mu.Unlock()
	o.nudge()
}

// nudge wakes the pool's goroutine to check its timers and the outbox.
func (o *outbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// deliver runs all functions in order, including those that are added meanwhile.
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
