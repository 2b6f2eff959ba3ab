package staticcache

import (
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"
)

// errUnstable and errTooLarge make load's caller stream the file instead.
var (
	errUnstable   = errors.New("the file is being written")
	errTooLarge   = errors.New("the file does not fit")
	errNotRegular = errors.New("not a regular file")
)

// readAttempts is how often a file that changes while it is read is read again.
const readAttempts = 3

// keepWhileWritten is how long the content before is served while a file is being written all the time.
const keepWhileWritten = 10 * time.Second

// outdated is an entry that was removed because its file has changed.
type outdated struct {
	e     *entry
	since int64 // on the cache's clock
}

// cached returns the entry for a path if it is in memory and not out of date, else nil. The path may
// be a view of bytes that change later: it is not kept. It need be neither clean nor allowed, since
// only clean and allowed paths are keys.
func (d *Dir) cached(path string) *entry {
	if d.direct && !isDir(path) {
		if e, ok := d.cache.store.GetIfPresent(key{d.bodies, path}); ok && d.usable(e) {
			return e
		}
	}
	a, ok := d.cache.store.GetIfPresent(key{d.aliases, path})
	if !ok || !d.usable(a) {
		return nil
	}
	if e, ok := d.cache.store.GetIfPresent(key{d.bodies, a.target}); ok && d.usable(e) {
		return e
	}
	return nil
}

// usable reports whether e may be served. If it is due, the first request to see that compares it
// with the disk; the others use it meanwhile.
func (d *Dir) usable(e *entry) bool {
	if d.cache.clock.Load() < e.due.Load() && d.epoch.Load() == e.epoch.Load() {
		return true
	}
	if !e.checking.CompareAndSwap(false, true) {
		return true
	}
	defer e.checking.Store(false)
	if d.unchanged(e) {
		return true
	}
	if e.file {
		d.outdated.Store(&outdated{e, d.cache.clock.Load()})
	}
	d.cache.store.Invalidate(d.key(e))
	return false
}

func (d *Dir) key(e *entry) key {
	if e.alias() {
		return key{d.aliases, e.name}
	}
	return key{d.bodies, e.name}
}

// unchanged compares an entry with the disk. While the disk cannot be read, the entry counts as unchanged.
func (d *Dir) unchanged(e *entry) bool {
	now := d.cache.clock.Load()
	root, err := d.current()
	if err != nil {
		return transient(err) && !d.closed.Load()
	}
	epoch := d.epoch.Load() // before the comparison: a later change makes the entry due again
	if e.alias() {
		kind, name, _, err := d.resolve(root, e.name)
		if err != nil {
			return true
		}
		if kind != outcomeFile || name != e.target {
			return false
		}
		e.confirm(now, epoch)
		return true
	}
	info, err := root.Stat(e.name)
	if err != nil {
		return transient(err)
	}
	if e.young || identify(info) != e.id || d.negotiates(e.name) && d.findSiblings(root, e.name) != e.siblings {
		return false
	}
	e.confirm(now, epoch)
	return true
}

// load reads a file into memory, once for all requests that want it at the same time.
func (d *Dir) load(root *os.Root, name string) (*entry, error) {
	v, err, _ := d.loads.Do(name, func() (any, error) {
		if e, ok := d.body(name); ok { // another load ended before this call
			return e, nil
		}
		return d.read(root, name)
	})
	if err != nil {
		return nil, err
	}
	return v.(*entry), nil
}

func (d *Dir) read(root *os.Root, name string) (*entry, error) {
	before := d.outdated.Load()
	known := before != nil && before.e.name == name
	for range readAttempts {
		now, epoch := d.cache.clock.Load(), d.epoch.Load()
		body, info, err := d.cache.readWhole(root, name)
		if errors.Is(err, errUnstable) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if known && len(body) == 0 && time.Since(identify(info).changed) < settled {
			break // its writer may have emptied it to fill it again
		}
		e := d.newEntry(root, name, body, info)
		e.confirm(now, epoch)
		d.keep(e)
		if known {
			d.outdated.CompareAndSwap(before, nil)
		}
		return e, nil
	}
	if o := d.outdated.Load(); o != nil && o.e.name == name && d.cache.clock.Load()-o.since < int64(keepWhileWritten) {
		return o.e, nil
	}
	return nil, errUnstable
}

// keep adds an entry and has its directory watched.
func (d *Dir) keep(e *entry) {
	k := d.key(e)
	d.cache.put(k, e)
	if d.closed.Load() {
		d.cache.store.Invalidate(k) // Close may have missed it
		return
	}
	if !e.alias() {
		d.cache.watch.request(d, filepath.Join(d.path, filepath.FromSlash(path.Dir(e.name))))
	}
}

// readWhole reads a file and checks that it was the same before and after: size, times and all. A file that has just changed is read when
// it has been left alone for a moment, since its writer may not have finished.
func (c *Cache) readWhole(root *os.Root, name string) ([]byte, os.FileInfo, error) {
	f, before, err := openRegular(root, name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if age := time.Since(identify(before).changed); age < grain {
		time.Sleep(min(grain-age, grain))
		now, err := f.Stat()
		if err != nil {
			return nil, nil, err
		}
		if identify(now) != identify(before) {
			return nil, nil, errUnstable
		}
	}
	size := before.Size()
	// Files being read are not yet in the budget, so they have a bound of their own.
	defer c.loading.Add(-size)
	if loading := c.loading.Add(size); !c.fits(size) || loading > c.memory.Load() {
		return nil, nil, errTooLarge
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(f, body); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = errUnstable
		}
		return nil, nil, err
	}
	after, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if identify(before) != identify(after) {
		return nil, nil, errUnstable
	}
	return body, after, nil
}

// openRegular opens a file for reading. O_NONBLOCK keeps the open of a fifo from waiting for a writer.
func openRegular(root *os.Root, name string) (*os.File, os.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}
