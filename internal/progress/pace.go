package progress

import "time"

// Pace finds out who is so slow that he must mean it: in each window of time spent waiting for
// him, Rate bytes a second have to move. Time in which nobody waits for him does not count. The zero
// value finds nobody.
type Pace struct {
	Rate   int64         // bytes a second; 0: none are asked for
	Window time.Duration // of waiting

	waited time.Duration
	moved  int64
}

// Moved takes note of n bytes that moved after a wait. It reports false if he is too slow.
func (p *Pace) Moved(n int, wait time.Duration) bool {
	if p.Rate <= 0 {
		return true
	}
	p.moved += int64(n)
	if p.waited += wait; p.waited < p.Window {
		return true
	}
	enough := float64(p.moved) >= float64(p.Rate)*p.waited.Seconds()
	p.waited, p.moved = 0, 0
	return enough
}

// Begin forgets what was before.
func (p *Pace) Begin() { p.waited, p.moved = 0, 0 }

// SetWritePace bounds how slowly the peer may take what is written; a write to a slower one fails
// with os.ErrDeadlineExceeded. It is to be set before the first write.
func (c *Conn) SetWritePace(rate int64, window time.Duration) {
	c.pace = Pace{Rate: rate, Window: window}
}
