package pool

import (
	"sync/atomic"
)

// recentFailures counts recent failures, so that a backend whose requests fail at once does not look idle beside working
// ones. It halves every 2¹⁰ ticks. It is one word, which changes atomically: above, the tick of the last halving,
// below, the count; 0: none.
type recentFailures struct{ word atomic.Uint64 }

const (
	halvingShift      = 10 // 2¹⁰ ticks, about a second
	maxRecentFailures = 1 << 20
)

// RecentFailures returns the recent failures, which pickers add to the requests in flight: each failure makes a
// backend look busy with one more request for about a second.
func (b *Backend) RecentFailures() int64 {
	word := b.recent.word.Load()
	if word == 0 {
		return 0
	}
	return b.recent.now(word, b.clock())
}

// halve returns the count of a word at a tick.
func halve(word uint64, at uint32) (count uint64, since uint32) {
	since = uint32(word >> 32)
	halvings := ticksBetween(since, at) >> halvingShift
	return uint64(uint32(word)) >> min(halvings, 63), since + halvings<<halvingShift
}

func (u *recentFailures) now(word uint64, now int64) int64 {
	count, _ := halve(word, uint32(now>>tickShift))
	if count == 0 {
		u.word.CompareAndSwap(word, 0)
	}
	return int64(count)
}

func (u *recentFailures) add(now int64) {
	at := uint32(now >> tickShift)
	for {
		word := u.word.Load()
		count, since := uint64(0), at
		if word != 0 {
			count, since = halve(word, at)
		}
		if u.word.CompareAndSwap(word, uint64(since)<<32|min(count+1, maxRecentFailures)) {
			return
		}
	}
}
