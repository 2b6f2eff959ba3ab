package wire

import (
	"bytes"
	"errors"
)

// Field is one header or trailer line. The slices point into the parsed block.
type Field struct {
	Line  []byte // the whole line as it was sent, with its CRLF
	Name  []byte
	Value []byte // without the white space around it
	Kind  Kind
}

// The reasons why a block of fields is refused.
var (
	ErrLineEnd    = errors.New("a header line does not end in CRLF")
	ErrFold       = errors.New("a header line is folded (obs-fold)")
	ErrFieldName  = errors.New("a header name is empty or holds a byte that is no token character")
	ErrFieldValue = errors.New("a header value holds a control character")
)

// ParseFields appends the fields of block to fields. The block is what stands between the
// first line of a head and its blank line, both excluded: any number of lines, each
// ended by CRLF. It refuses everything outside RFC 9112 section 5, obs-fold included.
func ParseFields(block []byte, fields []Field) ([]Field, error) {
	for len(block) > 0 {
		end := bytes.IndexByte(block, '\n')
		if end < 1 || block[end-1] != '\r' {
			return fields, ErrLineEnd
		}
		line := block[:end-1]
		field := Field{Line: block[:end+1]}
		block = block[end+1:]
		if len(line) == 0 {
			return fields, ErrFieldName
		}
		if line[0] == ' ' || line[0] == '\t' {
			return fields, ErrFold
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 1 || !IsToken(line[:colon]) {
			return fields, ErrFieldName
		}
		if !IsFieldValue(line[colon+1:]) {
			return fields, ErrFieldValue
		}
		field.Name = line[:colon]
		field.Value = TrimSpace(line[colon+1:])
		field.Kind = KindOf(field.Name)
		fields = append(fields, field)
	}
	return fields, nil
}

// Lookup returns the value of the first field of that kind, nil if there is none.
func Lookup(fields []Field, kind Kind) []byte {
	for i := range fields {
		if fields[i].Kind == kind {
			return fields[i].Value
		}
	}
	return nil
}

// NextListItem cuts the first item off a comma-separated list and trims it.
// Empty items come back as such; they mean nothing (RFC 9110 section 5.6.1).
func NextListItem(list []byte) (item, rest []byte) {
	item, rest, _ = bytes.Cut(list, []byte{','})
	return TrimSpace(item), rest
}

// ContentLength reads a Content-Length value: digits alone, at most 18 of them.
func ContentLength(value []byte) (n int64, ok bool) {
	if len(value) == 0 || len(value) > 18 {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// ForbiddenInTrailer reports whether a field must not stand in a trailer section, where it could
// change how the message is framed, routed or understood (RFC 9110 section 6.5.1).
func ForbiddenInTrailer(f *Field) bool {
	if f.Kind != Other && f.Kind != Date {
		return true
	}
	for _, name := range [...]string{"set-cookie", "cookie", "authorization", "location", "content-type",
		"content-encoding", "content-range", "cache-control", "www-authenticate", "age", "expires", "vary", "max-forwards"} {
		if EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}
