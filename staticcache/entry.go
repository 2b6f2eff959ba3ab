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

	"lb/internal/coding"
	"lb/message"
)

const (
	// settled is the age from which any change of a file also changes its times, on any file system: some have a
	// resolution of two seconds. A younger file in memory is read again whenever it is due.
	settled = 2 * time.Second

	// grain is the same for the file systems of servers, whose resolution is a tick of the kernel, 10 ms at most.
	grain = 20 * time.Millisecond
)

// representation is the content of a file's header lines, whether the file is in memory or not.
type representation struct {
	size         int64
	contentType  string
	cacheControl string
	etag         string // quoted; "": none
	lastModified string // IMF-fixdate; "": none
	modified     int64  // Unix seconds; meaningful if lastModified is set
	strongDate   bool   // lastModified was over a second ago when the file was read (RFC 9110 section 8.8.2.2)

	coding     coding.Coding // of the body, chosen by the client's Accept-Encoding
	negotiated bool          // other requests may get another coding
	packed     bool          // the file itself is compressed with gzip, as .svgz
}

// variant is a body with everything that is needed to send it.
type variant struct {
	representation
	body   []byte
	header []message.Field // of 200
	short  []message.Field // of 304: the end of header
}

// entry is one value of the cache: the variants of a file, or an alias, which says under which name the body for another
// path is found ("docs/" is "docs/index.html"). All but freshness and job is immutable, so that a connection may still
// write what was evicted or replaced.
type entry struct {
	freshness
	name   string // the path in its key
	target string // of an alias: the name of the file
	file   bool

	variant           // the file as it is
	encoded []variant // with codings: those of files beside it first, and the smaller ones first
	job     job       // the compression of the file

	id       identity
	siblings siblings // the compressed files beside it
	young    bool     // not yet settled

	other *sectionValue // of a Section, which uses no other field; nil: a file or an alias
}

// freshness says until when an entry may be used without comparing it with the disk.
type freshness struct {
	due      atomic.Int64  // on the cache's clock
	epoch    atomic.Uint64 // of the Dir at the last comparison with the disk
	checking atomic.Bool   // one request at a time compares; the others use the entry
}

// confirm records that the entry equalled the disk at that time, in that epoch.
func (f *freshness) confirm(now int64, epoch uint64) {
	f.due.Store(now + int64(recheck))
	f.epoch.Store(epoch)
}

func (e *entry) alias() bool { return !e.file }

func (e *entry) weight(k key) int64 {
	if e.other != nil {
		return e.other.size + int64(len(k.path)) + overhead
	}
	size := e.variant.memory() + len(e.target) + len(k.path)
	for i := range e.encoded {
		size += e.encoded[i].memory() + variantSize
	}
	return int64(size) + overhead
}

// memory returns the bytes of the body and of the header lines.
func (v *variant) memory() int {
	size := len(v.body) + len(v.header)*fieldSize
	for i := range v.header {
		size += len(v.header[i].Line)
	}
	return size
}

// bodies returns the bytes of all bodies.
func (e *entry) bodies() int64 {
	size := len(e.body)
	for i := range e.encoded {
		size += len(e.encoded[i].body)
	}
	return int64(size)
}

const variantSize = int(unsafe.Sizeof(variant{}))

const fieldSize = int(unsafe.Sizeof(message.Field{}))

// newVariant makes a variant of a body that was read whole, or encoded.
//
// Its entity tag is a hash of the body: strong regardless of the clock, another one for each coding and, unlike the
// modification time, the same on every machine of a fleet that has the same bytes.
func newVariant(r representation, body []byte) variant {
	sum := sha256.Sum256(body)
	v := variant{representation: r, body: body}
	v.size = int64(len(body))
	v.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	v.header = message.Lines(v.appendFull(nil, v.size), make([]message.Field, 0, 9))
	v.short = message.Lines(v.appendValidators(nil, true), nil)
	v.short = v.header[len(v.header)-len(v.short):]
	return v
}

// describe makes the representation of a file that is streamed. Its entity tag is made of the
// modification time in nanoseconds and the size; just after a change it has none, since
// two contents could have the same tag.
func describe(name string, start []byte, info os.FileInfo, cacheControl string, now time.Time) representation {
	r := representation{
		size:         info.Size(),
		contentType:  contentType(name, start),
		cacheControl: cacheControl,
		packed:       extension(name) == ".svgz",
	}
	mtime := info.ModTime()
	if !identify(info).changed.After(now.Add(-grain)) {
		r.etag = `"` + strconv.FormatInt(mtime.UnixNano(), 36) + "-" + strconv.FormatInt(r.size, 36) + `"`
	}
	// RFC 9110 section 8.8.2.1 forbids a date in the future; archives without times leave the epoch.
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
	switch {
	case r.coding != coding.Identity:
		b = appendLine(b, "Content-Encoding: ", r.coding.Name())
	case r.packed:
		b = append(b, "Content-Encoding: gzip\r\n"...)
	}
	b = append(b, "Accept-Ranges: bytes\r\n"...)
	return r.appendValidators(b, false)
}

// appendValidators appends ETag, Last-Modified, Cache-Control, Vary, and what keeps browsers from guessing another type. A 304
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
	if r.negotiated {
		b = append(b, "Vary: Accept-Encoding\r\n"...)
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
