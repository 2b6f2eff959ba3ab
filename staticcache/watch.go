package staticcache

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxWatches bounds the directories that are watched; those beyond it are looked at by age alone.
const maxWatches = 8192

// calm is how soon one change after another makes a Dir's entries due again: a directory that
// is written to all the time must not cost a look at the disk for every request.
const calm = 50 * time.Millisecond

// watch carries the wishes of requests to the one goroutine that owns the notifications. A wish
// that finds the channel full is dropped: watching only makes sooner what recheck does anyway.
type watch struct {
	wanted  chan wish
	dropped atomic.Bool // a wish to forget did not get through
}

// wish asks to watch a directory for d, or with no directory to forget all of d's.
type wish struct {
	dir  *Dir
	path string
}

func (w *watch) want(d *Dir, path string) {
	select {
	case w.wanted <- wish{d, path}:
	default:
		if path == "" {
			w.dropped.Store(true)
		}
	}
}

// watched is the state of runWatch's goroutine.
type watched struct {
	events  *fsnotify.Watcher
	byPath  map[string]map[*Dir]struct{}
	told    map[*Dir]time.Time // when a Dir was last told of a change
	pending map[*Dir]struct{}  // to be told at the next tick
}

func newWatched(events *fsnotify.Watcher) *watched {
	return &watched{
		events:  events,
		byPath:  map[string]map[*Dir]struct{}{},
		told:    map[*Dir]time.Time{},
		pending: map[*Dir]struct{}{},
	}
}

// runWatch tells Dirs that something in one of their directories changed. Where the system has no
// notifications to give, it only logs that: changes are then seen by age.
func (c *Cache) runWatch(ctx context.Context) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		c.log.Warn("cannot watch static files; changes are noticed within a second instead of at once", "error", err)
		c.discardWishes(ctx)
		return
	}
	defer events.Close()
	w := newWatched(events)
	complained := false
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case wish := <-c.watch.wanted:
			if err := w.grant(wish); err != nil && !complained {
				complained = true
				c.log.Warn("cannot watch all directories of static files; changes in the others are noticed within a second",
					"directory", wish.path, "error", err)
			}
		case e, ok := <-events.Events:
			if !ok {
				return
			}
			w.tell(e)
		case _, ok := <-events.Errors: // an overflow: anything may have changed
			if !ok {
				return
			}
			w.tellAll()
		case <-ticker.C:
			w.flush()
			if c.watch.dropped.Swap(false) {
				w.forgetClosed()
			}
		}
	}
}

func (c *Cache) discardWishes(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.watch.wanted:
		}
	}
}

func (w *watched) grant(x wish) error {
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
		return nil // it went while the wish waited
	}
	if err != nil {
		return err
	}
	w.byPath[x.path] = map[*Dir]struct{}{x.dir: {}}
	x.dir.epoch.Add(1) // what changed between the load and now was not told
	return nil
}

func (w *watched) forget(d *Dir) {
	delete(w.told, d)
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
	_ = w.events.Remove(path) // it is gone already if the directory is
}

func (w *watched) tell(e fsnotify.Event) {
	dirs := w.byPath[filepath.Dir(e.Name)]
	self := w.byPath[e.Name]
	for d := range dirs {
		w.mark(d)
	}
	for d := range self {
		w.mark(d)
	}
	// A directory that went or was renamed may come back as another one under the same name.
	if self != nil && e.Op&(fsnotify.Remove|fsnotify.Rename) != 0 {
		w.drop(e.Name)
	}
}

func (w *watched) tellAll() {
	for _, dirs := range w.byPath {
		for d := range dirs {
			w.mark(d)
		}
	}
}

func (w *watched) mark(d *Dir) {
	now := time.Now()
	if now.Sub(w.told[d]) < calm {
		w.pending[d] = struct{}{}
		return
	}
	w.told[d] = now
	d.epoch.Add(1)
}

func (w *watched) flush() {
	for d := range w.pending {
		w.told[d] = time.Now()
		d.epoch.Add(1)
	}
	clear(w.pending)
}
