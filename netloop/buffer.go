package netloop

import "time"

// The sizes of buffers that a loop lends.
const (
	SmallBuffer = 16 << 10
	LargeBuffer = 64 << 10
)

// Of each size so many bytes wait at most for being lent; what is given back beyond is the garbage collector's.
const mostKept = 1 << 20

// What was not needed for so long is given back by halves.
const trimEvery = time.Second

// Scratch returns a buffer of LargeBuffer bytes that everything on the loop shares: its content is good until the current
// call of a handler returns, or something else is called that uses it.
func (l *Loop) Scratch() []byte {
	if l.scratch == nil {
		l.scratch = make([]byte, LargeBuffer)
	}
	return l.scratch
}

// Borrow lends a buffer of SmallBuffer bytes, or of LargeBuffer bytes if n is more than that. It belongs to the borrower until
// it gives it back.
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

// Return gives a buffer of Borrow back: a slice of it that begins where it begins.
func (l *Loop) Return(buffer []byte) {
	b := &l.buffers
	list := &b.small
	switch cap(buffer) {
	case SmallBuffer:
	case LargeBuffer:
		list = &b.large
	default:
		panic("netloop: a buffer that was not borrowed is given back")
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

// buffers are those of one loop.
type buffers struct {
	small, large freeList
	lent         int64
	trim         Timer
	poison       func([]byte)
}

type freeList struct {
	free  [][]byte
	least int // how few there were since the last trimming: so many were not needed
}

func (b *buffers) kept() int64 {
	return int64(len(b.small.free)*SmallBuffer + len(b.large.free)*LargeBuffer)
}

// Expired gives back half of what was not needed since the last time, until nothing is left.
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
