package staticcache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lb/message"
)

// Each kind of change is found once an entry is due, without any notification.
func TestChangesAreFoundByAge(t *testing.T) {
	c := newCache(1<<20, 1<<20)
	root := tree(t, map[string]string{"a": "one", "d/x": "x", "s": "same", "link1": "l1", "link2": "l2", "app": "app"})
	at := func(name string) string { return filepath.Join(root, name) }
	if err := os.Symlink("link1", at("link")); err != nil {
		t.Fatal(err)
	}
	d := open(t, c, DirOptions{Root: root, Index: []string{"index.html", "x"}, TryFiles: []string{"{path}", "{path}/", "/app"}})
	steps := []struct {
		name   string
		change func()
		path   string
		body   string
	}{
		{"replaced", func() { write(t, at("a.new"), "two", false); os.Rename(at("a.new"), at("a")) }, "/a", "two"},
		{"same size and time", func() { write(t, at("s"), "SAME", false) }, "/s", "SAME"},
		{"grown", func() { write(t, at("a"), "longer", false) }, "/a", "longer"},
		{"removed, so the fallback", func() { os.Remove(at("a")) }, "/a", "app"},
		{"back", func() { write(t, at("a"), "back", false) }, "/a", "back"},
		{"another index", func() { write(t, at("d/index.html"), "index", false) }, "/d/", "index"},
		{"first index removed", func() { os.Remove(at("d/index.html")) }, "/d/", "x"},
		{"link turned", func() { os.Remove(at("link")); os.Symlink("link2", at("link")) }, "/link", "l2"},
		{"became a directory", func() { os.Remove(at("s")); write(t, at("s/x"), "below", false) }, "/s/", "below"},
	}
	for _, path := range []string{"/a", "/s", "/d/", "/link"} {
		get(t, d, path)
	}
	for _, s := range steps {
		before, _ := get(t, d, s.path)
		s.change()
		if now, _ := get(t, d, s.path); s.path != "/s/" && string(now.body) != string(before.body) {
			t.Errorf("%s: every request accessed the disk", s.name)
		}
		age(c)
		want(t, d, s.path, s.body)
		audit(t, c)
	}
}

// A file written to twice within a grain of its time stamps is read again though it looks the same.
func TestYoungFileIsReadAgain(t *testing.T) {
	c := newCache(1<<20, 1<<20)
	root := tree(t, map[string]string{"f": "1"})
	d := open(t, c, DirOptions{Root: root})
	want(t, d, "/f", "1")
	e := d.cached("f")
	if !e.young {
		t.Fatal("a file written now is not young")
	}
	age(c)
	want(t, d, "/f", "1")
	if d.cached("f") == e {
		t.Error("it was not read again")
	}
}

func TestNotificationsMakeDue(t *testing.T) {
	c := newCache(1<<20, 1<<20)
	root := tree(t, map[string]string{"d/a": "one"})
	d := open(t, c, DirOptions{Root: root})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { c.runWatch(ctx) }) // no clock, so no entry becomes due by age
	want(t, d, "/d/a", "one")
	poll(t, func() bool { return d.epoch.Load() == 1 }) // the watch is in place
	want(t, d, "/d/a", "one")
	for _, body := range []string{"two", "three", "four"} {
		write(t, filepath.Join(root, "d/a"), body, false)
		poll(t, func() bool { a, _ := get(t, d, "/d/a"); return string(a.body) == body })
	}
	os.RemoveAll(filepath.Join(root, "d"))
	poll(t, func() bool { _, result := get(t, d, "/d/a"); return result == NotFound })
	if c.clock.Load() != 0 {
		t.Error("the clock advanced")
	}
}

func TestClockMakesDue(t *testing.T) {
	c := newCache(1<<20, 1<<20)
	root := tree(t, map[string]string{"a": "one"})
	d := open(t, c, DirOptions{Root: root})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { c.runClock(ctx) }) // and no notifications
	want(t, d, "/a", "one")
	write(t, filepath.Join(root, "a"), "two", false)
	poll(t, func() bool { a, _ := get(t, d, "/a"); return string(a.body) == "two" })
	if recheck+tick >= time.Second {
		t.Error("a change may take a second to be seen")
	}
}

