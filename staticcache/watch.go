package staticcache

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxWatches bounds the number of watched directories. In others, changes are found by rechecking files of a certain age.
const maxWatches = 8192

// minNotifyInterval is the least time between two notifications of a Dir, so that a directory that changes all the time
// does not cost disk access at every request.
const minNotifyInterval = 50 * time.Millisecond

// watch passes requests to watch directories to the goroutine of runWatch. They are dropped if the channel is full:
// changes are then found after recheck.
type watch struct {
	requests chan watchRequest
	dropped  atomic.Bool // a request to forget a Dir was dropped
}

// watchRequest asks to watch the directory path for dir or, if path is empty, to watch none for dir any longer.
type watchRequest struct {
	dir  *Dir
	path string
}

func (w *watch) request(d *Dir, path string) {
	select {
	case w.requests <- watchRequest{d, path}:
	default:
		if path == "" {
			w.dropped.Store(true)
		}
	}
}

// watched is the state of runWatch's goroutine.
type watched struct {
	events   *fsnotify.Watcher
	byPath   map[string]map[*Dir]struct{}
	notified map[*Dir]time.Time // when a Dir was last notified of a change
	pending  map[*Dir]struct{}  // to be notified at the next tick
}

func newWatched(events *fsnotify.Watcher) *watched {
	return &watched{
		events:   events,
		byPath:   map[string]map[*Dir]struct{}{},
		notified: map[*Dir]time.Time{},
		pending:  map[*Dir]struct{}{},
	}
}

// runWatch notifies Dirs of changes in their directories. Where the system cannot watch directories, it only logs that:
// changes are then found after recheck.
func (c *Cache) runWatch(ctx context.Context) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		c.log.Warn("cannot watch static files; changes are noticed within a second instead of at once", "error", err)
		c.discardRequests(ctx)
		return
	}
	defer events.Close()
	w := newWatched(events)
	warned := false
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-c.watch.requests:
			if err := w.handle(r); err != nil && !warned {
				warned = true
				c.log.Warn("cannot watch all directories of static files; changes in the others are noticed within a second",
					"directory", r.path, "error", err)
			}
		case e, ok := <-events.Events:
			if !ok {
				return
			}
			w.notify(e)
		case _, ok := <-events.Errors: // an overflow: anything may have changed
			if !ok {
				return
			}
			w.notifyAll()
		case <-ticker.C:
			w.flush()
			if c.watch.dropped.Swap(false) {
				w.forgetClosed()
			}
		}
	}
}

func (c *Cache) discardRequests(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.watch.requests:
		}
	}
}

func (w *watched) handle(x watchRequest) error {
	if x.path == "" || x.dir.closed.Load() {
		w.forget(x.dir)
		return nil
	}
	if dirs := w.byPath[x.path]; dirs != nil {
		dirs[x.dir] = struct{}{}
		return nil
	}
	if len(w.byPath) >= maxWatches {
		return nil
	}
	err := w.events.Add(x.path)
	if os.IsNotExist(err) {
		return nil // removed before it could be watched
	}
	if err != nil {
		return err
	}
	w.byPath[x.path] = map[*Dir]struct{}{x.dir: {}}
	x.dir.epoch.Add(1) // the directory may have changed before it was watched
	return nil
}

func (w *watched) forget(d *Dir) {
	delete(w.notified, d)
	delete(w.pending, d)
	for path, dirs := range w.byPath {
		delete(dirs, d)
		if len(dirs) == 0 {
			w.drop(path)
		}
	}
}

func (w *watched) forgetClosed() {
	closed := map[*Dir]struct{}{}
	for _, dirs := range w.byPath {
		for d := range dirs {
			if d.closed.Load() {
				closed[d] = struct{}{}
			}
		}
	}
	for d := range closed {
		w.forget(d)
	}
}

func (w *watched) drop(path string) {
	delete(w.byPath, path)
	_ = w.events.Remove(path) // fails if the directory has been removed
}

func (w *watched) notify(e fsnotify.Event) {
	dirs := w.byPath[filepath.Dir(e.Name)]
	self := w.byPath[e.Name]
	for d := range dirs {
		w.mark(d)
	}
	for d := range self {
		w.mark(d)
	}
	// Another directory may later have the name of one that was removed or renamed.
	if self != nil && e.Op&(fsnotify.Remove|fsnotify.Rename) != 0 {
		w.drop(e.Name)
	}
}

func (w *watched) notifyAll() {
	for _, dirs := range w.byPath {
		for d := range dirs {
			w.mark(d)
		}
	}
}

func (w *watched) mark(d *Dir) {
	now := time.Now()
	if now.Sub(w.notified[d]) < minNotifyInterval {
		w.pending[d] = struct{}{}
		return
	}
	w.notified[d] = now
	d.epoch.Add(1)
}

func (w *watched) flush() {
	for d := range w.pending {
		w.notified[d] = time.Now()
		d.epoch.Add(1)
	}
	clear(w.pending)
}
