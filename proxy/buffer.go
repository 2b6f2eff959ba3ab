package proxy

import (
	"sync"

	"lb/internal/poison"
)

// A buffer is small at first and large once it has been full, so that thousands who send little, and slowly, hold on to
// little.
const (
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

func newBuffer() *[]byte { return smallBuffers.Get().(*[]byte) }

// enlarge returns a large buffer that begins with what is in buf, which it gives back.
func enlarge(buf *[]byte) *[]byte {
	large := largeBuffers.Get().(*[]byte)
	copy(*large, *buf)
	giveBack(buf)
	return large
}

// giveBack returns a buffer to its pool; nothing may read from it any more.
func giveBack(buf *[]byte) {
	*buf = (*buf)[:cap(*buf)]
	poison.Fill(*buf)
	switch n := len(*buf); {
	case n == smallBuffer:
		smallBuffers.Put(buf)
	case n >= largeBuffer && n <= keepBuffer:
		largeBuffers.Put(buf)
	}
}
