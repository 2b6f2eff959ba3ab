package server

import (
	"runtime"
	"runtime/debug"
	"sync"
)

const (
	// crowd is how many connections have to go, or fall silent, before their memory is given back at once.
	crowd = 1000
	// calmTicks is for how many ticks in a row most of a crowd must have gone: the last ones take their time.
	calmTicks = 5
)

// ebb finds the moment to give back what a crowd of connections needed: the collector may else not run for
// minutes, as there is little to do when they have gone. The zero value is ready.
type ebb struct {
	most int // connections at a time, since memory was given back
	calm int // ticks since fewer than a quarter of them were there
}

// tick takes the number of connections, about once a second, and reports whether it is time.
func (e *ebb) tick(open int) bool {
	e.most = max(e.most, open)
	if e.most < crowd || open >= e.most/4 {
		e.calm = 0
		return false
	}
	if e.calm++; e.calm < calmTicks {
		return false
	}
	rest := open
	if e.most > crowd {
		rest = max(open, crowd) // the rest of them may yet go
	}
	*e = ebb{most: rest}
	return true
}

// giveBackMemory returns to the system what is not in use.
func giveBackMemory() {
	runtime.GC() // what lies in pools survives one collection
	shrinkStacks()
	debug.FreeOSMemory()
}

// shrinkStacks has the goroutines that the runtime keeps for those to come go without the stacks that were usual in a
// crowd: it keeps dozens for each processor.
func shrinkStacks() {
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for range 64 {
				all.Go(runtime.Gosched)
			}
		})
	}
	all.Wait()
}
