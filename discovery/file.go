package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/pool"
)

const (
	// pollInterval is how often the file is checked without a notification from the system, as on network file
	// systems.
	pollInterval = 1500 * time.Millisecond
	// settleTime is how long a file must be unchanged before it is read, so that a file that is being written is not
	// read half.
	settleTime = 50 * time.Millisecond
	// maxFile bounds the bytes of a file.
	maxFile = 8 << 20
)

// FileOptions say which file is watched.
type FileOptions struct {
	// Path of the file, which need not exist yet. Its lines are "address
	// [weight=N] [max_conns=N] [backup]"; # begins a comment.
	Path string
	Log  hclog.Logger // nil: no log
}

// File is the discoverer of the backends in a file.
type File struct {
	path    string
	trouble condition
	read    os.FileInfo // as last read; nil: there was no file
	seen    os.FileInfo // as found by the last check
	since   time.Time   // of seen, the first check that found it
}

// NewFile returns a file discoverer. It reads nothing before Run.
func NewFile(o FileOptions) *File {
	return &File{path: filepath.Clean(o.Path), trouble: condition{log: orNull(o.Log)}}
}

// Run reads the file at once and then whenever it changes; see Discoverer. As long as the file has never existed or
// never been valid, nothing is known; if it is removed or becomes invalid later, the last valid set stays.
func (f *File) Run(ctx context.Context, update func([]pool.Member)) {
	p := publisher{update: update, log: f.trouble.log}
	w := watchDir(filepath.Dir(f.path), f.trouble.log) // before the first read, so that no change is missed
	defer w.close()

	f.load(&p)
	f.seen = f.read
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	settle := time.NewTimer(time.Hour)
	defer settle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.events():
		case <-w.errors():
		case <-settle.C:
		case <-poll.C:
			w.renew()
		}
		if !f.look(&p) {
			settle.Reset(settleTime)
		}
	}
}

// look reads the file if it has changed and then been unchanged for settleTime. It returns false if it must be called
// again after settleTime.
func (f *File) look(p *publisher) bool {
	now, err := os.Stat(f.path)
	if err != nil {
		now = nil
	}
	if !same(now, f.seen) {
		f.seen, f.since = now, time.Now()
	}
	if same(now, f.read) {
		return true
	}
	if time.Since(f.since) < settleTime {
		return false
	}
	f.load(p)
	return true
}

// same reports whether two checks found the same file with the same content, as far as metadata show. Nil means no
// file.
func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// load reads the file and publishes its members.
func (f *File) load(p *publisher) {
	members, err := f.parse()
	if err == nil {
		f.trouble.end("the file of backends is valid again", "path", f.path, "backends", len(members))
		p.set(members)
		return
	}
	message := fmt.Sprintf("%v; keeping the last valid set", err)
	if len(p.last) == 0 {
		message = fmt.Sprintf("%v; no backends from this file until then", err)
	}
	f.trouble.begin(message, "kept", len(p.last))
}

// parse reads the file once. A file that cannot be read counts as not read, so that the next check tries again.
func (f *File) parse() ([]pool.Member, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.read = nil
		return nil, fmt.Errorf("the file of backends %q does not exist; create it or correct the path", f.path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the file of backends %q: %w", f.path, errors.Unwrap(err))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read the file of backends %q: %w", f.path, err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the file of backends %q: %w", f.path, err)
	}
	f.read = info
	if len(text) > maxFile {
		return nil, fmt.Errorf("the file of backends %q is larger than %d MiB; shorten it", f.path, maxFile>>20)
	}
	return parse(f.path, text)
}
