package exchange

import (
	"fmt"
	"os"
	"sync"

	"lb/internal/poison"
)

// spoolBlock is the size of a piece of memory of a spool.
const spoolBlock = 32 << 10

var spoolBlocks = sync.Pool{New: func() any { b := make([]byte, spoolBlock); return &b }}

// spoolMemory is how many bytes of a buffered body stay in memory where a directory is named for the rest of it.
const spoolMemory = 64 << 10

// spool is the bytes of a body that is buffered: those below memory in blocks, the others in a file that has no name,
// or in blocks too without a directory. Bytes may be read while others are written, but never the same.
type spool struct {
	dir    string
	memory int64     // with dir: how many bytes do not go there
	blocks []*[]byte // of spoolBlock bytes each; nil ones have not been written to
	file   *os.File
}

// newSpool returns a spool whose offsets stay below size.
func newSpool(dir string, memory, size int64) spool {
	if dir == "" || memory > size {
		memory = size
	}
	return spool{dir: dir, memory: memory, blocks: make([]*[]byte, (memory+spoolBlock-1)/spoolBlock)}
}

// writeAt writes all of p at an offset. It fails where the file cannot take it; what of p is in the spool is of no use then.
func (s *spool) writeAt(p []byte, off int64) error {
	for len(p) > 0 && off < s.memory {
		block := s.blocks[off/spoolBlock]
		if block == nil {
			block = spoolBlocks.Get().(*[]byte)
			s.blocks[off/spoolBlock] = block
		}
		n := copy((*block)[off%spoolBlock:spoolBlock], p[:min(int64(len(p)), s.memory-off)])
		p, off = p[n:], off+int64(n)
	}
	if len(p) == 0 {
		return nil
	}
	if s.file == nil {
		f, err := openUnlinked(s.dir)
		if err != nil {
			return fmt.Errorf("cannot create a file to buffer a body in %q: %w", s.dir, err)
		}
		s.file = f
	}
	if _, err := s.file.WriteAt(p, off-s.memory); err != nil {
		return fmt.Errorf("cannot buffer a body in %q: %w", s.dir, err)
	}
	return nil
}

// bytes returns up to n bytes from an offset on, at least one: they lie in the spool, or have been read into scratch, which
// must not be empty.
func (s *spool) bytes(off, n int64, scratch []byte) ([]byte, error) {
	if off < s.memory {
		block := (*s.blocks[off/spoolBlock])[off%spoolBlock : spoolBlock]
		return block[:min(n, int64(len(block)), s.memory-off)], nil
	}
	p := scratch[:min(n, int64(len(scratch)))]
	if _, err := s.file.ReadAt(p, off-s.memory); err != nil {
		return nil, fmt.Errorf("%w from %q: %w", errSpool, s.dir, err)
	}
	return p, nil
}

// close gives everything back. It may be called twice.
func (s *spool) close() {
	for i, block := range s.blocks {
		if block != nil {
			poison.Fill(*block)
			spoolBlocks.Put(block)
			s.blocks[i] = nil
		}
	}
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// createUnlinked makes a file in dir and removes its name, so that it goes with its descriptor.
func createUnlinked(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".lb-body-*") // its mode is 0600
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
