package server

import (
	"runtime/debug"
	"testing"
)

// TestThrift: the collector is in a hurry while there is a crowd of slow clients and for a while after it, and what it did
// before is kept.
func TestThrift(t *testing.T) {
	percent := func() int {
		now := debug.SetGCPercent(-1)
		debug.SetGCPercent(now)
		return now
	}
	before := percent()
	defer debug.SetGCPercent(before)
	for _, usual := range []int{100, thrifty - 5, -1} {
		debug.SetGCPercent(usual)
		hurry := min(usual, thrifty)
		var th thrift
		for i, step := range []struct{ slow, ticks, want int }{
			{crowd - 1, 2, usual}, {0, thriftTicks, usual}, // no crowd
			{crowd, 1, hurry}, {crowd / 2, 2 * thriftTicks, hurry}, {crowd/2 - 1, thriftTicks - 1, hurry}, {crowd / 2, 1, hurry},
			{0, thriftTicks - 1, hurry}, {0, 1, usual}, {0, 2 * thriftTicks, usual},
			{crowd, 1, hurry}, {0, thriftTicks - 1, hurry}, {0, 1, usual},
		} {
			for range step.ticks {
				th.tick(step.slow)
			}
			if got := percent(); got != step.want {
				t.Errorf("usually %d, step %d: %d", usual, i, got)
			}
		}
	}
}

// TestEbb: memory is given back when most of a crowd has gone for a while, once more when its rest has, and not
// again while nothing happens.
func TestEbb(t *testing.T) {
	for name, steps := range map[string][]struct {
		open, ticks, due int // for so many ticks so many are open; how often it is time
	}{
		"a few":               {{crowd - 1, 10, 0}, {0, 60, 0}},
		"a crowd":             {{10_000, 10, 0}, {0, calmTicks - 1, 0}, {0, 1, 1}, {0, calmTicks, 1}, {0, 60, 0}},
		"half of it":          {{10_000, 10, 0}, {5000, 60, 0}},
		"with a tail":         {{10_000, 10, 0}, {2000, calmTicks, 1}, {900, 60, 0}, {200, calmTicks, 1}, {0, 60, 1}},
		"it comes back":       {{10_000, 10, 0}, {0, calmTicks - 1, 0}, {10_000, 10, 0}, {0, calmTicks, 1}},
		"the last of a crowd": {{crowd, 1, 0}, {300, 60, 0}, {200, calmTicks, 1}, {0, 60, 0}},
	} {
		var e ebb
		for i, s := range steps {
			due := 0
			for range s.ticks {
				if e.tick(s.open) {
					due++
				}
			}
			if due != s.due {
				t.Errorf("%s: step %d: it was time %d times, want %d", name, i, due, s.due)
			}
		}
	}
}
