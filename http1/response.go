package http1

import (
	"bytes"
	"errors"

	"lb/message"
)

// ResponseHead is the head of a response, with the parts that concern only this connection. The zero value is ready, and a head can
// be reused.
type ResponseHead struct {
	message.Response
	Minor         int   // minor version: 0 or 1
	ContentLength int64 // -1 if there is none
	Chunked       bool
	Close         bool // the sender closes the connection after this response
}

// The reasons why a response head is rejected.
var (
	ErrStatusLine = errors.New("the status line is invalid")
	ErrEmptyLine  = errors.New("an empty line precedes the status line")
	ErrFraming    = errors.New("the length of the body is ambiguous")
	ErrManyFields = errors.New("the response has more than 1000 header fields")
	ErrOptions    = errors.New("the Connection fields name more than 16 options")
)

// HeadEnd returns the number of bytes of the head at the start of b, its blank line included, or -1 if the head is incomplete. from
// is how many bytes of b were scanned before.
func HeadEnd(b []byte, from int) int {
	from = max(0, from-3)
	if i := bytes.Index(b[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return -1
}

// Parse parses a whole head, from the status line to the blank line. It does not set Length, which depends on the request.
func (h *ResponseHead) Parse(head []byte) error {
	h.Reset(0)
	*h = ResponseHead{Response: h.Response, ContentLength: -1}
	if len(head) < 4 {
		return ErrStatusLine
	}
	line, whole := nextLine(head)
	if whole == nil || h.statusLine(line) != nil {
		return StatusLineError(head)
	}
	var c connection
	special := false // there are Trailer fields
	for {
		head = head[len(whole):]
		if line, whole = nextLine(head); whole == nil {
			return ErrLineEnd
		}
		if len(line) == 0 {
			break
		}
		if len(h.Fields) >= MaxResponseFields {
			return ErrManyFields
		}
		h.Fields = append(h.Fields, message.Field{})
		f := &h.Fields[len(h.Fields)-1]
		if fault := readField(line, whole, f); fault != noFault {
			h.Fields = h.Fields[:len(h.Fields)-1]
			return fault.err()
		}
		if f.Kind == message.Connection {
			c.read(f.Value)
		}
		special = special || f.Kind == message.Trailer
	}
	if len(head) != len(whole) {
		return ErrFieldName // an empty line in the middle
	}
	if err := h.framing(&c); err != nil {
		return err
	}
	if c.n > 0 || special {
		c.mark(h.Fields)
	}
	return nil
}

// StatusLineError returns the error for a head whose first line is not a status line. b must not be empty.
func StatusLineError(b []byte) error {
	if b[0] == '\r' || b[0] == '\n' {
		return ErrEmptyLine // some servers and clients tolerate it; here it is invalid
	}
	return ErrStatusLine
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
	if h.Status < 100 || len(line) > 12 && line[12] != ' ' || !message.IsFieldValue(line[12:]) {
		return ErrStatusLine
	}
	h.Reason = line[min(13, len(line)):] // not nil, which would mean the standard reason
	return nil
}

// framing determines from the fields how the body is framed and whether the connection persists (RFC 9112 sections 6 and 9.3), and
// rejects what two parsers could interpret differently.
func (h *ResponseHead) framing(c *connection) error {
	codings := 0
	for i := range h.Fields {
		f := &h.Fields[i]
		switch f.Kind {
		case message.ContentLengthField:
			n, ok := message.ContentLength(f.Value)
			if !ok || h.ContentLength >= 0 {
				return ErrFraming
			}
			h.ContentLength = n
		case message.TransferEncoding:
			if !message.EqualFold(f.Value, "chunked") {
				return ErrFraming
			}
			codings++
		}
	}
	if c.count > MaxConnectionOptions {
		return ErrOptions
	}
	if codings > 1 || codings == 1 && (h.ContentLength >= 0 || h.Minor == 0) {
		return ErrFraming
	}
	h.Chunked = codings == 1
	h.Close = c.close || h.Minor == 0 && !c.keepAlive // "close" takes precedence over "keep-alive"
	return nil
}
