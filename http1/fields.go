package http1

import (
	"bytes"
	"errors"

	"lb/message"
)

// The reasons why a block of fields is rejected.
var (
	ErrLineEnd    = errors.New("a header line does not end in CRLF")
	ErrFold       = errors.New("a header line is folded (obs-fold)")
	ErrFieldName  = errors.New("a header name is empty or contains a byte that is not a token character")
	ErrFieldValue = errors.New("a header value contains a control character")
)

// fault says what is wrong with a field line.
type fault uint8

const (
	noFault fault = iota
	badEnd
	folded
	badName
	badValue
)

// err returns the fault as an error of a response or a trailer section.
func (f fault) err() error {
	return [...]error{nil, ErrLineEnd, ErrFold, ErrFieldName, ErrFieldValue}[f]
}

// nextLine returns the first line of b without its CRLF, and with it in whole. Both are nil if there is no line end, or one that
// is not CRLF. Any other CR is rejected later as a control character.
func nextLine(b []byte) (line, whole []byte) {
	end := bytes.IndexByte(b, '\n')
	if end < 1 || b[end-1] != '\r' {
		return nil, nil
	}
	return b[:end-1], b[:end+1]
}

// readField parses a line, which must not be empty, into f.
func readField(line, whole []byte, f *message.Field) fault {
	if line[0] == ' ' || line[0] == '\t' {
		return folded
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !message.IsToken(line[:colon]) {
		return badName
	}
	if !message.IsFieldValue(line[colon+1:]) {
		return badValue
	}
	f.Line, f.Name, f.Value = whole, line[:colon], message.TrimSpace(line[colon+1:])
	f.Kind = message.KindOf(f.Name)
	f.Hop = f.Kind.HopByHop()
	return noFault
}

// ParseFields appends the fields of block to fields. The block is a head without its first line and its blank line: any number of
// lines, each ending in CRLF. It rejects everything that does not conform to RFC 9112 section 5, obs-fold included.
func ParseFields(block []byte, fields []message.Field) ([]message.Field, error) {
	for len(block) > 0 {
		line, whole := nextLine(block)
		switch {
		case whole == nil:
			return fields, ErrLineEnd
		case len(line) == 0:
			return fields, ErrFieldName
		}
		fields = append(fields, message.Field{})
		if fault := readField(line, whole, &fields[len(fields)-1]); fault != noFault {
			return fields[:len(fields)-1], fault.err()
		}
		block = block[len(whole):]
	}
	return fields, nil
}
