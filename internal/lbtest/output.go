package lbtest

import (
	"bytes"
	"sync"
)

// Output keeps what is written to it, and may be read meanwhile. The zero value is empty.
type Output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write is io.Writer's.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

// String returns all that has been written.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}
