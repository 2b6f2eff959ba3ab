// Package http1 implements HTTP/1.1 and HTTP/1.0 (RFC 9110, RFC 9112), strictly: requests and responses that two parsers could
// interpret differently are rejected. It converts between bytes and messages; no other package deals with chunks, Connection fields or
// status lines.
package http1

import (
	"bytes"

	"lb/message"
)

// RequestError says why a request is rejected, and with which status.
type RequestError struct {
	Status int
	Reason string // a sentence for people, without anything that the client sent
}

func (e *RequestError) Error() string { return e.Reason }

// The reasons why a request head is rejected. A request that another parser could interpret differently is not forwarded.
var (
	ErrRequestLine  = &RequestError{400, "The request line is not a method, a target and a version separated by single spaces."}
	ErrVersion      = &RequestError{400, "Only HTTP/1.1 and HTTP/1.0 are supported."}
	ErrTarget       = &RequestError{400, "The request target is malformed."}
	ErrMethod       = &RequestError{405, "CONNECT and TRACE are not supported."}
	ErrBareLineEnd  = &RequestError{400, "A line of the request head does not end in CRLF."}
	ErrFolded       = &RequestError{400, "A header line is folded."}
	ErrName         = &RequestError{400, "A header name is empty or contains an invalid byte."}
	ErrValue        = &RequestError{400, "A header value contains a control character."}
	ErrNoHost       = &RequestError{400, "The Host field is missing."}
	ErrTwoHosts     = &RequestError{400, "There is more than one Host field."}
	ErrHost         = &RequestError{400, "The Host field is malformed or longer than 255 bytes."}
	ErrHostMismatch = &RequestError{400, "The Host field and the request target name different hosts."}
	ErrLength       = &RequestError{400, "The Content-Length is malformed."}
	ErrTwoLengths   = &RequestError{400, "There is more than one Content-Length."}
	ErrLengthAndTE  = &RequestError{400, "There are both Content-Length and Transfer-Encoding."}
	ErrTE           = &RequestError{400, "The only supported Transfer-Encoding is chunked, once, in HTTP/1.1."}
	ErrExpectation  = &RequestError{417, "The only supported expectation is 100-continue."}
	ErrFields       = &RequestError{431, "The request has more header fields than allowed."}
	ErrConnection   = &RequestError{400, "The Connection fields name more than 16 options."}
)

// RequestHead is the head of a request, with the parts that concern only this connection. The zero value is ready, and a head can be
// reused.
type RequestHead struct {
	message.Request
	Minor int  // minor version: 0 or 1
	Close bool // the connection closes after the response
}

// Parse parses a whole head, from the request line to the blank line, both included. It rejects what RFC 9112 does not allow, and
// what parsers interpret differently: see the errors above. It also rejects more than maxFields header fields; 0: no limit. It
// allocates only for Fields, for announced trailers, and for several Upgrade fields.
func (h *RequestHead) Parse(head []byte, maxFields int) *RequestError {
	n, err := h.parse(head, maxFields)
	switch {
	case err != nil:
		return err
	case n == 0:
		return ErrBareLineEnd
	case n < len(head):
		return ErrRequestLine
	}
	return nil
}

// Read is Parse for a head that is received in pieces. b is everything received so far, possibly with leading empty lines. n is the
// number of bytes of the head, including those lines, and 0 until the head is complete. scan must be the zero value at first.
func (h *RequestHead) Read(b []byte, scan *HeadScan, maxFields int) (n int, err *RequestError) {
	if scan.at == 0 { // nearly all heads are received in one piece
		if n, err = h.parse(b, maxFields); n > 0 {
			return n, nil
		}
	}
	end, refused := scan.Find(b)
	if refused != nil || end == 0 {
		return 0, refused
	}
	if err == nil {
		n, err = h.parse(b[:end], maxFields)
	}
	return n, err
}

// Clone returns a copy that shares nothing with h.
func (h *RequestHead) Clone() *RequestHead {
	return &RequestHead{Request: h.Request.Clone(), Minor: h.Minor, Close: h.Close}
}

// parse parses the head at the start of b and returns its length, 0 if it is incomplete or invalid.
func (h *RequestHead) parse(b []byte, maxFields int) (int, *RequestError) {
	*h = RequestHead{Request: message.Request{Fields: h.Fields[:0]}}
	at := 0
	for at < 2*MaxBlanks && at+1 < len(b) && b[at] == '\r' && b[at+1] == '\n' {
		at += 2
	}
	line, whole := nextLine(b[at:])
	if whole == nil {
		return 0, lineEnd(b[at:])
	}
	if err := h.requestLine(line); err != nil {
		return 0, err
	}
	var s requestFields
	for {
		at += len(whole)
		if line, whole = nextLine(b[at:]); whole == nil {
			return 0, lineEnd(b[at:])
		}
		if len(line) == 0 {
			break
		}
		if maxFields > 0 && len(h.Fields) >= maxFields {
			return 0, ErrFields
		}
		h.Fields = append(h.Fields, message.Field{})
		f := &h.Fields[len(h.Fields)-1]
		if fault := readField(line, whole, f); fault != noFault {
			return 0, [...]*RequestError{badEnd: ErrBareLineEnd, folded: ErrFolded, badName: ErrName, badValue: ErrValue}[fault]
		}
		if err := s.field(h, f); err != nil {
			return 0, err
		}
	}
	if err := h.conclude(&s); err != nil {
		return 0, err
	}
	return at + len(whole), nil
}

