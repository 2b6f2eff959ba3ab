package transport

import "sync/atomic"

// idleStack keeps idle connections, the one used last on top: under falling load the
// lower ones grow old and are swept. It takes no lock, so that a busy backend's requests
// do not queue for it. Two stacks of slot numbers (slots with a connection, empty slots) are
// Treiber stacks; a counter in each head's upper half guards against the ABA problem.
type idleStack struct {
	slots []idleSlot
	full  atomic.Uint64 // head: counter<<32 | slot number + 1; 0 in the lower half: empty
	empty atomic.Uint64
	count atomic.Int64
	swept *Conn // stands in a full slot whose connection was swept
}

type idleSlot struct {
	conn atomic.Pointer[Conn] // nil but in a full slot
	next atomic.Uint32        // slot number + 1 of the one below
}

func newIdleStack(size int) *idleStack {
	s := &idleStack{slots: make([]idleSlot, size), swept: new(Conn)}
	for i := range s.slots {
		s.pushSlot(&s.empty, uint32(i+1))
	}
	return s
}

func (s *idleStack) pushSlot(head *atomic.Uint64, slot uint32) {
	for {
		old := head.Load()
		s.slots[slot-1].next.Store(uint32(old))
		if head.CompareAndSwap(old, (old>>32+1)<<32|uint64(slot)) {
			return
		}
	}
}

func (s *idleStack) popSlot(head *atomic.Uint64) (slot uint32) {
	for {
		old := head.Load()
		slot = uint32(old)
		if slot == 0 {
			return 0
		}
		next := s.slots[slot-1].next.Load()
		if head.CompareAndSwap(old, (old>>32+1)<<32|uint64(next)) {
			return slot
		}
	}
}

// push keeps c; false if all slots are taken.
func (s *idleStack) push(c *Conn) bool {
	slot := s.popSlot(&s.empty)
	if slot == 0 {
		return s.refill(c)
	}
	s.count.Add(1)
	s.slots[slot-1].conn.Store(c)
	s.pushSlot(&s.full, slot)
	return true
}

// refill keeps c in a slot that a sweep has left among the full ones; false if there is none. How
// deep c then lies does not matter: what was swept was older than all that stayed.
func (s *idleStack) refill(c *Conn) bool {
	if s.count.Load() >= int64(len(s.slots)) {
		return false
	}
	for i := range s.slots {
		if s.slots[i].conn.CompareAndSwap(s.swept, c) {
			s.count.Add(1)
			return true
		}
	}
	return false
}

// pop takes the connection that was kept last; nil if there is none.
func (s *idleStack) pop() *Conn {
	for {
		slot := s.popSlot(&s.full)
		if slot == 0 {
			return nil
		}
		c := s.slots[slot-1].conn.Swap(nil)
		s.pushSlot(&s.empty, slot)
		if c != s.swept {
			s.count.Add(-1)
			return c
		}
	}
}

// sweep takes out every connection for which drop says so and hands it to closing. The
// slot stays where it is until it is popped or refilled.
func (s *idleStack) sweep(drop func(*Conn) bool, closing func(*Conn)) {
	if s.count.Load() == 0 {
		return // most backends of a large pool, most of the time
	}
	for i := range s.slots {
		slot := &s.slots[i]
		if c := slot.conn.Load(); c != nil && c != s.swept && drop(c) && slot.conn.CompareAndSwap(c, s.swept) {
			s.count.Add(-1)
			closing(c)
		}
	}
}
