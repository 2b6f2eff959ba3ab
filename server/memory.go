package server

import (
	"runtime"
	"runtime/debug"
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

// thrift lets less garbage pile up while there is a crowd of slow clients: what these need stays in use, so that the heap
// would grow to twice of it. It goes on for a while, so that what is left of the crowd is found. The zero value is ready.
type thrift struct {
	on    bool
	usual int // percent of what is in use that garbage may be otherwise
	calm  int // ticks since most of the crowd has gone
}

const (
	// thrifty is that percentage meanwhile.
	thrifty = 20
	// thriftTicks is for how many ticks in a row most of the crowd must have gone.
	thriftTicks = 120
)

// tick takes the number of slow clients, about once a second.
func (t *thrift) tick(slow int) {
	switch {
	case !t.on && slow >= crowd:
		t.on, t.usual = true, debug.SetGCPercent(thrifty)
		if t.usual < thrifty { // GOGC asks for less yet, or for no collection but by GOMEMLIMIT
			debug.SetGCPercent(t.usual)
		}
	case slow >= crowd/2:
		t.calm = 0
	case t.on:
		if t.calm++; t.calm >= thriftTicks {
			t.on, t.calm = false, 0
			debug.SetGCPercent(t.usual)
		}
	}
}

// giveBackMemory returns to the system what is not in use.
func giveBackMemory() {
	runtime.GC() // what lies in pools survives one collection
	debug.FreeOSMemory()
}
