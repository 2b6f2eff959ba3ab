package discovery

import (
	"github.com/fsnotify/fsnotify"
	"github.com/hashicorp/go-hclog"
)

// watch reports changes in a directory. It watches the directory and not the file, since a file that is replaced by a
// rename is another file. It may miss changes, so its user must also check at intervals.
type watch struct {
	dir     string
	watcher *fsnotify.Watcher // nil: the system has no more watches
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

// renew watches the directory again if it did not exist before or was replaced. The next call retries after a
// failure.
func (w *watch) renew() {
	if w.watcher != nil && len(w.watcher.WatchList()) == 0 {
		_ = w.watcher.Add(w.dir)
	}
}

// events returns the channel of changes, nil if there is no watcher.
func (w *watch) events() <-chan fsnotify.Event {
	if w.watcher == nil {
		return nil
	}
	return w.watcher.Events
}

// errors returns the channel of errors, such as an overflow of the queue; checking the file makes up for them. It
// must be read, or the watcher blocks.
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
