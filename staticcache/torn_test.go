package staticcache

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestNothingTorn: while a file is replaced a thousand times, by renaming another one over it or by writing it in place, each response is
// one of its versions, whole, and the last version comes at the end.
func TestNothingTorn(t *testing.T) {
	version := func(n int) string { return strings.Repeat(string(rune('a'+n%26)), 30_000+n%7) }
	for name, replace := range map[string]func(file, content string) error{
		"rename": func(file, content string) error {
			if err := os.WriteFile(file+".new", []byte(content), 0o644); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		},
		"in place": func(file, content string) error { return os.WriteFile(file, []byte(content), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(8<<20, 4<<20)
			startCache(t, c)
			root := tree(t, map[string]string{"f.txt": version(0)})
			d := open(t, c, DirOptions{Root: root, Compress: true})
			want(t, d, "/f.txt", version(0))
			done := make(chan struct{})
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						a, result := get(t, d, "/f.txt", "Accept-Encoding", "gzip, br, zstd")
						if result != Served || a.streamed {
							t.Errorf("result %v, streamed %v", result, a.streamed)
						}
						body := decoded(t, a)
						if len(body) < 30_000 || strings.Trim(body, body[:1]) != "" {
							t.Errorf("torn: %d bytes", len(body))
							return
						}
					}
				})
			}
			for n := range 1000 {
				if err := replace(filepath.Join(root, "f.txt"), version(n)); err != nil {
					t.Error(err)
				}
			}
			close(done)
			readers.Wait()
			poll(t, func() bool { a, _ := get(t, d, "/f.txt"); return string(a.body) == version(999) })
			audit(t, c)
		})
	}
}
