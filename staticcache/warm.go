package staticcache

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

// Warmed says how far WarmUp has come.
type Warmed struct {
	Files int   // in memory
	Bytes int64 // of their bodies
	Full  bool  // nine tenths of the memory are used, and the rest is left to what is requested
}

// WarmUp reads the files of the tree into memory that fit, in the order of their names, until all are there, the memory is full or ctx
// ends. It calls progress after each file. Files and directories that cannot be read are left out.
func (d *Dir) WarmUp(ctx context.Context, progress func(Warmed)) (Warmed, error) {
	var done Warmed
	root, err := d.current()
	if err != nil {
		return done, err
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case d.closed.Load():
			return os.ErrClosed
		case err != nil && entry != nil && entry.IsDir():
			return fs.SkipDir
		case err != nil:
			return nil
		case name != "." && !d.visible(entry.Name()):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		info, err := entry.Info()
		if err != nil || !d.cache.fits(info.Size()) {
			return nil
		}
		if int64(d.cache.store.WeightedSize())+info.Size() > d.cache.memory.Load()/10*9 {
			done.Full = true
			return fs.SkipAll
		}
		e, err := d.load(root, name)
		if err != nil {
			return nil
		}
		done.Files++
		done.Bytes += int64(len(e.body))
		progress(done)
		return nil
	})
	if errors.Is(err, context.Canceled) || errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return done, err
}
