package server

import (
	"runtime"
	"runtime/debug"
)

const (
	// manyConns is the number of connections from which memory is managed here.
	manyConns = 1000
	// releaseTicks is for how many ticks in a row most of them must be closed before their memory is released.
	releaseTicks = 5
)

// memoryRelease decides when to release the memory that many connections needed: when they have closed there is little to
// do, and the collector may not run for minutes. The zero value is ready.
type memoryRelease struct {
	peak int // connections at a time since the last release
	low  int // ticks since fewer than a quarter of the peak were there
}

// tick takes the number of connections, about once a second, and reports whether to release memory now.
func (r *memoryRelease) tick(open int) bool {
	r.peak = max(r.peak, open)
	if r.peak < manyConns || open >= r.peak/4 {
		r.low = 0
		return false
	}
	if r.low++; r.low < releaseTicks {
		return false
	}
	next := open
	if r.peak > manyConns {
		next = max(open, manyConns) // to release once more when the remaining ones go
	}
	*r = memoryRelease{peak: next}
	return true
}

// memoryGrowth decides when to release what many new connections needed to be opened, most of it for TLS handshakes: while they are idle
// the collector may not run, and half of the memory would be garbage. The zero value is ready.
type memoryGrowth struct {
	released int // connections at the last release, or fewer since
	last     int // connections at the last tick
}

// tick takes the number of connections, about once a second, and reports whether to release memory now: when a quarter of them, and
// many, have come since the last time, and hardly any since the last tick.
func (g *memoryGrowth) tick(open int) bool {
	came := open - g.last
	g.last = open
	g.released = min(g.released, open)
	if grown := open - g.released; grown < max(manyConns, open/4) || came > open/50 {
		return false
	}
	g.released = open
	return true
}

// releaseMemory returns unused memory to the system.
func releaseMemory() {
	runtime.GC() // objects in a sync.Pool survive one collection
	debug.FreeOSMemory()
}
