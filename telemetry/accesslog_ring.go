package telemetry

import "sync/atomic"

const (
	ringSlots = 8192
	slotBytes = 512     // reserved for each line; one that needs more allocates
	slotKeep  = 4 << 10 // a longer buffer is dropped after it has been written

	// ringClosed in the tail makes every later compare-and-swap of a producer fail.
	ringClosed = 1 << 63
)

// ring is a bounded queue of encoded lines with many producers and one consumer, after Dmitry Vyukov's. A producer
// takes a slot with one compare-and-swap, encodes into the slot's own buffer, and publishes it by the slot's sequence
// number. It never waits.
type ring struct {
	slots []slot
	_     [64]byte // keeps the ends of producers and consumer on different cache lines
	tail  atomic.Uint64
	_     [64]byte
	head  atomic.Uint64 // written by the consumer alone
}

type slot struct {
	// sequence is the position p the slot is free for, then p+1 once its line may be read, and
	// p+len(slots) when it has been.
	sequence atomic.Uint64
	line     []byte
	_        [32]byte
}

// newRing takes a power of two.
func newRing(slots int) *ring {
	r := &ring{slots: make([]slot, slots)}
	memory := make([]byte, slots*slotBytes)
	for i := range r.slots {
		r.slots[i].sequence.Store(uint64(i))
		r.slots[i].line = memory[i*slotBytes : i*slotBytes : (i+1)*slotBytes]
	}
	return r
}

// reserve takes the next free slot for position p; nil if the ring is full or closed. The caller must publish it
// soon: later slots wait for it.
func (r *ring) reserve() (s *slot, p uint64) {
	p = r.tail.Load()
	for {
		if p&ringClosed != 0 {
			return nil, 0
		}
		s = &r.slots[p&uint64(len(r.slots)-1)]
		switch ahead := int64(s.sequence.Load() - p); {
		case ahead == 0:
			if r.tail.CompareAndSwap(p, p+1) {
				return s, p
			}
			p = r.tail.Load()
		case ahead < 0:
			return nil, 0
		default:
			p = r.tail.Load()
		}
	}
}

func (s *slot) publish(p uint64) { s.sequence.Store(p + 1) }

// next appends the oldest line to batch; false if there is none yet. For the consumer alone.
func (r *ring) next(batch []byte) ([]byte, bool) {
	p := r.head.Load()
	s := &r.slots[p&uint64(len(r.slots)-1)]
	if s.sequence.Load() != p+1 {
		return batch, false
	}
	batch = append(batch, s.line...)
	if cap(s.line) > slotKeep {
		s.line = make([]byte, 0, slotBytes)
	}
	r.head.Store(p + 1)
	s.sequence.Store(p + uint64(len(r.slots)))
	return batch, true
}

// empty reports whether every reserved slot has been read.
func (r *ring) empty() bool { return r.head.Load() == r.tail.Load()&^ringClosed }

// close makes reserve fail from now on; what was reserved before can still be published and read.
func (r *ring) close() { r.tail.Or(ringClosed) }
