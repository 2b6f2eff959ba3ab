package server

import (
	"runtime"
	"runtime/debug"
)

const (
	// manyConns is the number of connections from which memory is managed here.
	manyConns = 1000
	// releaseTicks is for how many ticks in a row most of them must be gone before their memory is released.
	releaseTicks = 5
)

// memoryRelease decides when to release the memory that many connections needed: when they have gone there is little to
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

// gcTuner makes the collector run more often while there are many slow clients: what they need stays in use, and the heap
// would grow to twice that. It stops some time after they have gone. The zero value is ready.
type gcTuner struct {
	on     bool
	before int // GOGC without it
	low    int // ticks since most of the slow clients have gone
}

const (
	// tunedPercent is GOGC while there are many slow clients.
	tunedPercent = 20
	// tunedTicks is for how many ticks in a row most of them must be gone.
	tunedTicks = 120
)

// tick takes the number of slow clients, about once a second.
func (t *gcTuner) tick(slow int) {
	switch {
	case !t.on && slow >= manyConns:
		t.on, t.before = true, debug.SetGCPercent(tunedPercent)
		if t.before < tunedPercent { // lower already, or off with GOMEMLIMIT alone
			debug.SetGCPercent(t.before)
		}
	case slow >= manyConns/2:
		t.low = 0
	case t.on:
		if t.low++; t.low >= tunedTicks {
			t.on, t.low = false, 0
			debug.SetGCPercent(t.before)
		}
	}
}

// releaseMemory returns unused memory to the system.
func releaseMemory() {
	runtime.GC() // objects in a sync.Pool survive one collection
	debug.FreeOSMemory()
}
