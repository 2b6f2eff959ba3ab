package proxy

import (
	"fmt"
	"os"
	"sync"

	"lb/internal/poison"
)

// spoolBlock is the size of a memory block of a spool, in bytes.
const spoolBlock = 32 << 10

var spoolBlocks = sync.Pool{New: func() any { b := make([]byte, spoolBlock); return &b }}

// spoolMemory is how many bytes of a buffered body stay in memory if the rest goes to a file.
const spoolMemory = 64 << 10

// spool stores the bytes of a buffered body: those at offsets below memory in blocks, the others in an unnamed file, or in blocks too
// if there is no directory. Concurrent reads and writes must not overlap.
type spool struct {
	dir    string
	memory int64     // bytes that are kept in blocks
	blocks []*[]byte // of spoolBlock bytes each; allocated when first written to
	file   *os.File
}

// newSpool returns a spool for offsets below size.
func newSpool(dir string, memory, size int64) spool {
	if dir == "" || memory > size {
		memory = size
	}
	return spool{dir: dir, memory: memory, blocks: make([]*[]byte, (memory+spoolBlock-1)/spoolBlock)}
}

// writeAt writes p at an offset. If writing to the file fails, the spool may contain a part of p.
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

// bytes returns between 1 and n bytes from an offset: a slice of the spool, or of scratch, which must not be empty, with bytes read from
// the file.
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

// close releases the blocks and the file. It may be called twice.
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

// createUnlinked makes a file in dir and removes its name, so that the file is deleted when its descriptor is closed.
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
