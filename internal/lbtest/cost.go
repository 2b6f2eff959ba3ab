package lbtest

import (
	"bytes"
	"flag"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// CPU says whose CPU time is measured.
type CPU uint8

const (
	// OfThread is for code that runs in the goroutine of the test alone: the rest of the process is not counted.
	OfThread CPU = iota
	// OfProcess is for what goroutines do for one another, the garbage collector included.
	OfProcess
)

const (
	// mostCost is how many times as much CPU time an input may cost as a harmless one of its size.
	mostCost = 20
	// costRounds is how many measurements must find an input too expensive.
	costRounds = 5
)

// CheckCost fails the test if suspect takes more than 20 times the CPU time of harmless, which does the same with harmless
// input of the same size, and more than some milliseconds on top of it. Other processes do not count. Other work of this
// process, and delays of the system's accounting, could falsify one measurement; so several rounds must find the same,
// with the least that suspect has ever taken and the median of harmless.
func CheckCost(t testing.TB, of CPU, suspect, harmless func()) {
	t.Helper()
	if !measuresCPU {
		t.Skip("CPU time is measured on Linux alone")
	}
	if of == OfThread {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	floor, most := time.Duration(costFloor), time.Duration(mostCost)
	if fuzzing() { // each branch counts itself then, but copying bytes takes no longer
		floor, most = 3*floor, 3*most
	}
	least := measureCost(of, 1, suspect)
	if least <= floor { // of almost all inputs
		return
	}
	harmless() // the first run finds nothing in the processor's caches
	repeat := 1
	if of == OfProcess && least < 20*floor {
		repeat = 3
	}
	var others []time.Duration
	for range costRounds {
		others = append(others, measureCost(of, repeat, harmless))
		least = min(least, measureCost(of, repeat, suspect))
		slices.Sort(others)
		if usual := others[len(others)/2]; least-usual <= floor || least <= most*usual {
			return
		}
	}
	t.Fatalf("costs %v of CPU time, a harmless input of the same size %v", least, others[len(others)/2])
}

// fuzzing reports whether the process searches for inputs, rather than running the kept ones.
func fuzzing() bool {
	for _, name := range []string{"test.fuzz", "test.fuzzworker"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" && f.Value.String() != "false" {
			return true
		}
	}
	return false
}

// measureCost returns the CPU time of one run.
func measureCost(of CPU, repeat int, f func()) time.Duration {
	begin := cpuTime(of)
	for range repeat {
		f()
	}
	return (cpuTime(of) - begin) / time.Duration(repeat)
}

// Stretch makes an input of about size bytes from a short pattern: the part between « and » is repeated. If it begins with a
// number and *, as in «16*a,», it is repeated so often; all others get an equal share of the size that is left.
func Stretch(pattern []byte, size int) []byte {
	type part struct {
		text  []byte
		count int // -1: as the size allows
	}
	var parts []part
	room, shares := size, 0
	for rest := pattern; len(rest) > 0; {
		before, behind, opens := bytes.Cut(rest, []byte("«"))
		unit, after, closes := bytes.Cut(behind, []byte("»"))
		if !opens || !closes {
			before, unit, after = rest, nil, nil
		}
		parts = append(parts, part{before, 1})
		room -= len(before)
		if rest = after; len(unit) == 0 {
			continue
		}
		p := part{unit, -1}
		if digits, text, ok := bytes.Cut(unit, []byte("*")); ok && len(text) > 0 {
			if n, err := strconv.ParseUint(string(digits), 10, 16); err == nil {
				p = part{text, min(int(n), size/len(text))}
			}
		}
		if parts = append(parts, p); p.count < 0 {
			shares++
		} else {
			room -= p.count * len(p.text)
		}
	}
	var out []byte
	for _, p := range parts {
		if p.count < 0 {
			p.count = max(1, room/shares/len(p.text))
		}
		out = append(out, bytes.Repeat(p.text, p.count)...)
	}
	return out
}
