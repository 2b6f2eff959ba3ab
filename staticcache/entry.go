package staticcache

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"lb/message"
)

const (
	// settled is the age at which the times of a file tell its contents apart on any file system: some
	// count in steps of two seconds. A younger file in memory is read again whenever it is due.
	settled = 2 * time.Second

	// grain is the same for the file systems of servers, which count in ticks of the kernel, 10 ms at most.
	grain = 20 * time.Millisecond
)

// representation is what the header lines say about a file, held in memory or not.
type representation struct {
	size         int64
	contentType  string
	cacheControl string
	etag         string // quoted; "": none
	lastModified string // IMF-fixdate; "": none
	modified     int64  // Unix seconds; meaningful if lastModified is set
	strongDate   bool   // lastModified was over a second ago when the file was read (RFC 9110 section 8.8.2.2)
}

// entry is one value of the cache: a body with all that is needed to answer with it, or an alias,
// which says under which name the body for another path is found ("docs/" is "docs/index.html").
// All but freshness is immutable, so that a connection may still write what was evicted or replaced.
type entry struct {
	freshness
	name   string // the path in its key
	target string // of an alias: the name of the file
	file   bool

	representation
	id     identity
	young  bool // not yet settled
	body   []byte
	header []message.Field // of 200
	short  []message.Field // of 304: the end of header
}

// freshness says until when an entry may be used without a look at the disk.
type freshness struct {
	due      atomic.Int64  // on the cache's clock
	epoch    atomic.Uint64 // of the Dir when the disk was last looked at
	checking atomic.Bool   // one request at a time looks; the others use what there is
}

// confirm records that the entry was as on disk at that time, in that epoch.
func (f *freshness) confirm(now int64, epoch uint64) {
	f.due.Store(now + int64(recheck))
	f.epoch.Store(epoch)
}

func (e *entry) alias() bool { return !e.file }

func (e *entry) weight(k key) int64 {
	size := len(e.body) + len(e.target) + len(k.path) + len(e.header)*fieldSize
	for i := range e.header {
		size += len(e.header[i].Line)
	}
	return int64(size) + overhead
}

const fieldSize = int(unsafe.Sizeof(message.Field{}))

// newFileEntry makes an entry of a body that was read whole.
//
// Its entity tag is a hash of the contents: it is strong without regard to clocks, and the same on
// every machine of a fleet, which the modification time is not.
func newFileEntry(name string, body []byte, info os.FileInfo, cacheControl string, now time.Time) *entry {
	sum := sha256.Sum256(body)
	e := &entry{
		file:           true,
		name:           name,
		body:           body,
		id:             identify(info),
		young:          identify(info).changed.After(now.Add(-settled)),
		representation: describe(name, body[:min(len(body), 512)], info, cacheControl, now),
	}
	e.size = int64(len(body))
	e.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	e.header = message.Lines(e.appendFull(nil, e.size), make([]message.Field, 0, 7))
	e.short = message.Lines(e.appendValidators(nil, true), nil)
	e.short = e.header[len(e.header)-len(e.short):]
	return e
}

// describe makes the representation of a file that is streamed. Its entity tag is made of the
// modification time in nanoseconds and the size; in the first moment after a change it has none, since
// the same tag could stand for two contents.
func describe(name string, start []byte, info os.FileInfo, cacheControl string, now time.Time) representation {
	r := representation{
		size:         info.Size(),
		contentType:  contentType(name, start),
		cacheControl: cacheControl,
	}
	mtime := info.ModTime()
	if !identify(info).changed.After(now.Add(-grain)) {
		r.etag = `"` + strconv.FormatInt(mtime.UnixNano(), 36) + "-" + strconv.FormatInt(r.size, 36) + `"`
	}
	// RFC 9110 section 8.8.2.1 forbids a date in the future; the epoch is what archives without times leave behind.
	if mtime.Unix() > 0 && !mtime.After(now) {
		r.modified = mtime.Unix()
		r.strongDate = mtime.Before(now.Add(-time.Second))
		r.lastModified = mtime.UTC().Format(http.TimeFormat)
	}
	return r
}

// appendFull appends the header lines of a 200, or with the length of a part those of a 206 but Content-Range.
func (r *representation) appendFull(b []byte, length int64) []byte {
	b = appendLine(b, "Content-Type: ", r.contentType)
	b = appendLength(b, length)
	b = append(b, "Accept-Ranges: bytes\r\n"...)
	return r.appendValidators(b, false)
}

// appendValidators appends ETag, Last-Modified, Cache-Control, and what keeps browsers from guessing another type. A 304
// repeats only what helps the client to use its copy (RFC 9110 section 15.4.5): the date only where there is no tag.
func (r *representation) appendValidators(b []byte, notModified bool) []byte {
	if r.lastModified != "" && (!notModified || r.etag == "") {
		b = appendLine(b, "Last-Modified: ", r.lastModified)
	}
	if r.etag != "" {
		b = appendLine(b, "ETag: ", r.etag)
	}
	if r.cacheControl != "" {
		b = appendLine(b, "Cache-Control: ", r.cacheControl)
	}
	return append(b, "X-Content-Type-Options: nosniff\r\n"...)
}

func appendLine(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}
