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
}

type idleSlot struct {
	conn atomic.Pointer[Conn] // nil in a full slot: swept
	next atomic.Uint32        // slot number + 1 of the one below
}

func newIdleStack(size int) *idleStack {
	s := &idleStack{slots: make([]idleSlot, size)}
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
		return false
	}
	s.count.Add(1)
	s.slots[slot-1].conn.Store(c)
	s.pushSlot(&s.full, slot)
	return true
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
		if c != nil {
			s.count.Add(-1)
			return c
		}
	}
}

// sweep takes out every connection for which drop says so and hands it to closing. The
// slot stays where it is, empty, until it is popped.
func (s *idleStack) sweep(drop func(*Conn) bool, closing func(*Conn)) {
	for i := range s.slots {
		slot := &s.slots[i]
		if c := slot.conn.Load(); c != nil && drop(c) && slot.conn.CompareAndSwap(c, nil) {
			s.count.Add(-1)
			closing(c)
		}
	}
}
