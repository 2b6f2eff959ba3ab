//go:build linux && (amd64 || arm64) && !portable

package netloop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSendFileFromDisk: a file that is not in memory is read beside the loop, and sent whole.
func TestSendFileFromDisk(t *testing.T) {
	content := make([]byte, 5<<20+123)
	rand.Read(content)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := errors.Join(file.Sync(), unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		t.Fatal(err)
	}
	if inPageCache(file, 0) {
		t.Skip("the file system keeps the file in memory, or cannot tell")
	}
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	c, peer, events := one(t, ls)
	got := make(chan error, 1)
	go func() {
		all, err := io.ReadAll(peer)
		if err == nil && !bytes.Equal(all, content) {
			err = errors.New("other bytes")
		}
		got <- err
	}()
	var out Output
	ahead := 0
	step := func(f func() error) (pending bool) {
		on(t, l, func() {
			if err := f(); err != nil {
				t.Error(err)
			}
			if out.ahead != nil {
				ahead++
			}
			if pending = out.Pending(); !pending {
				c.Close()
			}
		})
		return pending
	}
	pending := step(func() error { _, err := out.SendFile(&c.Socket, file, 0, int64(len(content))); return err })
	for pending {
		events.until(t, Writable)
		pending = step(func() error { _, err := out.Flush(&c.Socket); return err })
	}
	if err := wait(t, got, "the file"); err != nil {
		t.Error(err)
	}
	if ahead == 0 {
		t.Error("nothing was read beside the loop")
	}
}
