package staticcache

import (
	"bytes"
	"net/http"

	"lb/message"
)

// verdict is the result of a request's preconditions.
type verdict int

const (
	verdictSend verdict = iota
	verdictNotModified
	verdictFailed // 412
)

// evaluate applies the preconditions in the order of RFC 9110 section 13.2.2.
func (r *Request) evaluate(rep *representation) verdict {
	if len(r.IfMatch) > 0 {
		if !matches(r.IfMatch, rep.etag, true) {
			return verdictFailed
		}
	} else if len(r.IfUnmodifiedSince) > 0 && rep.lastModified != "" {
		if since, ok := parseDate(r.IfUnmodifiedSince); ok && rep.modified > since {
			return verdictFailed
		}
	}
	if len(r.IfNoneMatch) > 0 {
		if matches(r.IfNoneMatch, rep.etag, false) {
			return verdictNotModified
		}
		return verdictSend
	}
	if len(r.IfModifiedSince) > 0 && rep.lastModified != "" {
		if string(r.IfModifiedSince) == rep.lastModified {
			return verdictNotModified
		}
		if since, ok := parseDate(r.IfModifiedSince); ok && rep.modified <= since {
			return verdictNotModified
		}
	}
	return verdictSend
}

// rangeHolds evaluates If-Range (section 13.1.5): the validator must be strong and equal, or the range is ignored.
func (r *Request) rangeHolds(rep *representation) bool {
	v := bytes.TrimSpace(r.IfRange)
	if len(v) == 0 {
		return true
	}
	if v[0] == '"' || bytes.HasPrefix(v, []byte("W/")) {
		return rep.etag != "" && string(v) == rep.etag
	}
	// A date is strong only if the file cannot have changed again within its second (section 8.8.2.2).
	since, ok := parseDate(v)
	return ok && rep.strongDate && since == rep.modified
}

// matches reports whether a list of entity tags, or "*", has the one of an existing file. Our tags are
// all strong, so a strong comparison differs from a weak one only in refusing the client's W/.
// The list is ignored from a syntax error on.
func matches(list []byte, etag string, strong bool) bool {
	for {
		var tag []byte
		var weak bool
		switch tag, weak, list = message.NextETag(list); {
		case tag == nil:
			return false
		case tag[0] == '*', !(weak && strong) && etag != "" && string(tag) == etag:
			return true
		}
	}
}

// parseDate reads an HTTP date in any of the three formats, as Unix seconds.
func parseDate(b []byte) (int64, bool) {
	t, err := http.ParseTime(string(bytes.TrimSpace(b)))
	if err != nil {
		return 0, false
	}
	return t.Unix(), true
}
