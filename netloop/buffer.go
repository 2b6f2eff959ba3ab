package netloop

import "time"

// The sizes of buffers that a loop lends.
const (
	SmallBuffer = 16 << 10
	LargeBuffer = 64 << 10
)

// mostKept is how many bytes of free buffers of each size a loop keeps. Further ones are left to the garbage collector.
const mostKept = 1 << 20

// trimEvery is how often half of the free buffers that were not needed since the last time are released.
const trimEvery = time.Second

// Scratch returns a buffer of LargeBuffer bytes that everything on the loop shares. Its content is valid until the current call of a
// handler returns, or until something else that uses it is called.
func (l *Loop) Scratch() []byte {
	if l.scratch == nil {
		l.scratch = make([]byte, LargeBuffer)
	}
	return l.scratch
}

// Borrow lends a buffer of SmallBuffer bytes, or of LargeBuffer bytes if n is larger. It belongs to the caller until Return.
func (l *Loop) Borrow(n int) []byte {
	b := &l.buffers
	size, list := SmallBuffer, &b.small
	if n > SmallBuffer {
		size, list = LargeBuffer, &b.large
	}
	b.lent += int64(size)
	if last := len(list.free) - 1; last >= 0 {
		buffer := list.free[last]
		list.free[last] = nil
		list.free = list.free[:last]
		list.least = min(list.least, last)
		return buffer
	}
	return make([]byte, size)
}

// Return returns a buffer of Borrow. A slice with the same start will do.
func (l *Loop) Return(buffer []byte) {
	b := &l.buffers
	list := &b.small
	switch cap(buffer) {
	case SmallBuffer:
	case LargeBuffer:
		list = &b.large
	default:
		panic("netloop: Return of a buffer that was not borrowed")
	}
	b.lent -= int64(cap(buffer))
	buffer = buffer[:cap(buffer)]
	if b.poison != nil {
		b.poison(buffer)
	}
	if (len(list.free)+1)*len(buffer) > mostKept {
		return
	}
	list.free = append(list.free, buffer)
	if !b.trim.Running() {
		b.trim.Reset(trimEvery)
	}
}

// buffers are the buffers of one loop.
type buffers struct {
	small, large freeList
	lent         int64
	trim         Timer
	poison       func([]byte)
}

type freeList struct {
	free  [][]byte
	least int // the minimum of len(free) since the last trim: these were not needed
}

func (b *buffers) kept() int64 {
	return int64(len(b.small.free)*SmallBuffer + len(b.large.free)*LargeBuffer)
}

// Expired releases half of the free buffers that were not needed since the last time, until none are left.
func (b *buffers) Expired(t *Timer) {
	b.small.trim()
	b.large.trim()
	if b.kept() > 0 {
		t.Reset(trimEvery)
	}
}

func (f *freeList) trim() {
	drop := (f.least + 1) / 2
	keep := len(f.free) - drop
	clear(f.free[keep:])
	f.free = f.free[:keep]
	f.least = keep
}
