package staticcache

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

func newTestWatched(t *testing.T) *watched {
	t.Helper()
	events, err := fsnotify.NewWatcher()
	if err != nil {
		t.Skip("no notifications here:", err)
	}
	t.Cleanup(func() { events.Close() })
	return newWatched(events)
}

// A directory is watched as long as a Dir that wants it is open, and not longer.
func TestWatchesGoWithTheirDirs(t *testing.T) {
	w := newTestWatched(t)
	c := newCache(0, 0)
	root := tree(t, map[string]string{"a/x": "", "b/x": ""})
	one, err := c.Open(DirOptions{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	two := open(t, c, DirOptions{Root: root, Dotfiles: true})
	for _, x := range []wish{{one, filepath.Join(root, "a")}, {one, filepath.Join(root, "b")}, {two, filepath.Join(root, "a")},
		{one, filepath.Join(root, "a")}, {two, filepath.Join(root, "gone")}} {
		if err := w.grant(x); err != nil {
			t.Fatal(err)
		}
	}
	if list := w.events.WatchList(); len(list) != 2 || len(w.byPath) != 2 {
		t.Errorf("watching %q", list)
	}
	for len(c.watch.wanted) < cap(c.watch.wanted) { // nobody listens, so the wish of Close is lost
		c.watch.want(two, root)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if !c.watch.dropped.Load() {
		t.Error("a lost wish to forget goes unnoticed")
	}
	w.forgetClosed()
	if list := w.events.WatchList(); len(list) != 1 || len(w.byPath) != 1 || filepath.Base(list[0]) != "a" {
		t.Errorf("watching %q after Close", list)
	}
	if err := w.grant(wish{one, root}); err != nil || len(w.byPath) != 1 {
		t.Errorf("watching for a closed Dir: %v", err)
	}
}

// A directory that is written to all the time makes its entries due now and then, not each time.
func TestManyChangesAreOne(t *testing.T) {
	w := newTestWatched(t)
	d := open(t, newCache(0, 0), DirOptions{Root: t.TempDir()})
	w.told[d] = time.Now().Add(time.Hour) // told just now, whatever the machine's pace
	w.byPath["/x"] = map[*Dir]struct{}{d: {}}
	for range 100 {
		w.tell(fsnotify.Event{Name: "/x/file", Op: fsnotify.Write})
	}
	if d.epoch.Load() != 0 || len(w.pending) != 1 {
		t.Errorf("told %d times at once, %d pending", d.epoch.Load(), len(w.pending))
	}
	w.flush()
	w.flush()
	if d.epoch.Load() != 1 {
		t.Errorf("told %d times", d.epoch.Load())
	}
}

// Notifications that were lost in the kernel count as a change of everything.
func TestLostNotificationsTellAll(t *testing.T) {
	w := newTestWatched(t)
	d := open(t, newCache(0, 0), DirOptions{Root: t.TempDir()})
	w.byPath["/x"] = map[*Dir]struct{}{d: {}}
	w.tellAll()
	if d.epoch.Load() != 1 {
		t.Errorf("told %d times", d.epoch.Load())
	}
}
