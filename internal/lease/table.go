package lease

import (
	"math/bits"
	"sync/atomic"
	"time"

	"lb/internal/gcra"
)

// life is how long the tokens of a lease can be used, and how long a refusal by Redis is remembered at most.
const life = 500 * time.Millisecond

// Table remembers leases, and what Redis has said about each client, by key. Its size is fixed: it has gcra.DefaultEntries, in 6 MiB.
// It takes no lock. Where several goroutines replace an entry at the same moment, a token may be lost, or used for another key.
type Table struct {
	entries *gcra.Table // when the burst of each key is whole again, as Redis has said
	states  []atomic.Uint64
	start   time.Time
}

// NewTable returns an empty table.
func NewTable() *Table {
	entries := gcra.NewTable(gcra.DefaultEntries)
	return &Table{entries: entries, states: make([]atomic.Uint64, entries.Entries()), start: time.Now()}
}

// Entries says how much of its burst each key has left, leases not included.
func (t *Table) Entries() *gcra.Table { return t.entries }

// now returns the milliseconds since the start, from 1.
func (t *Table) now() int64 { return time.Since(t.start).Milliseconds() + 1 }

// state is what is known about a key.
type state struct {
	tokens int   // of the lease that are left
	until  int64 // when the lease, or the refusal, ends, in milliseconds since the start of the table
	step   int   // the lease had 1<<step tokens, or the most that there may be
	denied bool  // Redis had no token; tokens is 0
	asked  bool  // more tokens have been asked for, or Redis has no more
}

// The bits of a packed state.
const (
	tokenBits = 16
	deniedBit = 1 << tokenBits
	askedBit  = deniedBit << 1
	stepShift = tokenBits + 2
	stepBits  = 5
	timeShift = stepShift + stepBits // 41 bits remain, for 69 years
)

func (s state) pack() uint64 {
	n := uint64(s.tokens) | uint64(s.step)<<stepShift | uint64(s.until)<<timeShift
	if s.denied {
		n |= deniedBit
	}
	if s.asked {
		n |= askedBit
	}
	return n
}

func unpack(n uint64) state {
	return state{
		tokens: int(n & (1<<tokenBits - 1)), until: int64(n >> timeShift), step: int(n >> stepShift & (1<<stepBits - 1)),
		denied: n&deniedBit != 0, asked: n&askedBit != 0,
	}
}

// maxLease bounds the tokens of a lease.
const maxLease = 4096

// take uses a token of the key's lease. most is the size of a lease that cannot grow. more says that it is time to ask for more tokens,
// once for each lease.
func (t *Table) take(key uint64, most int) (o Outcome, more bool) {
	slot := t.entries.Slot(key)
	if slot < 0 {
		return Unknown, false
	}
	now := t.now()
	for {
		packed := t.states[slot].Load()
		s := unpack(packed)
		switch {
		case now >= s.until:
			return Unknown, false
		case s.denied:
			return Denied, false
		case s.tokens == 0:
			return Unknown, false
		}
		s.tokens--
		more = !s.asked && s.tokens <= min(most, 1<<s.step)/2
		s.asked = s.asked || more
		if t.states[slot].CompareAndSwap(packed, s.pack()) {
			return Granted, more
		}
	}
}

// next returns how many tokens the next lease of a key should have, up to most, and how many are left of the present one. A lease that is
// used up within its life is followed by one of twice its size.
func (t *Table) next(key uint64, most int) (size, held int) {
	slot := t.entries.Slot(key)
	if slot < 0 {
		return 1, 0
	}
	s := unpack(t.states[slot].Load())
	if t.now() >= s.until || s.denied {
		return 1, 0
	}
	return min(most, 2<<s.step), s.tokens
}

// put notes what Redis has given for a key: tokens for a lease of the given size, and if short, no more than these. since is when Redis was
// asked, by the clock of the table.
func (t *Table) put(key uint64, since int64, size, tokens int, short bool, g given) {
	slot, fresh := t.entries.Set(key, g.reset)
	for {
		packed := t.states[slot].Load()
		held := 0
		if old := unpack(packed); !fresh && t.now() < old.until {
			held = old.tokens
		}
		s := state{tokens: min(held+tokens, maxLease), until: since + life.Milliseconds(), step: bits.Len(uint(size)) - 1, asked: short}
		if s.tokens == 0 && short {
			s.denied = true
			s.until = t.now() + min(g.retry, life).Milliseconds()
		}
		if t.states[slot].CompareAndSwap(packed, s.pack()) {
			return
		}
	}
}
