// Package byterange has the ranges of bytes that a request asks for (RFC 9110 section 14), and the response with several of them.
package byterange

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strconv"
)

// Most limits the parts of one response; a request for more gets the whole content. Legitimate clients (PDF and video players) ask for a
// few.
const Most = 16

// Span is a part of a content, never empty, within its size. Both members are in bytes.
type Span struct{ Start, Length int64 }

// Append appends the value of the Content-Range field of a span (RFC 9110 section 14.4) of a content of that size.
func (s Span) Append(b []byte, size int64) []byte {
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, s.Start, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, s.Start+s.Length-1, 10)
	b = append(b, '/')
	return strconv.AppendInt(b, size, 10)
}

// AppendNone appends the value of the Content-Range field of a 416.
func AppendNone(b []byte, size int64) []byte {
	return strconv.AppendInt(append(b, "bytes */"...), size, 10)
}

// Parse reads a Range field for a content of that size, and appends its spans. None and true: send the whole content. False: 416.
//
// RFC 9110 section 14.2 has an unknown unit ignored and leaves a malformed set to the server; like nginx and net/http, a malformed one is
// refused. More than Most, or ranges that sum up to more than the content, are a denial-of-service attempt: the whole content is sent. So
// it is for any range of an empty content, since some clients add a range to every request.
func Parse(spans []Span, field []byte, size int64) ([]Span, bool) {
	unit, set, found := bytes.Cut(bytes.TrimSpace(field), []byte("="))
	if !found || !bytes.EqualFold(bytes.TrimSpace(unit), []byte("bytes")) || size == 0 {
		return nil, true
	}
	var sum int64
	asked := 0
	for len(set) > 0 {
		var item []byte
		item, set, _ = bytes.Cut(set, []byte(","))
		item = bytes.Trim(item, " \t")
		if len(item) == 0 { // an empty list element (section 5.6.1.2)
			continue
		}
		s, satisfiable, ok := parseSpan(item, size)
		if !ok {
			return nil, false
		}
		asked++
		if satisfiable && asked <= Most && sum <= size {
			spans = append(spans, s)
			sum += s.Length
		}
	}
	if asked > Most || sum > size {
		return nil, true
	}
	return spans, len(spans) > 0 || asked == 0
}

// parseSpan reads "first-last", "first-" or "-suffix".
func parseSpan(item []byte, size int64) (s Span, satisfiable, ok bool) {
	first, last, found := bytes.Cut(item, []byte("-"))
	first, last = bytes.Trim(first, " \t"), bytes.Trim(last, " \t")
	if !found || (len(first) == 0 && len(last) == 0) {
		return s, false, false
	}
	if len(first) == 0 {
		n, ok := parseDigits(last)
		n = min(n, size)
		return Span{size - n, n}, n > 0, ok
	}
	start, ok := parseDigits(first)
	if !ok {
		return s, false, false
	}
	end := int64(math.MaxInt64)
	if len(last) > 0 {
		if end, ok = parseDigits(last); !ok || end < start {
			return s, false, false
		}
	}
	if start >= size {
		return s, false, true
	}
	return Span{start, min(end, size-1) - start + 1}, true, true
}

// parseDigits reads a number of any length, and returns the largest one if it is too large.
func parseDigits(b []byte) (int64, bool) {
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, len(b) > 0
}

// Multipart is a body of type multipart/byteranges (RFC 9110 section 14.6).
type Multipart struct {
	Type   string   // of the body, with the boundary
	Heads  [][]byte // what precedes each part
	Tail   []byte   // what follows the last one
	Length int64    // of the body, in bytes
}

// NewMultipart makes the body of several spans of a content of that size and type. The boundary is random for each response, so that no
// content can contain it on purpose.
func NewMultipart(spans []Span, size int64, contentType string) Multipart {
	boundary := strconv.FormatUint(rand.Uint64(), 36) + strconv.FormatUint(rand.Uint64(), 36)
	m := Multipart{Type: "multipart/byteranges; boundary=" + boundary, Tail: []byte("\r\n--" + boundary + "--\r\n")}
	for i, s := range spans {
		var head []byte
		if i > 0 {
			head = append(head, "\r\n"...)
		}
		head = append(append(append(head, "--"...), boundary...), "\r\n"...)
		if contentType != "" {
			head = append(append(append(head, "Content-Type: "...), contentType...), "\r\n"...)
		}
		head = append(s.Append(append(head, "Content-Range: "...), size), "\r\n\r\n"...)
		m.Heads = append(m.Heads, head)
		m.Length += int64(len(head)) + s.Length
	}
	m.Length += int64(len(m.Tail))
	return m
}
