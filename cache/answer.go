package cache

import (
	"bytes"
	"strconv"

	"lb/internal/byterange"
	"lb/message"
)

// Answer is the response to a request that an entry is used for.
type Answer struct {
	Status int
	Fields []message.Field // with Content-Length, except for a part
	Body   []byte          // left out for HEAD by the caller
	// Part says that the response is a part of Total bytes, or with 416 that there is no such part. Content-Length and the field of
	// AppendContentRange are to be added.
	Part  bool
	Total int64
	From  int64 // where the part begins
	// Several are several parts, with what is between them; then Body is empty, and there is no Content-Range. Fields have the Content-Type
	// of the whole, which Type is to replace.
	Several [][]byte
	Type    string
	Length  int64 // of Body, or of Several together
}

// Answer returns the response to a GET or HEAD, according to its preconditions and its Range field.
func (e *Entry) Answer(q *message.Request) Answer {
	a := Answer{Status: e.Status, Fields: e.fields, Body: e.Body, Length: int64(len(e.Body))}
	if e.Status != 200 {
		return a
	}
	var match, since, part, condition []byte
	for i := range q.Fields {
		switch f := &q.Fields[i]; f.Kind {
		case message.IfNoneMatch:
			match = f.Value
			if e.matches(match) {
				return e.notModified()
			}
		case message.IfModifiedSince:
			since = f.Value
		case message.Range:
			part = f.Value
		case message.IfRange:
			condition = f.Value
		}
	}
	if match == nil && since != nil && e.modifiedUnix != none {
		if string(since) == string(e.modified) {
			return e.notModified()
		}
		if date := parseDate(since); date != none && e.modifiedUnix <= date {
			return e.notModified()
		}
	}
	if part != nil && !q.IsHead() && (condition == nil || e.rangeHolds(condition)) {
		return e.part(a, part)
	}
	return a
}

func (e *Entry) notModified() Answer { return Answer{Status: 304, Fields: e.brief} }

// matches compares the entity tag with those of an If-None-Match field (RFC 9110 section 13.1.2), weakly. The list is ignored from a syntax
// error on.
func (e *Entry) matches(list []byte) bool {
	own := bytes.TrimPrefix(e.etag, []byte("W/"))
	for {
		var tag []byte
		switch tag, _, list = message.NextETag(list); {
		case tag == nil:
			return false
		case tag[0] == '*', e.etag != nil && bytes.Equal(tag, own):
			return true
		}
	}
}

// rangeHolds evaluates If-Range (RFC 9110 section 13.1.5): the validator must be strong and equal.
func (e *Entry) rangeHolds(condition []byte) bool {
	if bytes.HasPrefix(condition, []byte("W/")) || len(condition) > 0 && condition[0] == '"' {
		return strong(e.etag) && bytes.Equal(condition, e.etag)
	}
	return e.strongDate && bytes.Equal(condition, e.modified)
}

// strong reports whether there is an entity tag, and a strong one.
func strong(etag []byte) bool { return len(etag) > 0 && etag[0] == '"' }

// part answers with the parts that a Range field asks for. Several parts of an encoded body are not sent, since Content-Encoding would be
// that of the parts together with what separates them.
func (e *Entry) part(a Answer, value []byte) Answer {
	var room [byterange.Most]byterange.Span
	size := int64(len(e.Body))
	spans, ok := byterange.Parse(room[:0], value, size)
	switch {
	case !ok:
		return Answer{Status: 416, Part: true, Total: size}
	case len(spans) == 0, len(spans) > 1 && message.Named(e.fields, "content-encoding") != nil:
		return a
	}
	a.Status, a.Part, a.Total, a.Fields = 206, true, size, a.Fields[:len(a.Fields)-1]
	if len(spans) == 1 {
		s := spans[0]
		a.From, a.Length, a.Body = s.Start, s.Length, e.Body[s.Start:s.Start+s.Length]
		return a
	}
	m := byterange.NewMultipart(spans, size, string(message.Named(e.fields, "content-type")))
	a.Several = make([][]byte, 0, 2*len(spans)+1)
	for i, s := range spans {
		a.Several = append(a.Several, m.Heads[i], e.Body[s.Start:s.Start+s.Length])
	}
	a.Several, a.Type, a.Length, a.Body = append(a.Several, m.Tail), m.Type, m.Length, nil
	return a
}

// AppendContentRange appends the value of the Content-Range field of a part.
func (a *Answer) AppendContentRange(b []byte) []byte {
	if a.Status == 206 {
		return byterange.Span{Start: a.From, Length: a.Length}.Append(b, a.Total)
	}
	return byterange.AppendNone(b, a.Total)
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}
