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

// A directory is watched only while a Dir that has requested it is open.
func TestWatchesEndWithTheirDirs(t *testing.T) {
	w := newTestWatched(t)
	c := newCache(0, 0)
	root := tree(t, map[string]string{"a/x": "", "b/x": ""})
	one, err := c.Open(DirOptions{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	two := open(t, c, DirOptions{Root: root, Dotfiles: true})
	for _, x := range []watchRequest{{one, filepath.Join(root, "a")}, {one, filepath.Join(root, "b")}, {two, filepath.Join(root, "a")},
		{one, filepath.Join(root, "a")}, {two, filepath.Join(root, "missing")}} {
		if err := w.handle(x); err != nil {
			t.Fatal(err)
		}
	}
	if list := w.events.WatchList(); len(list) != 2 || len(w.byPath) != 2 {
		t.Errorf("watching %q", list)
	}
	for len(c.watch.requests) < cap(c.watch.requests) { // the requests are not handled, so the one of Close is dropped
		c.watch.request(two, root)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if !c.watch.dropped.Load() {
		t.Error("a dropped request of Close goes unnoticed")
	}
	w.forgetClosed()
	if list := w.events.WatchList(); len(list) != 1 || len(w.byPath) != 1 || filepath.Base(list[0]) != "a" {
		t.Errorf("watching %q after Close", list)
	}
	if err := w.handle(watchRequest{one, root}); err != nil || len(w.byPath) != 1 {
		t.Errorf("watching for a closed Dir: %v", err)
	}
}

// A directory that changes all the time causes few notifications.
func TestNotificationsAreLimited(t *testing.T) {
	w := newTestWatched(t)
	d := open(t, newCache(0, 0), DirOptions{Root: t.TempDir()})
	w.notified[d] = time.Now().Add(time.Hour) // just notified, however slow the machine
	w.byPath["/x"] = map[*Dir]struct{}{d: {}}
	for range 100 {
		w.notify(fsnotify.Event{Name: "/x/file", Op: fsnotify.Write})
	}
	if d.epoch.Load() != 0 || len(w.pending) != 1 {
		t.Errorf("notified %d times at once, %d pending", d.epoch.Load(), len(w.pending))
	}
	w.flush()
	w.flush()
	if d.epoch.Load() != 1 {
		t.Errorf("notified %d times", d.epoch.Load())
	}
}

// If the kernel drops notifications, all Dirs are notified.
func TestDroppedNotificationsNotifyAll(t *testing.T) {
	w := newTestWatched(t)
	d := open(t, newCache(0, 0), DirOptions{Root: t.TempDir()})
	w.byPath["/x"] = map[*Dir]struct{}{d: {}}
	w.notifyAll()
	if d.epoch.Load() != 1 {
		t.Errorf("notified %d times", d.epoch.Load())
	}
}