// lineEnd returns the error for b, whose first line does not end in CRLF: nil if the line may just be incomplete.
func lineEnd(b []byte) *RequestError {
	if bytes.IndexByte(b, '\n') < 0 {
		return nil
	}
	return ErrBareLineEnd
}

// requestLine reads "method SP target SP HTTP/1.x" (RFC 9112 section 3).
func (h *RequestHead) requestLine(line []byte) *RequestError {
	sp := bytes.IndexByte(line, ' ')
	if sp < 1 || !message.IsToken(line[:sp]) {
		return ErrRequestLine
	}
	h.Method = line[:sp]
	line = line[sp+1:]
	sp = bytes.IndexByte(line, ' ')
	if sp < 1 {
		return ErrRequestLine
	}
	h.Target = line[:sp]
	switch v := line[sp+1:]; {
	case len(v) != 8 || string(v[:5]) != "HTTP/" || !isDigit(v[5]) || v[6] != '.' || !isDigit(v[7]):
		return ErrRequestLine
	case v[5] != '1':
		return ErrVersion
	case v[7] > '0':
		h.Minor = 1 // a higher minor version is treated as 1 (RFC 9110 section 2.5)
	}
	h.Version, h.Interim = versions[h.Minor], h.Minor > 0
	switch string(h.Method) {
	case "CONNECT", "TRACE":
		return ErrMethod
	}
	for _, c := range h.Target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return ErrTarget
		}
	}
	return nil
}

var versions = [2]string{"HTTP/1.0", "HTTP/1.1"}

// requestFields is what parse must remember between lines.
type requestFields struct {
	hosts, lengths, encodings int
	trailers                  int // Trailer fields
	upgrades                  int // Upgrade fields
	connection                connection
	otherExpectation          bool
}

func (s *requestFields) field(h *RequestHead, f *message.Field) *RequestError {
	switch f.Kind {
	case message.Other:
	case message.Connection:
		if s.connection.read(f.Value); s.connection.count > MaxConnectionOptions {
			return ErrConnection
		}
	case message.Host:
		s.hosts++
		h.Authority = f.Value
	case message.ContentLengthField:
		s.lengths++
		n, ok := message.ContentLength(f.Value)
		if !ok {
			return ErrLength
		}
		if s.encodings == 0 {
			h.Length = n
		}
	case message.TransferEncoding:
		s.encodings++
		if !message.EqualFold(f.Value, "chunked") {
			return ErrTE
		}
		h.Length = -1
	case message.Expect:
		if message.EqualFold(f.Value, "100-continue") {
			h.Continue = true
		} else {
			s.otherExpectation = true
		}
	case message.Trailer:
		s.trailers++
	case message.Upgrade:
		s.upgrades++
	}
	return nil
}

// conclude checks what depends on the whole head.
func (h *RequestHead) conclude(s *requestFields) *RequestError {
	switch {
	case s.encodings > 1 || s.encodings > 0 && h.Minor == 0:
		return ErrTE
	case s.encodings > 0 && s.lengths > 0:
		return ErrLengthAndTE
	case s.lengths > 1:
		return ErrTwoLengths
	case s.hosts > 1:
		return ErrTwoHosts
	case s.hosts == 0 && h.Minor == 1:
		return ErrNoHost
	case s.hosts == 1 && !message.IsAuthority(h.Authority):
		return ErrHost
	}
	if err := h.checkTarget(); err != nil {
		return err
	}
	// Expectations in HTTP/1.0 requests are ignored (RFC 9110 section 10.1.1).
	if h.Minor == 0 {
		h.Continue = false
	} else if s.otherExpectation {
		return ErrExpectation
	}
	h.Continue = h.Continue && h.Length != 0
	h.Announced = s.lengths+s.encodings > 0
	c := &s.connection
	h.Close = c.close || h.Minor == 0 && !c.keepAlive
	if c.upgrade && s.upgrades > 0 && h.Minor == 1 && h.Length == 0 { // not with a body
		h.Upgrade = message.List(h.Fields, message.Upgrade)
	}
	if c.n > 0 || s.trailers > 0 {
		c.mark(h.Fields)
	}
	return nil
}

// checkTarget allows origin-form, absolute-form of http and https, and * with OPTIONS
// (RFC 9112 section 3.2).
func (h *RequestHead) checkTarget() *RequestError {
	switch {
	case h.Target[0] == '/':
		return nil
	case len(h.Target) == 1 && h.Target[0] == '*':
		if string(h.Method) == "OPTIONS" {
			return nil
		}
		return ErrTarget
	}
	authority, ok := message.TargetAuthority(h.Target)
	if !ok || !message.IsAuthority(authority) {
		return ErrTarget
	}
	// According to RFC 9112 section 3.2.2 the target takes precedence, but the backend may do otherwise.
	if h.Authority != nil && !bytes.EqualFold(h.Authority, authority) {
		return ErrHostMismatch
	}
	if h.Authority == nil {
		h.Authority = authority
	}
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
