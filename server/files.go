package server

import (
	"net/http"
	"os"

	"lb/message"
	"lb/proxy"
	"lb/staticcache"
)

// files serves a route from the static cache.
type files struct {
	dir         *staticcache.Dir
	strip       string // what is cut from the path: whole segments, without the slash behind them
	contentType string // of all files, by response_headers; "": of each its own
}

var allowField = message.NewField("Allow", staticcache.Allow)

// Serve implements proxy.Action.
func (f *files) Serve(x *proxy.Exchange) {
	path := f.path(x.Path())
	if f.lacksSlash(x.Request.Method, path) {
		x.RedirectToSlash()
		return
	}
	result, err := f.dir.Serve(fileWriter{x}, &staticcache.Request{
		Method: x.Request.Method, Path: path, Target: x.Request.Target,
		IfMatch: x.Lookup(message.IfMatch), IfNoneMatch: x.Lookup(message.IfNoneMatch),
		IfModifiedSince: x.Lookup(message.IfModifiedSince), IfUnmodifiedSince: x.Lookup(message.IfUnmodifiedSince),
		Range: x.Lookup(message.Range), IfRange: x.Lookup(message.IfRange), PartType: f.contentType,
	})
	switch result {
	case staticcache.Answered:
		return // an answer that broke off has been cut and noted by the exchange
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
// would lead elsewhere.
func (f *files) lacksSlash(method, path []byte) bool {
	return len(path) == 0 && (string(method) == "GET" || string(method) == "HEAD")
}

// fileWriter lets the cache answer in parts too.
type fileWriter struct{ *proxy.Exchange }

func (w fileWriter) RespondParts(status int, header []message.Field, length int64, f *os.File, parts []staticcache.Part) error {
	if err := w.BeginParts(status, header, length); err != nil || w.Head() {
		return err
	}
	for _, part := range parts {
		if len(part.Bytes) > 0 {
			if err := w.More(part.Bytes); err != nil {
				return err
			}
		}
		if part.Length > 0 {
			if err := w.MoreFile(f, part.Offset, part.Length); err != nil {
				return err
			}
		}
	}
	return nil
}
