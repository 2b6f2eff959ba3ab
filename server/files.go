package server

import (
	"context"
	"net/http"
	"os"

	"lb/internal/descriptor"
	"lb/message"
	"lb/proxy"
	"lb/staticcache"
)

// files serves a route from the static cache.
type files struct {
	dir         *staticcache.Dir
	strip       string // what is cut from the path: whole segments, without the slash behind them
	contentType string // of all files, by response_headers; "": of each its own
	compress    bool   // variants are chosen by Accept-Encoding
	browse      bool   // directories are listed, in a form that is chosen by Accept
}

var allowField = message.NewField("Allow", staticcache.Allow)

// Serve implements proxy.Action.
func (f *files) Serve(x *proxy.Exchange) {
	path := f.path(x.Path())
	if f.lacksSlash(x.Request.Method, path) {
		x.RedirectToSlash()
		return
	}
	r := staticcache.Request{
		Method: x.Request.Method, Path: path, Target: x.Request.Target,
		IfMatch: x.Lookup(message.IfMatch), IfNoneMatch: x.Lookup(message.IfNoneMatch),
		IfModifiedSince: x.Lookup(message.IfModifiedSince), IfUnmodifiedSince: x.Lookup(message.IfUnmodifiedSince),
		Range: x.Lookup(message.Range), IfRange: x.Lookup(message.IfRange), PartType: f.contentType,
		Loop: x.Loop(),
	}
	if f.compress {
		r.AcceptEncoding = message.List(x.Request.Fields, message.AcceptEncoding)
	}
	if f.dir.ServeCached(cachedWriter{x}, &r) {
		return
	}
	if f.browse {
		r.Accept = message.List(x.Request.Fields, message.Accept)
	}
	own, w := r.Clone(), &fileWriter{}
	var result staticcache.Result
	var err error
	x.InBackground(func(context.Context) { result, err = f.dir.Serve(w, own) }, func() { f.finish(x, w, result, err) }, w.close)
}

// finish responds with what the disk has brought.
func (f *files) finish(x *proxy.Exchange, w *fileWriter, result staticcache.Result, err error) {
	switch result {
	case staticcache.Served:
		w.respond(x)
	case staticcache.NotFound:
		x.Refuse(http.StatusNotFound, "there is no such file")
	case staticcache.MethodNotAllowed:
		x.Extra = append(x.Extra, allowField)
		x.Refuse(http.StatusMethodNotAllowed, "files can only be read")
	case staticcache.Forbidden:
		x.Refuse(http.StatusForbidden, "the file cannot be read")
	default:
		x.Fail(result.Status(), "the file cannot be read", err)
	}
}

// path returns what is looked up below the root.
func (f *files) path(clean []byte) []byte { return clean[min(len(f.strip), len(clean)):] }

// lacksSlash reports whether a request is for the root itself without a slash at the end: relative links of its index
// would lead to another path.
func (f *files) lacksSlash(method, path []byte) bool {
	return len(path) == 0 && (string(method) == "GET" || string(method) == "HEAD")
}

// cachedWriter sends a response from memory.
type cachedWriter struct{ x *proxy.Exchange }

// Respond implements staticcache.ResponseWriter.
func (w cachedWriter) Respond(status int, header []message.Field, body []byte) error {
	w.x.Respond(status, header, body)
	return nil
}

// RespondFile implements staticcache.ResponseWriter; no file is in memory.
func (w cachedWriter) RespondFile(int, []message.Field, *os.File, int64, int64) error {
	return os.ErrInvalid
}

// RespondParts implements staticcache.ResponseWriter.
func (w cachedWriter) RespondParts(status int, header []message.Field, length int64, _ *os.File, parts []staticcache.Part) error {
	own := make([]proxy.Part, len(parts))
	for i, p := range parts {
		own[i] = proxy.Part{Bytes: p.Bytes}
	}
	w.x.RespondParts(status, header, length, true, own, nil)
	return nil
}

// fileWriter keeps a response that a goroutine makes, to be sent when the loop has it.
type fileWriter struct {
	status int
	header []message.Field
	length int64
	typed  bool
	parts  []proxy.Part
	file   *os.File
}

// Respond implements staticcache.ResponseWriter.
func (w *fileWriter) Respond(status int, header []message.Field, body []byte) error {
	w.keep(status, header, int64(len(body)))
	if len(body) > 0 {
		w.parts = []proxy.Part{{Bytes: body}}
	}
	return nil
}

// RespondFile implements staticcache.ResponseWriter.
func (w *fileWriter) RespondFile(status int, header []message.Field, f *os.File, offset, length int64) error {
	w.keep(status, header, length)
	return w.keepFile(f, []staticcache.Part{{Offset: offset, Length: length}})
}

// RespondParts implements staticcache.ResponseWriter.
func (w *fileWriter) RespondParts(status int, header []message.Field, length int64, f *os.File, parts []staticcache.Part) error {
	w.keep(status, header, length)
	w.typed = true
	return w.keepFile(f, parts)
}

func (w *fileWriter) keep(status int, header []message.Field, length int64) {
	w.status, w.length = status, length
	for i := range header {
		f := header[i]
		w.header = append(w.header, message.NewField(string(f.Name), string(f.Value)))
	}
}

func (w *fileWriter) keepFile(f *os.File, parts []staticcache.Part) error {
	if f != nil {
		own, err := descriptor.File(f, f.Name()) // the cache closes its own
		if err != nil {
			return err
		}
		w.file = own
	}
	for _, p := range parts {
		w.parts = append(w.parts, proxy.Part{Bytes: p.Bytes, File: w.file, Offset: p.Offset, Length: p.Length})
	}
	return nil
}

// respond sends what was kept.
func (w *fileWriter) respond(x *proxy.Exchange) {
	x.RespondParts(w.status, w.header, w.length, w.typed, w.parts, w.close)
}

// close closes the file, if there is one.
func (w *fileWriter) close() {
	if w.file != nil {
		w.file.Close()
	}
}
