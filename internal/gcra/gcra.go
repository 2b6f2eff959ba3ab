// Package gcra limits how often something may happen, by key, with the generic cell rate algorithm (ITU-T I.371): one time for each key
// says everything about it.
//
// A Table has a fixed size, whatever the number of keys. It takes no lock: each entry is two atomic words. Where several goroutines
// replace an entry at the same moment, one of them may be granted or denied one event too many.
package gcra

import (
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"
)

// Rate is how often something may happen.
type Rate struct {
	interval int64 // nanoseconds between two events at the steady rate
	burst    int64 // events at once
	whole    int64 // nanoseconds in which a used burst becomes whole again
}

// NewRate returns a rate of perSecond events, above 0, with bursts of up to burst events, at least 1.
func NewRate(perSecond float64, burst int) Rate {
	interval := int64(math.Max(1, math.Min(float64(time.Second)/perSecond, 1<<52)))
	r := Rate{interval: interval, burst: int64(max(1, burst))}
	r.burst = min(r.burst, math.MaxInt64/4/interval)
	r.whole = r.burst * interval
	return r
}

// Decision is whether an event may happen.
type Decision struct {
	OK        bool
	Remaining int           // events that may follow at once
	Retry     time.Duration // if not OK: when the next event may happen
	Reset     time.Duration // when the burst is whole again
}

// ways is how many entries a key may be in: those of one cache line.
const ways = 4

type entry struct {
	key  atomic.Uint64 // 0: none
	full atomic.Int64  // when the burst of the key is whole again, in nanoseconds since the start of the table
}

type set [ways]entry

// Table has the state of many keys. A key without an entry has a whole burst.
//
// If a new key finds no free entry, it replaces the one whose burst is the nearest to being whole: a key that is over its limit is the
// last to be forgotten.
type Table struct {
	sets  []set
	mask  uint64
	seed  maphash.Seed
	start time.Time
}

// DefaultEntries is a number of entries for the clients of one route. They take 4 MiB.
const DefaultEntries = 1 << 18

// NewTable returns a table with that many entries, which is rounded up to a power of two; each takes 16 bytes.
func NewTable(entries int) *Table {
	sets := 1
	for sets*ways < entries {
		sets *= 2
	}
	return &Table{sets: make([]set, sets), mask: uint64(sets - 1), seed: maphash.MakeSeed(), start: time.Now()}
}

// Entries returns the number of entries, which does not change.
func (t *Table) Entries() int { return len(t.sets) * ways }

// Key returns the key for some bytes, which an attacker cannot predict. Those of different kinds have different keys.
func (t *Table) Key(kind byte, b []byte) uint64 {
	return Key(t.seed, kind, b)
}

// Key is Table.Key with a seed.
func Key(seed maphash.Seed, kind byte, b []byte) uint64 {
	return max(1, maphash.Bytes(seed, b)+uint64(kind)*0x9e3779b97f4a7c15)
}

// Seed returns what Key uses.
func (t *Table) Seed() maphash.Seed { return t.seed }

// Take counts an event, if it may happen. It allocates nothing.
func (t *Table) Take(key uint64, r Rate) Decision { return t.take(key, r, t.now()) }

// Peek returns whether an event may happen, without counting it: it may be the first of Remaining.
func (t *Table) Peek(key uint64, r Rate) Decision { return t.peek(key, r, t.now()) }

// now returns the time since the start, which is above 0.
func (t *Table) now() int64 { return int64(time.Since(t.start)) + 1 }

func (t *Table) take(key uint64, r Rate, now int64) Decision {
	slot, _ := t.claim(key, now)
	e := t.entry(slot)
	for {
		old := e.full.Load()
		full := r.clamp(old, now) + r.interval
		if full-now > r.whole {
			return r.denied(full-r.interval, now)
		}
		if e.full.CompareAndSwap(old, full) {
			return r.granted(full, now)
		}
	}
}

func (t *Table) peek(key uint64, r Rate, now int64) Decision {
	full := now
	if slot := t.Slot(key); slot >= 0 {
		full = r.clamp(t.entry(slot).full.Load(), now)
	}
	if full+r.interval-now > r.whole {
		return r.denied(full, now)
	}
	return r.granted(full, now)
}

// clamp returns when the burst is whole again, between now and the most that this rate allows: before a reload it may have been another.
func (r Rate) clamp(full, now int64) int64 { return min(max(full, now), now+r.whole) }

func (r Rate) granted(full, now int64) Decision {
	return Decision{OK: true, Remaining: r.remaining(full, now), Reset: time.Duration(full - now)}
}

func (r Rate) denied(full, now int64) Decision {
	return Decision{Retry: time.Duration(full + r.interval - now - r.whole), Reset: time.Duration(full - now)}
}

func (r Rate) remaining(full, now int64) int {
	return int(min((r.whole-(full-now))/r.interval, math.MaxInt32))
}

// entry returns that of a slot.
func (t *Table) entry(slot int) *entry { return &t.sets[slot/ways][slot%ways] }

// Slot returns the number of the key's entry, from 0 and below Entries; -1: the key has none.
func (t *Table) Slot(key uint64) int {
	set := int(key & t.mask)
	s := &t.sets[set]
	for i := range s {
		if s[i].key.Load() == key {
			return set*ways + i
		}
	}
	return -1
}

// Set replaces what is known about a key: its burst is whole again after reset. It returns the number of the key's entry, and whether the
// entry belonged to another key or to none before.
func (t *Table) Set(key uint64, reset time.Duration) (slot int, fresh bool) {
	now := t.now()
	slot, fresh = t.claim(key, now)
	t.entry(slot).full.Store(now + int64(reset))
	return slot, fresh
}

// claim returns the number of the entry of a key, which gets one if it has none, and whether it had none.
func (t *Table) claim(key uint64, now int64) (slot int, fresh bool) {
	set := int(key & t.mask)
	s := &t.sets[set]
	for {
		victim := 0
		var before uint64
		least := int64(math.MaxInt64)
		for i := range s {
			e := &s[i]
			k := e.key.Load()
			if k == key {
				return set*ways + i, false
			}
			full := int64(0)
			if k != 0 {
				full = e.full.Load()
			}
			if full < least {
				victim, before, least = i, k, full
			}
		}
		if !s[victim].key.CompareAndSwap(before, key) {
			continue // another key, or the same, has taken it
		}
		if least > now {
			s[victim].full.CompareAndSwap(least, now)
		}
		return set*ways + victim, true
	}
}
