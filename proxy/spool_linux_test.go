package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
)

// TestSpool: bytes written at any offset can be read again: in memory, in a file, and across the border between them.
func TestSpool(t *testing.T) {
	const size = 200_000
	for _, memory := range []int64{0, 1, spoolMemory - 1, spoolMemory, size} {
		for _, dir := range []string{"", t.TempDir()} {
			t.Run(fmt.Sprintf("%d/%v", memory, dir != ""), func(t *testing.T) {
				random := rand.New(rand.NewPCG(1, uint64(memory)))
				want := make([]byte, size)
				for i := range want {
					want[i] = byte(random.Uint32())
				}
				s := newSpool(dir, memory, size)
				defer s.close()
				for off := 0; off < size; {
					n := min(1+random.IntN(50_000), size-off)
					if err := s.writeAt(want[off:off+n], int64(off)); err != nil {
						t.Fatal(err)
					}
					off += n
				}
				if (s.file != nil) != (dir != "" && memory < size) {
					t.Errorf("a file: %v", s.file != nil)
				}
				scratch := make([]byte, 30_000)
				for range 200 {
					off := random.IntN(size)
					got, err := s.bytes(int64(off), int64(size-off), scratch)
					if err != nil || len(got) == 0 || !bytes.Equal(got, want[off:off+len(got)]) {
						t.Fatalf("%d bytes from %d are others, %v", len(got), off, err)
					}
				}
			})
		}
	}
}

// TestSpoolFile: the file of a spool has no name, and only its owner may read it.
func TestSpoolFile(t *testing.T) {
	for name, open := range map[string]func(string) (*os.File, error){"at once": openUnlinked, "created": createUnlinked} {
		dir := t.TempDir()
		f, err := open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || info.Mode() != 0o600 || info.Sys().(*syscall.Stat_t).Nlink != 0 {
			t.Errorf("%s: %v %v", name, info, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("%s: the directory has %v", name, entries)
		}
	}
}

// TestSpoolIsFull: the error of a failed write names the directory.
func TestSpoolIsFull(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	s := newSpool("/the/dir", spoolMemory, 1<<20)
	s.file = full
	defer s.close()
	if err := s.writeAt(make([]byte, spoolMemory), 0); err != nil {
		t.Errorf("in memory: %v", err)
	}
	if err := s.writeAt(make([]byte, 10), spoolMemory-5); !errors.Is(err, syscall.ENOSPC) || !bytes.Contains([]byte(err.Error()), []byte("/the/dir")) {
		t.Errorf("%v", err)
	}
}
