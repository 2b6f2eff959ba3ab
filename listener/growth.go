package listener

import (
	"sync"
	"sync/atomic"
)

// growth is how much the window of a connection has grown by.
type growth struct {
	mu    sync.Mutex
	bytes int64
	ended bool
}

// growthKey is the key of a connection's context for its growth.
type growthKey struct{}

// add reports whether the window may grow by n bytes, and counts them in granted.
func (g *growth) add(granted *atomic.Int64, n int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return false
	}
	if granted.Add(n) > mostGranted {
		granted.Add(-n)
		return false
	}
	g.bytes += n
	return true
}

// end takes it off granted.
func (g *growth) end(granted *atomic.Int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	granted.Add(-g.bytes)
}
