package cache

import (
	"strings"
	"sync/atomic"
	"unsafe"

	"lb/internal/coding"
	"lb/message"
)

// Entry is a stored response. It is immutable except for failed and encoded, so that connections may still send what was replaced or removed.
type Entry struct {
	Status int
	Body   []byte

	fields []message.Field // without Age; Content-Length, if the status allows it, is the last
	brief  []message.Field // those of a 304
	etag   []byte          // nil: none
	// modified is the value of Last-Modified; nil: none.
	modified     []byte
	modifiedUnix int64 // of Last-Modified, or Date if there is none; none if that is not a date
	strongDate   bool  // modified is a strong validator (RFC 9110 section 8.8.2.2)

	host, target string // as purges name them; an empty host is any
	tags         []string
	key          string // by which it is stored

	received     int64 // Unix time in nanoseconds
	initialAge   int64 // seconds, at that time
	lifetime     int64 // seconds from its generation for which it is fresh
	revalidate   bool  // use it only after the backend has confirmed it
	strict       bool  // never use it stale
	shared       bool  // a request with Authorization may get it
	staleWhile   int64 // seconds for which it may be used stale while it is refreshed
	staleIfError int64 // seconds for which it may be used stale if the backend fails

	cache   *Cache // nil: it is not stored
	encoded [coding.Count]encodedBody

	failed atomic.Int64 // Unix time in nanoseconds until which the backend is not asked again after an error
}

// encodedBody is the body with a coding, which lb has applied.
type encodedBody struct {
	body    atomic.Pointer[[]byte] // nil: it is not stored
	claimed atomic.Bool            // it is being made, or not worth its memory
}

// index is stored by the key of a URL whose response has a Vary field. The responses themselves have a key for each combination of these
// request fields.
type index struct {
	host, target string
	names        []string // in lower case
	generation   uint64   // a part of their keys: the responses of a replaced index are not found any more
}

// lone is stored by the key of a response that may not be stored, so that concurrent requests for it do not wait for one another.
type lone struct {
	until int64 // Unix time in nanoseconds
}

const fieldSize = int(unsafe.Sizeof(message.Field{}))

// size returns the memory of an entry in bytes, without its key.
func (e *Entry) size() int64 {
	n := int(unsafe.Sizeof(*e)) + cap(e.Body) + (cap(e.fields)+cap(e.brief))*fieldSize + len(e.host) + len(e.target) + len(e.key)
	for i := range e.fields {
		n += len(e.fields[i].Line)
	}
	for _, tag := range e.tags {
		n += len(tag) + int(unsafe.Sizeof(tag))
	}
	for _, c := range coding.All {
		n += len(e.Encoded(c))
	}
	return int64(n)
}

func (x *index) size() int64 {
	n := int(unsafe.Sizeof(*x)) + len(x.host) + len(x.target)
	for _, name := range x.names {
		n += len(name) + int(unsafe.Sizeof(name))
	}
	return int64(n)
}

// Age returns the age of the response in seconds (RFC 9111 section 4.2.3). now is Unix time in nanoseconds.
func (e *Entry) Age(now int64) int64 { return e.initialAge + max(now-e.received, 0)/second }

// Left returns for how many more seconds the response is fresh; a negative number says for how long it has been stale.
func (e *Entry) Left(now int64) int64 { return e.lifetime - e.Age(now) }

// ETag returns the entity tag, nil if there is none; LastModified likewise.
func (e *Entry) ETag() []byte         { return e.etag }
func (e *Entry) LastModified() []byte { return e.modified }

// Validates reports whether the backend can be asked if the entry still holds.
func (e *Entry) Validates() bool { return e.etag != nil || e.modified != nil }

// UsableOnError reports whether the entry may be used because the backend has failed (RFC 5861 section 4).
func (e *Entry) UsableOnError(now int64) bool {
	return !e.strict && !e.revalidate && -e.Left(now) < e.staleIfError
}

// pause is for how many nanoseconds the backend is not asked again after an error for which a stale entry was used.
const pause = second

// Failed records that the backend has failed.
func (e *Entry) Failed(now int64) { e.failed.Store(now + pause) }

// setFields sets the fields from those of a response whose body has that length. date is for a response without Date.
func (e *Entry) setFields(from []message.Field, date string, length int64) {
	room, dated := len("Date: \r\nContent-Length: 9223372036854775807\r\n")+len(date), false
	for i := range from {
		if f := &from[i]; !skipped(f) {
			room += len(f.Name) + len(f.Value) + len(": \r\n")
		}
	}
	block, count := make([]byte, 0, room), 0 // its size is counted as the sum of its lines
	for i := range from {
		f := &from[i]
		if skipped(f) {
			continue
		}
		dated = dated || f.Kind == message.Date
		block = append(append(append(append(block, f.Name...), ": "...), f.Value...), "\r\n"...)
		count++
	}
	if !dated { // RFC 9110 section 6.6.1
		block = append(append(append(block, "Date: "...), date...), "\r\n"...)
		count++
	}
	if e.Status != 204 {
		block = appendLength(block, length)
		count++
	}
	e.fields = message.Lines(block, make([]message.Field, 0, count))
	e.brief = nil
	for i := range e.fields {
		f := &e.fields[i]
		switch {
		case message.EqualFold(f.Name, "etag"):
			e.etag = f.Value
		case message.EqualFold(f.Name, "last-modified"):
			e.modified = f.Value
		}
		if inBrief(f) {
			e.brief = append(e.brief, *f)
		}
	}
	since := e.modified
	if since == nil { // RFC 9111 section 4.3.2
		since = message.Lookup(e.fields, message.Date)
	}
	e.modifiedUnix = parseDate(since)
	if len(e.etag) == 0 || e.etag[len(e.etag)-1] != '"' {
		e.etag = nil // not an entity tag, so that no client could name it in If-None-Match
	}
}

// skipped reports whether a field of a response is not stored.
func skipped(f *message.Field) bool {
	switch f.Kind {
	case message.XRequestID, message.ContentLengthField, message.Trailer:
		return true
	}
	for _, name := range [...]string{"age", "set-cookie", "proxy-authentication-info"} { // the last one by RFC 9111 section 3.1
		if message.EqualFold(f.Name, name) {
			return true
		}
	}
	return f.Hop
}

// inBrief reports whether a field is part of a 304 (RFC 9110 section 15.4.5).
func inBrief(f *message.Field) bool {
	switch strings.ToLower(string(f.Name)) {
	case "cache-control", "content-location", "date", "etag", "expires", "last-modified", "vary", "cdn-cache-control":
		return true
	}
	return false
}

// merged returns the fields of a stored response with those of a 304 in place of the ones of the same name (RFC 9111 section 3.2).
func merged(stored, fresh []message.Field) []message.Field {
	replaced := map[string]bool{"date": true} // that of the stored one would make it look old
	for i := range fresh {
		if f := &fresh[i]; !fixed(f) && !f.Hop {
			replaced[strings.ToLower(string(f.Name))] = true
		}
	}
	var out []message.Field
	for i := range stored {
		if f := &stored[i]; !replaced[strings.ToLower(string(f.Name))] {
			out = append(out, *f)
		}
	}
	for i := range fresh {
		if f := &fresh[i]; !fixed(f) && !f.Hop {
			out = append(out, *f)
		}
	}
	return out
}

// fixed reports whether a field describes the stored body, which a 304 does not change.
func fixed(f *message.Field) bool {
	switch strings.ToLower(string(f.Name)) {
	case "content-encoding", "content-type", "content-range", "content-length", "transfer-encoding":
		return true
	}
	return false
}
