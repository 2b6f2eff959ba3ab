package pace

import (
	"testing"
	"time"
)

// TestMoved: which clients are too slow.
func TestMoved(t *testing.T) {
	const s = time.Second
	type move struct {
		n    int
		wait time.Duration
		ok   bool
	}
	for name, moves := range map[string][]move{
		"fast enough":                {{1000, s, true}, {9000, 9 * s, true}, {10000, 10 * s, true}},
		"slow in one window":         {{1000, s, true}, {8000, 9 * s, false}},
		"a new window":               {{50000, 10 * s, true}, {1, 9 * s, true}, {1, s, false}},
		"nothing waits":              {{1, 0, true}, {1, 0, true}, {1, 9 * s, true}},
		"one long wait, few bytes":   {{1, 60 * s, false}},
		"one long wait, enough then": {{60000, 60 * s, true}},
	} {
		var p Pace
		for i, m := range moves {
			if ok := p.Moved(1000, 10*s, m.n, m.wait); ok != m.ok {
				t.Errorf("%s: move %d is %v", name, i, ok)
			}
		}
	}
	var p Pace
	if !p.Moved(0, 0, 0, time.Hour) {
		t.Error("without a minimum rate a client is too slow")
	}
}
