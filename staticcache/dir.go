package staticcache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
)

// DirOptions say which tree is served and how a path finds its file.
type DirOptions struct {
	Root string // a directory; it must exist when it is opened, but may disappear and reappear later

	// Index names the files that are served for their directory: the first that exists. None: directories are not served.
	Index []string

	// TryFiles are tried in order. "{path}" stands for the request's path; a name that ends in a slash
	// matches a directory. The last may be "=404". Default: "{path}", "{path}/".
	TryFiles []string

	CacheControl string // value of that header line; "": no line
	// CacheControls take precedence over CacheControl for the files that match them; the first that matches applies.
	CacheControls []CacheControl
	Dotfiles      bool // also serve names that begin with a dot; .well-known is always served
	Compress      bool // serve compressed variants to clients that accept them
	Browse        bool // list directories without an index
}

// CacheControl is the value of Cache-Control for files that match a pattern, see matchesFile.
type CacheControl struct{ Pattern, Value string }

// Dir is one directory tree, served through its Cache. Its methods are safe for concurrent use.
type Dir struct {
	cache        *Cache
	path         string // of the root, absolute
	index        []string
	try          []candidate
	cacheControl []CacheControl // the last one is for all files
	dotfiles     bool
	compress     bool
	browse       bool

	bodies  uint64 // namespace of the bodies' keys
	aliases uint64 // namespace of the aliases' keys
	direct  bool   // a path that names a file is that file, whatever else there is

	root     atomic.Pointer[openRoot] // nil while the directory does not exist
	reopen   sync.Mutex               // so that only one request reopens the root
	epoch    atomic.Uint64            // goes up when something below the root may have changed
	loads    singleflight.Group
	listings singleflight.Group
	outdated atomic.Pointer[outdated] // the last one, in case its file cannot be read yet; nil: none
	identity string                   // of its options, in Cache.dirs
	users    int                      // guarded by Cache.mu
	closed   atomic.Bool
}

// openRoot is the root's descriptor, and the directory that it was opened on.
type openRoot struct {
	*os.Root
	info os.FileInfo
}

// Open opens a directory tree. While a Dir with the same options is open, Open returns that one with its cached files,
// so that a reload which opens before it closes keeps them. Each Open needs one Close.
func (c *Cache) Open(o DirOptions) (*Dir, error) {
	d, err := newDir(c, o)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.dirs[d.identity]; old != nil {
		old.users++
		return old, nil
	}
	root, err := openRootAt(d.path)
	if err != nil {
		return nil, fmt.Errorf("cannot open static root %q: %w; create it, make it readable, or correct the path", o.Root, err)
	}
	d.root.Store(root)
	c.names += 2
	d.bodies, d.aliases = c.names, c.names+1
	d.users = 1
	c.dirs[d.identity] = d
	return d, nil
}

// newDir checks the options.
func newDir(c *Cache, o DirOptions) (*Dir, error) {
	fail := func(format string, args ...any) (*Dir, error) {
		return nil, fmt.Errorf("cannot serve static root %q: %w", o.Root, fmt.Errorf(format, args...))
	}
	if o.Root == "" {
		return fail("no root is set")
	}
	path, err := filepath.Abs(o.Root)
	if err != nil {
		return fail("%w", err)
	}
	d := &Dir{cache: c, path: path, dotfiles: o.Dotfiles, compress: o.Compress, browse: o.Browse}
	for _, control := range append(slices.Clone(o.CacheControls), CacheControl{"*", o.CacheControl}) {
		value := strings.TrimSpace(control.Value)
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fail("cache_control %q contains a control character", control.Value)
		}
		d.cacheControl = append(d.cacheControl, CacheControl{control.Pattern, value})
	}
	for _, name := range o.Index {
		clean, ok := appendClean(nil, []byte(name))
		if !ok || string(clean) != name || isDir(name) || !d.visible(name) {
			return fail("index %q must be the plain name of a file", name)
		}
		d.index = append(d.index, name)
	}
	try := o.TryFiles
	if len(try) == 0 {
		try = []string{"{path}", "{path}/"}
	}
	for i, text := range try {
		t, err := parseCandidate(text, i == len(try)-1)
		if err == nil && !t.hasPath && !t.stop && !d.visible(t.before) {
			err = fmt.Errorf("%q begins with a dot: set dotfiles, or rename it", text)
		}
		if err != nil {
			return fail("try_files: %w", err)
		}
		d.try = append(d.try, t)
	}
	d.direct = d.try[0] == candidate{hasPath: true}
	d.identity = fmt.Sprintf("%q %q %q %q %t %t %t", path, d.index, try, d.cacheControl, d.dotfiles, d.compress, d.browse)
	return d, nil
}

// Root returns the absolute path of the directory that is served.
func (d *Dir) Root() string { return d.path }

func (d *Dir) visible(path string) bool { return d.dotfiles || !hidden(path) }

// Close releases the Dir. The last user's Close removes its files from memory; responses that are being
// sent from them are not affected. A later Serve fails with [os.ErrClosed].
func (d *Dir) Close() error {
	c := d.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.users--; d.users > 0 {
		return nil
	}
	if d.closed.Swap(true) {
		return os.ErrClosed
	}
	delete(c.dirs, d.identity)
	for k := range c.store.Keys() {
		if k.space == d.bodies || k.space == d.aliases {
			c.store.Invalidate(k)
		}
	}
	c.watch.request(d, "")
	d.reopen.Lock()
	defer d.reopen.Unlock()
	if root := d.root.Swap(nil); root != nil {
		return root.Close()
	}
	return nil
}

func openRootAt(path string) (*openRoot, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &openRoot{root, info}, nil
}

// current returns the root after checking that its path still leads to it: a deployment may replace the directory, or
// the link to it. It is called only by requests that access the disk anyway.
func (d *Dir) current() (*os.Root, error) {
	info, err := os.Stat(d.path)
	if err != nil && transient(err) {
		return nil, err
	}
	root := d.root.Load()
	if err == nil && root != nil && os.SameFile(root.info, info) {
		return root.Root, nil
	}
	return d.replaceRoot()
}

func (d *Dir) replaceRoot() (*os.Root, error) {
	d.reopen.Lock()
	defer d.reopen.Unlock()
	if d.closed.Load() {
		return nil, os.ErrClosed
	}
	fresh, err := openRootAt(d.path)
	if err != nil && transient(err) {
		return nil, err
	}
	old := d.root.Load()
	if fresh != nil && old != nil && os.SameFile(fresh.info, old.info) {
		_ = fresh.Close() // another request has reopened it
		return old.Root, nil
	}
	d.root.Store(fresh)
	if old != nil {
		_ = old.Close() // does not wait: the descriptor is closed after its last use
	}
	d.epoch.Add(1)
	d.cache.watch.request(d, "") // the watches are on the old directories
	if err != nil {
		return nil, err
	}
	return fresh.Root, nil
}
