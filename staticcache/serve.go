package staticcache

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"time"
	"unsafe"

	"lb/message"
)

// Serve responds to a request for a file, or says why it does not. If the error is not nil and the
// result is Served, a part of the response may have been sent, and the connection must be closed.
//
// The usual request, a GET or HEAD of a cached file without a range, takes one or two lookups and one call of w.
func (d *Dir) Serve(w ResponseWriter, r *Request) (Result, error) {
	if string(r.Method) != "GET" && string(r.Method) != "HEAD" {
		return MethodNotAllowed, nil
	}
	path := r.Path
	if len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	// The string is a view for the lookups, which do not keep it.
	if e := d.cached(unsafe.String(unsafe.SliceData(path), len(path))); e != nil {
		return Served, d.respondCached(w, r, e, true)
	}
	return d.serveFromDisk(w, r)
}

// ServeCached is Serve for files in memory. It reports whether the request was for such a file; if not, it does nothing.
func (d *Dir) ServeCached(w ResponseWriter, r *Request) bool {
	if string(r.Method) != "GET" && string(r.Method) != "HEAD" {
		return false
	}
	path := r.Path
	if len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	e := d.cached(unsafe.String(unsafe.SliceData(path), len(path)))
	if e == nil {
		return false
	}
	_ = d.respondCached(w, r, e, true)
	return true
}

// scratch is a buffer for the header lines of one response.
type scratch struct {
	b      []byte
	header []message.Field
}

// fields returns the fields of the lines in s.b.
func (s *scratch) fields() []message.Field {
	s.header = message.Lines(s.b, s.header[:0])
	return s.header
}

// scratch returns an empty buffer; return it with c.scratches.Put.
func (c *Cache) scratch() *scratch {
	if s, ok := c.scratches.Get().(*scratch); ok {
		s.b = s.b[:0]
		return s
	}
	return &scratch{b: make([]byte, 0, 1024)}
}

// serveFromDisk serves a file that is not in memory, and loads it into memory if it fits.
func (d *Dir) serveFromDisk(w ResponseWriter, r *Request) (Result, error) {
	clean, ok := appendClean(make([]byte, 0, len(r.Path)), r.Path)
	if !ok {
		return NotFound, nil
	}
	path := string(clean)
	if !d.visible(path) {
		return NotFound, nil
	}
	if e := d.cached(path); e != nil { // another spelling of a cached path
		return Served, d.respondCached(w, r, e, true)
	}
	result, err := d.find(w, r, path)
	if errors.Is(err, os.ErrClosed) && result == Failed && !d.closed.Load() {
		result, err = d.find(w, r, path) // the root was replaced under the first try
	}
	return result, err
}

func (d *Dir) find(w ResponseWriter, r *Request, path string) (Result, error) {
	now, epoch := d.cache.clock.Load(), d.epoch.Load()
	root, kind, name, info, err := d.locate(path)
	switch {
	case err != nil:
		return refusal(err)
	case kind == outcomeRedirect:
		return Served, d.redirect(w, r)
	case kind == outcomeForbidden:
		return Forbidden, nil
	case kind == outcomeListing:
		return d.list(w, r, root, name)
	case kind != outcomeFile:
		return NotFound, nil
	}
	if !d.cache.fits(info.Size()) {
		return d.stream(w, r, root, name)
	}
	e, hit := d.body(name)
	if !hit {
		e, err = d.load(root, name)
		if errors.Is(err, errUnstable) || errors.Is(err, errTooLarge) {
			return d.stream(w, r, root, name)
		}
		if err != nil {
			return refusal(err)
		}
	}
	if name != path || !d.direct {
		alias := &entry{name: path, target: name}
		alias.confirm(now, epoch)
		d.keep(alias)
	}
	return Served, d.respondCached(w, r, e, hit)
}

// locate finds on disk what a clean path leads to.
func (d *Dir) locate(path string) (root *os.Root, kind outcome, name string, info fs.FileInfo, err error) {
	if root, err = d.current(); err == nil {
		kind, name, info, err = d.resolve(root, path)
	}
	return root, kind, name, info, err
}

// body returns the cached body of a file that was resolved just now.
func (d *Dir) body(name string) (*entry, bool) {
	e, ok := d.cache.store.GetIfPresent(key{d.bodies, name})
	if !ok || !d.usable(e) {
		return nil, false
	}
	return e, true
}

// stream responds from an open descriptor. The header describes that descriptor, so a file that replaces it meanwhile
// has no effect.
func (d *Dir) stream(w ResponseWriter, r *Request, root *os.Root, name string) (Result, error) {
	f, info, err := openRegular(root, name)
	if err != nil {
		return refusal(err)
	}
	defer f.Close()
	var start [512]byte
	n := 0
	if typeByExtension(extension(name)) == "" {
		n, _ = f.ReadAt(start[:], 0)
	}
	rep := describe(name, start[:n], info, d.cacheControlOf(name), time.Now())
	if d.negotiates(name) {
		if sibling := d.chooseSibling(root, name, r, &rep); sibling != nil {
			defer sibling.Close()
			f = sibling
		}
	}
	return Served, d.respondFile(w, r, &rep, f)
}

// refusal returns the result for an error of the file system.
func refusal(err error) (Result, error) {
	switch {
	case transient(err):
		return Failed, err
	case errors.Is(err, fs.ErrPermission):
		return Forbidden, nil
	}
	// It does not exist, or there is no directory, a loop of links, a link out of the root, or a socket.
	return NotFound, nil
}

func (d *Dir) redirect(w ResponseWriter, r *Request) error {
	s := d.cache.scratch()
	defer d.cache.scratches.Put(s)
	s.b = append(s.b, "Location: "...)
	s.b = appendLocation(s.b, r.Target)
	s.b = append(s.b, "\r\nContent-Length: 0\r\n"...)
	return w.Respond(http.StatusMovedPermanently, s.fields(), nil)
}
