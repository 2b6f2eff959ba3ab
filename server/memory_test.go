package server

import (
	"runtime/debug"
	"testing"
)

// TestGCTuner: the collector runs more often while there are many slow clients and for some time after, and no less often
// than without.
func TestGCTuner(t *testing.T) {
	percent := func() int {
		now := debug.SetGCPercent(-1)
		debug.SetGCPercent(now)
		return now
	}
	defer debug.SetGCPercent(percent())
	for _, before := range []int{100, tunedPercent - 5, -1} {
		debug.SetGCPercent(before)
		tuned := min(before, tunedPercent)
		var gc gcTuner
		for i, step := range []struct{ slow, ticks, want int }{
			{manyConns - 1, 2, before}, {0, tunedTicks, before}, // too few
			{manyConns, 1, tuned}, {manyConns / 2, 2 * tunedTicks, tuned}, {manyConns/2 - 1, tunedTicks - 1, tuned}, {manyConns / 2, 1, tuned},
			{0, tunedTicks - 1, tuned}, {0, 1, before}, {0, 2 * tunedTicks, before},
			{manyConns, 1, tuned}, {0, tunedTicks - 1, tuned}, {0, 1, before},
		} {
			for range step.ticks {
				gc.tick(step.slow)
			}
			if got := percent(); got != step.want {
				t.Errorf("GOGC %d, step %d: %d", before, i, got)
			}
		}
	}
}

// TestMemoryRelease: memory is released when most of many connections have been gone for some time, once more when the
// remaining ones have, and not again while nothing happens.
func TestMemoryRelease(t *testing.T) {
	for name, steps := range map[string][]struct {
		open, ticks, due int // for so many ticks so many are open; releases
	}{
		"a few":            {{manyConns - 1, 10, 0}, {0, 60, 0}},
		"many":             {{10_000, 10, 0}, {0, releaseTicks - 1, 0}, {0, 1, 1}, {0, releaseTicks, 1}, {0, 60, 0}},
		"half of it":       {{10_000, 10, 0}, {5000, 60, 0}},
		"with a tail":      {{10_000, 10, 0}, {2000, releaseTicks, 1}, {900, 60, 0}, {200, releaseTicks, 1}, {0, 60, 1}},
		"it comes back":    {{10_000, 10, 0}, {0, releaseTicks - 1, 0}, {10_000, 10, 0}, {0, releaseTicks, 1}},
		"the last of many": {{manyConns, 1, 0}, {300, 60, 0}, {200, releaseTicks, 1}, {0, 60, 0}},
	} {
		var r memoryRelease
		for i, s := range steps {
			due := 0
			for range s.ticks {
				if r.tick(s.open) {
					due++
				}
			}
			if due != s.due {
				t.Errorf("%s: step %d: %d releases, want %d", name, i, due, s.due)
			}
		}
	}
}
