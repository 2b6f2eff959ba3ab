package staticcache

import (
	"bytes"
	"math"
	"strconv"
)

// maxRanges bounds the parts of one answer; a request for more gets the whole file. Legitimate
// readers (of PDF, of film) ask for a handful.
const maxRanges = 16

// span is a stretch of a file, never empty, within its size.
type span struct{ start, length int64 }

// appendContentRange appends the line for one part of a whole (RFC 9110 section 14.4).
func (s span) appendContentRange(b []byte, size int64) []byte {
	b = append(b, "Content-Range: bytes "...)
	b = strconv.AppendInt(b, s.start, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, s.start+s.length-1, 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, size, 10)
	return append(b, "\r\n"...)
}

// parseRange reads a Range field for a file of that size. No spans and true: send the whole file. False: 416.
//
// RFC 9110 section 14.2 has an unknown unit ignored and leaves a malformed set to the server; like nginx
// and net/http, a malformed one is refused. More than maxRanges, or ranges that sum up to more than the
// file, are an attempt to make us work: they get the whole file. So does any range of an
// empty file, which some clients add to all they send.
func parseRange(spans []span, field []byte, size int64) ([]span, bool) {
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
		if satisfiable && asked <= maxRanges && sum <= size {
			spans = append(spans, s)
			sum += s.length
		}
	}
	if asked > maxRanges || sum > size {
		return nil, true
	}
	return spans, len(spans) > 0 || asked == 0
}

// parseSpan reads "first-last", "first-" or "-suffix".
func parseSpan(item []byte, size int64) (s span, satisfiable, ok bool) {
	first, last, found := bytes.Cut(item, []byte("-"))
	first, last = bytes.Trim(first, " \t"), bytes.Trim(last, " \t")
	if !found || (len(first) == 0 && len(last) == 0) {
		return s, false, false
	}
	if len(first) == 0 {
		n, ok := parseDigits(last)
		n = min(n, size)
		return span{size - n, n}, n > 0, ok
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
	return span{start, min(end, size-1) - start + 1}, true, true
}

// parseDigits reads a number of any length; one too large for a file is as good as the largest.
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