// While one request compares an entry with the disk, the others are served from memory.
func TestOnlyOneRequestChecks(t *testing.T) {
	c := newCache(1<<20, 1<<20)
	root := tree(t, map[string]string{"a": "one"})
	d := open(t, c, DirOptions{Root: root})
	want(t, d, "/a", "one")
	write(t, filepath.Join(root, "a"), "two", false)
	e := d.cached("a")
	e.checking.Store(true)
	age(c)
	want(t, d, "/a", "one")
	e.checking.Store(false)
	want(t, d, "/a", "two")
}

func TestRootDisappearsAndReappears(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "www")
	write(t, filepath.Join(root, "a"), "one", false)
	c := newCache(1<<20, 1<<20)
	d := open(t, c, DirOptions{Root: root})
	streamed := open(t, newCache(0, 0), DirOptions{Root: root})
	want(t, d, "/a", "one")
	for _, body := range []string{"two", "three"} {
		if err := os.Rename(root, root+body); err != nil {
			t.Fatal(err)
		}
		age(c)
		for range 2 {
			for _, d := range []*Dir{d, streamed} {
				if _, result := get(t, d, "/a"); result != NotFound {
					t.Errorf("without a root: %v", result)
				}
			}
		}
		write(t, filepath.Join(root, "a"), body, false)
		want(t, d, "/a", body)
		want(t, streamed, "/a", body)
	}
}

// The link to the current release is changed, as deployments do.
func TestRootLinkChanges(t *testing.T) {
	base := tree(t, map[string]string{"r1/a": "one", "r2/a": "two", "r1/b": "b1", "r2/b": "b2"})
	link := filepath.Join(base, "current")
	if err := os.Symlink("r1", link); err != nil {
		t.Fatal(err)
	}
	c := newCache(1<<20, 1<<20)
	d := open(t, c, DirOptions{Root: link})
	want(t, d, "/a", "one")
	want(t, d, "/b", "b1")
	if err := os.Symlink("r2", link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	age(c)
	want(t, d, "/a", "two")
	want(t, d, "/b", "b2")
}

// cutter shortens the file after the header has promised its length.
type cutter struct {
	discard
	path string
}

func (c *cutter) RespondFile(status int, header []message.Field, f *os.File, offset, length int64) error {
	if err := os.Truncate(c.path, 10); err != nil {
		return err
	}
	return c.discard.RespondFile(status, header, f, offset, length)
}

func (c *cutter) RespondParts(status int, header []message.Field, length int64, f *os.File, parts []Part) error {
	if err := os.Truncate(c.path, 10); err != nil {
		return err
	}
	return c.discard.RespondParts(status, header, length, f, parts)
}

func TestFileShrinksWhileStreamed(t *testing.T) {
	for _, field := range []string{"", "bytes=50-60", "bytes=1-2,50-60"} {
		root := tree(t, map[string]string{"f": strings.Repeat("x", 100)})
		d := open(t, newCache(0, 0), DirOptions{Root: root})
		w := &cutter{path: filepath.Join(root, "f")}
		result, err := d.Serve(w, &Request{Method: []byte("GET"), Path: []byte("/f"), Range: []byte(field)})
		if result != Served || !errors.Is(err, ErrShrunk) {
			t.Errorf("range %q: %v %v", field, result, err)
		}
	}
}

// A file that is written in place, without a rename, may be read half-written, but not for long.
func TestWriteInPlace(t *testing.T) {
	c := newCache(8<<20, 4<<20)
	root := tree(t, map[string]string{"f": strings.Repeat("-", 1<<20)})
	d := open(t, c, DirOptions{Root: root})
	f, err := os.OpenFile(filepath.Join(root, "f"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var writer sync.WaitGroup
	done := make(chan struct{})
	writer.Go(func() {
		defer close(done)
		for n := range 50 {
			for at := int64(0); at < 1<<20; at += 64 << 10 {
				if _, err := f.WriteAt([]byte(strings.Repeat(string(rune('a'+n%26)), 64<<10)), at); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for writing := true; writing; {
		select {
		case <-done:
			writing = false
		default:
		}
		age(c)
		if a, _ := get(t, d, "/f"); len(a.body) != 1<<20 {
			t.Fatalf("%d bytes", len(a.body))
		}
	}
	writer.Wait()
	age(c)
	want(t, d, "/f", strings.Repeat(string(rune('a'+49%26)), 1<<20))
	audit(t, c)
}
