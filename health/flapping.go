package health

import (
	"fmt"
	"time"
)

const (
	// flipsToFlap is how many changes of state within a window make a backend a flapping one.
	flipsToFlap = 5
	// flapWindow is that time, and how long the state must hold for the flapping to be over. With long
	// intervals it is flapIntervals of these, as the state could not change so often in a minute.
	flapWindow    = time.Minute
	flapIntervals = 30
	// maxRiseFactor bounds how many times Config.Rise a flapping backend must pass to come back.
	maxRiseFactor = 8
)

// flapping is what a loop remembers of the flips of its backend, the first result not being one. The zero value
// is a backend that does not flap.
type flapping struct {
	flips  [flipsToFlap]time.Time // the newest last
	factor int                    // of Config.Rise; 0: it does not flap
	told   time.Time              // when something was told last
	untold int                    // flips since then
}

func (s *settings) flapWindow() time.Duration { return max(flapWindow, flapIntervals*s.Interval) }

// rise returns how many passes in a row a backend needs to come back.
func (f *flapping) rise(rise int) int { return rise * max(f.factor, 1) }

// flip notes a change of state. Each time a flapping backend goes down it needs twice as long to come back.
func (f *flapping) flip(now time.Time, up bool) {
	copy(f.flips[:], f.flips[1:])
	f.flips[flipsToFlap-1] = now
	f.untold++
	if f.factor > 0 && !up {
		f.factor = min(2*f.factor, maxRiseFactor)
	}
}

// news returns what is to be told after a probe: the beginning, the end, and in between how often the
// state has changed, once in a window at most; mostly nothing.
func (f *flapping) news(now time.Time, s *settings) (text string, on bool) {
	window := s.flapWindow()
	first, last := f.flips[0], f.flips[flipsToFlap-1]
	switch {
	case f.factor == 0:
		if first.IsZero() || now.Sub(first) > window {
			return "", false
		}
		text = fmt.Sprintf("%d changes of state within %v", flipsToFlap, now.Sub(first).Round(time.Second))
		f.factor = 2
	case now.Sub(last) >= window:
		*f = flapping{}
		return fmt.Sprintf("no change of state for %v", window), false
	case f.untold == 0 || now.Sub(f.told) < window:
		return "", true
	default:
		text = fmt.Sprintf("%d changes of state within %v", f.untold, now.Sub(f.told).Round(time.Second))
	}
	f.told, f.untold = now, 0
	return fmt.Sprintf("%s; comes back after %d passes in a row", text, f.rise(s.Rise)), true
}
