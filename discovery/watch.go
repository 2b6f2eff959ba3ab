package discovery

import (
	"github.com/fsnotify/fsnotify"
	"github.com/hashicorp/go-hclog"
)

// watch hears of changes in a directory. The directory rather than the file is watched, since a file that
// is replaced by a rename is another file. It is a help only: who uses it must look now and then too.
type watch struct {
	dir     string
	watcher *fsnotify.Watcher // nil: the system has no watches to give
}

func watchDir(dir string, log hclog.Logger) *watch {
	w := &watch{dir: dir}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("cannot watch the directory; checking it periodically", "path", dir, "every", pollInterval, "error", err)
		return w
	}
	w.watcher = watcher
	w.renew()
	return w
}

// renew watches the directory again if it was not there before or was replaced. A failure
// is left to the next call.
func (w *watch) renew() {
	if w.watcher != nil && len(w.watcher.WatchList()) == 0 {
		_ = w.watcher.Add(w.dir)
	}
}

// events returns the channel of changes, nil if there are none to hear of.
func (w *watch) events() <-chan fsnotify.Event {
	if w.watcher == nil {
		return nil
	}
	return w.watcher.Events
}

// errors returns the channel of troubles, such as a queue that overflowed: a look makes up for them. It
// must be read from, else the watcher waits.
func (w *watch) errors() <-chan error {
	if w.watcher == nil {
		return nil
	}
	return w.watcher.Errors
}

// close returns when the watcher's goroutine has ended.
func (w *watch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close()
	}
}
