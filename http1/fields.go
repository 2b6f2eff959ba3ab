package http1

import (
	"bytes"
	"errors"

	"lb/message"
)

// The reasons why a block of fields is refused.
var (
	ErrLineEnd    = errors.New("a header line does not end in CRLF")
	ErrFold       = errors.New("a header line is folded (obs-fold)")
	ErrFieldName  = errors.New("a header name is empty or holds a byte that is no token character")
	ErrFieldValue = errors.New("a header value holds a control character")
)

// fault is what is wrong with a field line.
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

// nextLine returns the first line of b without its CRLF, and with it in whole. The line is nil if there is no line end,
// or one that is no CRLF. A CR elsewhere is found as a control byte later.
func nextLine(b []byte) (line, whole []byte) {
	end := bytes.IndexByte(b, '\n')
	if end < 1 || b[end-1] != '\r' {
		return nil, nil
	}
	return b[:end-1], b[:end+1]
}

// readField reads one line, which is not empty, into f.
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

// ParseFields appends the fields of block to fields. The block is what stands between the
// first line of a head and its blank line, both excluded: any number of lines, each
// ended by CRLF. It refuses everything outside RFC 9112 section 5, obs-fold included.
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

// contentLength reads a Content-Length value: digits alone, at most 18 of them.
func contentLength(value []byte) (n int64, ok bool) {
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
