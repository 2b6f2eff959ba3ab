// Package pace detects clients that are too slow.
package pace

import "time"

// Pace measures one direction of a client's connection or stream: in each window of time spent waiting for the client, a minimum of bytes
// must be transferred. Time in which nothing waits for the client does not count. The zero value is ready.
type Pace struct {
	waited time.Duration // in this window
	bytes  int64
}

// Moved records that n bytes were transferred after a wait. It reports false if the client is too slow: it has transferred fewer than
// minRate bytes a second in a window. With minRate 0 no client is.
func (p *Pace) Moved(minRate int64, window time.Duration, n int, wait time.Duration) bool {
	if minRate <= 0 {
		return true
	}
	p.bytes += int64(n)
	if p.waited += wait; p.waited < window {
		return true
	}
	enough := float64(p.bytes) >= float64(minRate)*p.waited.Seconds()
	p.waited, p.bytes = 0, 0
	return enough
}
