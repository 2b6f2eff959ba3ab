package server

import "testing"

// TestMemoryRelease: memory is released some time after most of many connections have closed, once more after the remaining ones
// have, and not again without activity.
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

// TestMemoryGrowth: memory is released once when many connections have come and no more do, and again only after many more.
func TestMemoryGrowth(t *testing.T) {
	for name, steps := range map[string][]struct {
		open, ticks, due int // for so many ticks so many are open; releases
	}{
		"a few":         {{manyConns - 1, 10, 0}},
		"many":          {{2000, 1, 0}, {4000, 1, 0}, {5000, 1, 0}, {5000, 60, 1}},
		"some more":     {{5000, 2, 1}, {5900, 60, 0}, {7000, 2, 1}},
		"a large share": {{100_000, 2, 1}, {110_000, 60, 0}, {140_000, 2, 1}},
		"replaced":      {{5000, 2, 1}, {1000, 60, 0}, {5000, 2, 1}},
	} {
		var g memoryGrowth
		for i, s := range steps {
			due := 0
			for range s.ticks {
				if g.tick(s.open) {
					due++
				}
			}
			if due != s.due {
				t.Errorf("%s: step %d: %d releases, want %d", name, i, due, s.due)
			}
		}
	}
}
