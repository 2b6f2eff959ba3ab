package telemetry

import (
	"math/bits"
	"runtime"
	"sync/atomic"
)

// LoopCounter counts for several event loops. Up to 16 loops have a count each, on a cache line that no other loop writes, and the value is
// their sum. Its methods are safe for concurrent use and take no lock. The zero value is not usable; see Scope.LoopCounter.
type LoopCounter struct {
	shards []countShard
}

type countShard struct {
	n atomic.Int64
	_ [56]byte
}

// NewLoopCounter returns a counter that no registry shows.
func NewLoopCounter() *LoopCounter { return &LoopCounter{make([]countShard, loopShards())} }

// maxShards bounds the memory, since every backend has such counters. With more loops, some share a shard.
const maxShards = 16

// loopShards returns the number of shards for what loops count: a power of two, and one for each loop, of which there are as many as
// processors.
func loopShards() int { return min(maxShards, 1<<bits.Len(uint(runtime.GOMAXPROCS(0)-1))) }

// Add adds n, which may be negative, on the loop with that index. Goroutines that are not loops use 0.
func (c *LoopCounter) Add(loop int, n int64) { c.shards[loop&(len(c.shards)-1)].n.Add(n) }

// Get returns the sum over all loops.
func (c *LoopCounter) Get() int64 {
	var sum int64
	for i := range c.shards {
		sum += c.shards[i].n.Load()
	}
	return sum
}
