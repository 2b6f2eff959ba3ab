package netloop

import (
	"context"
	"os"
)

// InMemory reports whether n bytes of the file from offset can be read without waiting for the disk. It also returns true where the
// system cannot tell.
func InMemory(f *os.File, offset int64, n int) bool {
	return inPageCache(f, offset) && inPageCache(f, offset+int64(n)-1)
}

// ReadAhead has another goroutine read n bytes of the file from offset into memory, and then runs done on the loop.
func (l *Loop) ReadAhead(f *os.File, offset int64, n int, done Task) {
	l.Go(func(ctx context.Context) {
		buffer := make([]byte, 64<<10)
		for at := 0; at < n && ctx.Err() == nil; at += len(buffer) {
			if _, err := f.ReadAt(buffer[:min(len(buffer), n-at)], offset+int64(at)); err != nil {
				return // the one that sends the part finds the error
			}
		}
	}, done)
}
