package message

import "bytes"

// Field is one header or trailer line. The slices point into the parsed block.
type Field struct {
	Line  []byte // the whole line as it was sent, with its CRLF
	Name  []byte
	Value []byte // without the white space around it
	Kind  Kind
	// Hop says that the field is for this connection alone (RFC 9110 section 7.6.1): its recipient may act on it, but
	// does not pass it on. The parser sets it, for the fields that the connection's own options name too.
	Hop bool
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

// List returns the values of all fields of that kind as one list (RFC 9110 section 5.3), nil if there are none.
func List(fields []Field, kind Kind) []byte {
	var list []byte
	joined := false
	for i := range fields {
		switch f := &fields[i]; {
		case f.Kind != kind:
		case list == nil:
			list = f.Value
		default:
			if !joined { // the first value is in the parsed block
				list, joined = bytes.Clone(list), true
			}
			list = append(append(list, ','), f.Value...)
		}
	}
	return list
}

// NextListItem cuts the first item off a comma-separated list and trims it.
// Empty items are returned too; they are to be ignored (RFC 9110 section 5.6.1).
func NextListItem(list []byte) (item, rest []byte) {
	item, rest, _ = bytes.Cut(list, []byte{','})
	return TrimSpace(item), rest
}

// ForbiddenInTrailer reports whether a field is forbidden in a trailer section, where it could
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

// MaxAnnounced limits how many names of a Trailer field are read. The field is only a hint.
const MaxAnnounced = 100

// CutAnnouncement removes empty items and the names of fields that are removed from the trailer section from a Trailer field:
// some parsers reject a message because of them. removed names more of those than ForbiddenInTrailer; it may be nil. A field without
// any name left is not forwarded.
func CutAnnouncement(f *Field, removed func(*Field) bool) {
	line := make([]byte, 0, len(f.Line)+len(f.Value)+len("\r\n"))
	line = append(line, f.Name...)
	separator := ": "
	count := 0
	for list := f.Value; len(list) > 0 && count < MaxAnnounced; count++ {
		var name []byte
		name, list = NextListItem(list)
		named := Field{Name: name, Kind: KindOf(name)}
		if IsToken(name) && !ForbiddenInTrailer(&named) && (removed == nil || !removed(&named)) {
			line = append(append(line, separator...), name...)
			separator = ", "
		}
	}
	if separator == ": " {
		f.Hop = true
		return
	}
	f.Line = append(line, '\r', '\n')
	f.Name, f.Value = f.Line[:len(f.Name)], f.Line[len(f.Name)+len(": "):len(line)]
}
