package wire

import (
	"bytes"
	"errors"
)

// ResponseHead is the head of a response, parsed in place: its slices point into the
// buffer that was parsed. The zero value is ready; Parse may be called again and again.
type ResponseHead struct {
	Status int
	Minor  int    // of the version: 0 or 1
	Reason []byte // may be empty
	Fields []Field

	// ContentLength is -1 where the head names none.
	ContentLength int64
	Chunked       bool
	// Close says that the sender ends the connection after this response.
	Close bool
	// Upgrade is the value of the Upgrade field, nil if there is none.
	Upgrade []byte
	// Nominated says that Connection names fields other than the usual, see NominatedBy.
	Nominated bool

	keep bool // Connection says keep-alive, which matters in HTTP/1.0
}

// The reasons why a response head is refused.
var (
	ErrStatusLine = errors.New("the status line is no HTTP/1.0 or HTTP/1.1")
	ErrFraming    = errors.New("the length of the body is ambiguous")
)

// HeadEnd returns the number of bytes of the head at the start of b, its blank line
// included, or -1 if its end is not there yet. from is how many bytes were looked at before.
func HeadEnd(b []byte, from int) int {
	from = max(0, from-3)
	if i := bytes.Index(b[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return -1
}

// Parse reads a whole head, from the status line to the blank line.
func (h *ResponseHead) Parse(head []byte) error {
	fields := h.Fields[:0]
	*h = ResponseHead{ContentLength: -1, Fields: fields}
	if len(head) < 4 {
		return ErrStatusLine
	}
	end := bytes.IndexByte(head, '\n')
	if end < 1 || head[end-1] != '\r' {
		return ErrStatusLine
	}
	if err := h.statusLine(head[:end-1]); err != nil {
		return err
	}
	var err error
	if h.Fields, err = ParseFields(head[end+1:len(head)-2], fields); err != nil {
		return err
	}
	return h.framing()
}

// statusLine reads "HTTP/1.x SP 3DIGIT [SP reason]" (RFC 9112 section 4).
func (h *ResponseHead) statusLine(line []byte) error {
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' {
		return ErrStatusLine
	}
	h.Minor = int(line[7] - '0')
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return ErrStatusLine
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	if h.Status < 100 || len(line) > 12 && line[12] != ' ' || !IsFieldValue(line[12:]) {
		return ErrStatusLine
	}
	if len(line) > 13 {
		h.Reason = line[13:]
	}
	return nil
}

// framing draws from the fields how long the body is and whether the connection lives on
// (RFC 9112 section 6), and refuses what two readers could read differently.
func (h *ResponseHead) framing() error {
	codings := 0
	for i := range h.Fields {
		f := &h.Fields[i]
		switch f.Kind {
		case ContentLengthField:
			n, ok := ContentLength(f.Value)
			if !ok || h.ContentLength >= 0 {
				return ErrFraming
			}
			h.ContentLength = n
		case TransferEncoding:
			if !EqualFold(f.Value, "chunked") {
				return ErrFraming
			}
			codings++
		case Connection:
			h.connection(f.Value)
		case Upgrade:
			h.Upgrade = f.Value
		}
	}
	if codings > 1 || codings == 1 && (h.ContentLength >= 0 || h.Minor == 0) {
		return ErrFraming
	}
	h.Chunked = codings == 1
	h.Close = h.Close || h.Minor == 0 && !h.keep // "close" beats "keep-alive", wherever it stands
	return nil
}

func (h *ResponseHead) connection(list []byte) {
	for len(list) > 0 {
		var item []byte
		item, list = NextListItem(list)
		switch {
		case EqualFold(item, "close"):
			h.Close = true
		case EqualFold(item, "keep-alive"):
			h.keep = true
		case len(item) > 0 && !EqualFold(item, "upgrade"):
			h.Nominated = true
		}
	}
}

// NominatedBy reports whether one of the Connection fields among fields names that
// field (RFC 9110 section 7.6.1). What frames or routes a message cannot be taken away so.
func NominatedBy(fields []Field, f *Field) bool {
	if f.Kind == Host || f.Kind == ContentLengthField {
		return false
	}
	for i := range fields {
		if fields[i].Kind != Connection {
			continue
		}
		for list := fields[i].Value; len(list) > 0; {
			var item []byte
			item, list = NextListItem(list)
			if bytes.EqualFold(item, f.Name) {
				return true
			}
		}
	}
	return false
}
