package health

import (
	"fmt"
	"time"
)

const (
	// flipsToFlap is how many flips within a window make a backend flapping.
	flipsToFlap = 5
	// flapWindow is the window, and how long the state must hold to end the flapping. With long intervals it is
	// flapIntervals of them, since the state cannot flip that often in a minute then.
	flapWindow    = time.Minute
	flapIntervals = 30
	// maxRiseFactor bounds the multiple of Config.Rise that a flapping backend must pass.
	maxRiseFactor = 8
)

// flapping records the flips of a backend; its first result is no flip. The zero value is a backend that does not
// flap.
type flapping struct {
	flips      [flipsToFlap]time.Time // the newest last
	factor     int                    // of Config.Rise; 0: it does not flap
	reported   time.Time              // when it was last reported
	unreported int                    // flips since then
}

func (s *settings) flapWindow() time.Duration { return max(flapWindow, flapIntervals*s.Interval) }

// rise returns how many passes in a row bring the backend up.
func (f *flapping) rise(rise int) int { return rise * max(f.factor, 1) }

// flip records a flip. Each time a flapping backend goes down, it needs twice as many passes to come up.
func (f *flapping) flip(now time.Time, up bool) {
	copy(f.flips[:], f.flips[1:])
	f.flips[flipsToFlap-1] = now
	f.unreported++
	if f.factor > 0 && !up {
		f.factor = min(2*f.factor, maxRiseFactor)
	}
}

// report returns what to report after a probe: the begin, the end, and at most once per window the number of flips;
// empty if there is nothing.
func (f *flapping) report(now time.Time, s *settings) (text string, on bool) {
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
	case f.unreported == 0 || now.Sub(f.reported) < window:
		return "", true
	default:
		text = fmt.Sprintf("%d changes of state within %v", f.unreported, now.Sub(f.reported).Round(time.Second))
	}
	f.reported, f.unreported = now, 0
	return fmt.Sprintf("%s; comes back after %d passes in a row", text, f.rise(s.Rise)), true
}
