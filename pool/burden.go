package pool

import (
	"sync/atomic"
)

// burden counts the failures of late, so that a backend whose requests fail at once does not look idle beside those that work.
// It halves each burdenTicks. One word, so that it changes in one step: the tick of the last halving above, the count below;
// 0: none.
type burden struct{ word atomic.Uint64 }

const (
	burdenShift = 10 // 2¹⁰ ticks, about a second
	mostBurden  = 1 << 20
)

// Burden returns the failures of late, as if they were requests in flight. The pickers that go by those add it: for each
// failure a backend is taken to be busy with one more request for about a second.
func (b *Backend) Burden() int64 {
	word := b.burden.word.Load()
	if word == 0 {
		return 0
	}
	return b.burden.now(word, b.clock())
}

// halve returns what of a word is left at a tick.
func halve(word uint64, at uint32) (count uint64, since uint32) {
	since = uint32(word >> 32)
	halvings := ticksBetween(since, at) >> burdenShift
	return uint64(uint32(word)) >> min(halvings, 63), since + halvings<<burdenShift
}

func (u *burden) now(word uint64, now int64) int64 {
	count, _ := halve(word, uint32(now>>tickShift))
	if count == 0 {
		u.word.CompareAndSwap(word, 0)
	}
	return int64(count)
}

func (u *burden) add(now int64) {
	at := uint32(now >> tickShift)
	for {
		word := u.word.Load()
		count, since := uint64(0), at
		if word != 0 {
			count, since = halve(word, at)
		}
		if u.word.CompareAndSwap(word, uint64(since)<<32|min(count+1, mostBurden)) {
			return
		}
	}
}
