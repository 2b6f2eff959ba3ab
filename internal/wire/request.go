package wire

import "bytes"

// RequestError says why a request is refused, and with which status.
type RequestError struct {
	Status int
	Reason string // a sentence for a person; it holds nothing of what the client sent
}

func (e *RequestError) Error() string { return e.Reason }

// The reasons why a request head is refused. Whoever could be understood otherwise by the
// next parser is not passed on.
var (
	ErrRequestLine  = &RequestError{400, "The request line is not a method, a target and a version with one space between them."}
	ErrVersion      = &RequestError{400, "The version of HTTP is none that is spoken here: HTTP/1.1 and HTTP/1.0 are."}
	ErrTarget       = &RequestError{400, "The request target is malformed."}
	ErrMethod       = &RequestError{405, "CONNECT and TRACE are not served."}
	ErrBareLineEnd  = &RequestError{400, "A line of the request head does not end in CRLF."}
	ErrFolded       = &RequestError{400, "A header line is folded."}
	ErrName         = &RequestError{400, "A header name is empty or holds a byte that must not be there."}
	ErrValue        = &RequestError{400, "A header value holds a control character."}
	ErrNoHost       = &RequestError{400, "The Host field is missing."}
	ErrTwoHosts     = &RequestError{400, "There is more than one Host field."}
	ErrHost         = &RequestError{400, "The Host field is malformed."}
	ErrHostMismatch = &RequestError{400, "The Host field and the request target name different hosts."}
	ErrLength       = &RequestError{400, "The Content-Length is malformed."}
	ErrTwoLengths   = &RequestError{400, "There is more than one Content-Length."}
	ErrLengthAndTE  = &RequestError{400, "There are both Content-Length and Transfer-Encoding."}
	ErrTE           = &RequestError{400, "The only Transfer-Encoding understood is chunked, once, in HTTP/1.1."}
	ErrExpectation  = &RequestError{417, "The only expectation met is 100-continue."}
)

// RequestHead is what the head of a request says about its framing. The slices point into
// the head that was checked.
type RequestHead struct {
	Method  []byte
	Target  []byte // as the client wrote it
	Version []byte // as the client wrote it; see Minor
	Host    []byte // of the Host field; nil in HTTP/1.0 without one
	Minor   int    // of the version that the request is read as: 0 or 1

	ContentLength int64 // -1 where the head names none
	Chunked       bool
	Continue      bool // the client waits for a 100 before it sends the body
}

// HasBody reports whether a body follows the head, if only one of no bytes in chunks.
func (h *RequestHead) HasBody() bool { return h.Chunked || h.ContentLength > 0 }

// Check reads a whole head, from the request line to the blank line, both included. It refuses
// what RFC 9112 does not allow and, of what it does, that which parsers read differently:
// see the errors above. It allocates nothing.
func (h *RequestHead) Check(head []byte) *RequestError {
	*h = RequestHead{ContentLength: -1}
	line, rest, err := cutLine(head)
	if err != nil {
		return err
	}
	if err := h.requestLine(line); err != nil {
		return err
	}
	var s requestFields
	for {
		if line, rest, err = cutLine(rest); err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		if err := s.field(h, line); err != nil {
			return err
		}
	}
	if len(rest) != 0 {
		return ErrRequestLine
	}
	return h.conclude(&s)
}

// cutLine takes one line and its CRLF off b. A CR elsewhere is found as a control byte later.
func cutLine(b []byte) (line, rest []byte, err *RequestError) {
	end := bytes.IndexByte(b, '\n')
	if end < 1 || b[end-1] != '\r' {
		return nil, nil, ErrBareLineEnd
	}
	return b[:end-1], b[end+1:], nil
}

// requestLine reads "method SP target SP HTTP/1.x" (RFC 9112 section 3).
func (h *RequestHead) requestLine(line []byte) *RequestError {
	sp := bytes.IndexByte(line, ' ')
	if sp < 1 || !IsToken(line[:sp]) {
		return ErrRequestLine
	}
	h.Method = line[:sp]
	line = line[sp+1:]
	sp = bytes.IndexByte(line, ' ')
	if sp < 1 {
		return ErrRequestLine
	}
	h.Target = line[:sp]
	h.Version = line[sp+1:]
	switch v := h.Version; {
	case len(v) != 8 || string(v[:5]) != "HTTP/" || !isDigit(v[5]) || v[6] != '.' || !isDigit(v[7]):
		return ErrRequestLine
	case v[5] != '1':
		return ErrVersion
	case v[7] > '0':
		h.Minor = 1 // a higher one is read as the highest that we speak (RFC 9110 section 2.5)
	}
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

// requestFields is what Check must remember between lines.
type requestFields struct {
	hosts, lengths, encodings int
	otherExpectation          bool
}

func (s *requestFields) field(h *RequestHead, line []byte) *RequestError {
	if line[0] == ' ' || line[0] == '\t' {
		return ErrFolded
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !IsToken(line[:colon]) {
		return ErrName
	}
	if !IsFieldValue(line[colon+1:]) {
		return ErrValue
	}
	switch KindOf(line[:colon]) {
	case Host:
		s.hosts++
		h.Host = TrimSpace(line[colon+1:])
	case ContentLengthField:
		s.lengths++
		n, ok := ContentLength(TrimSpace(line[colon+1:]))
		if !ok {
			return ErrLength
		}
		h.ContentLength = n
	case TransferEncoding:
		s.encodings++
		if !EqualFold(TrimSpace(line[colon+1:]), "chunked") {
			return ErrTE
		}
		h.Chunked = true
	case Expect:
		if EqualFold(TrimSpace(line[colon+1:]), "100-continue") {
			h.Continue = true
		} else {
			s.otherExpectation = true
		}
	}
	return nil
}

// conclude judges what only the whole head shows.
func (h *RequestHead) conclude(s *requestFields) *RequestError {
	switch {
	case s.encodings > 1 || h.Chunked && h.Minor == 0:
		return ErrTE
	case h.Chunked && s.lengths > 0:
		return ErrLengthAndTE
	case s.lengths > 1:
		return ErrTwoLengths
	case s.hosts > 1:
		return ErrTwoHosts
	case s.hosts == 0 && h.Minor == 1:
		return ErrNoHost
	case s.hosts == 1 && !IsAuthority(h.Host):
		return ErrHost
	}
	if err := h.checkTarget(); err != nil {
		return err
	}
	// RFC 9110 section 10.1.1: an HTTP/1.0 client cannot mean it.
	if h.Minor == 0 {
		h.Continue = false
	} else if s.otherExpectation {
		return ErrExpectation
	}
	h.Continue = h.Continue && h.HasBody()
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
	authority, ok := TargetAuthority(h.Target)
	if !ok || !IsAuthority(authority) {
		return ErrTarget
	}
	// RFC 9112 section 3.2.2 lets the target win; but the backend may think otherwise.
	if h.Host != nil && !bytes.EqualFold(h.Host, authority) {
		return ErrHostMismatch
	}
	return nil
}

// TargetAuthority returns the host and port of a target in absolute-form, http or https.
func TargetAuthority(target []byte) (authority []byte, ok bool) {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(target) >= len(scheme) && EqualFold(target[:len(scheme)], scheme) {
			target = target[len(scheme):]
			if end := bytes.IndexAny(target, "/?"); end >= 0 {
				target = target[:end]
			}
			return target, true
		}
	}
	return nil, false
}

// IsAuthority reports whether b is a host and perhaps a port, as RFC 3986 section 3.2 has them
// and nothing reads differently: no user, no comma, no byte outside of ASCII, no port over 65535.
func IsAuthority(b []byte) bool {
	host, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 3 || !isIPv6(b[1:end]) {
			return false
		}
		host, port = nil, b[end+1:]
		if len(port) > 0 && port[0] != ':' {
			return false
		}
	} else if colon := bytes.IndexByte(b, ':'); colon >= 0 {
		host, port = b[:colon], b[colon:]
		if colon == 0 {
			return false
		}
	} else if len(b) == 0 {
		return false
	}
	for i, c := range host {
		if class[c]&tokenByte == 0 && !isSubDelim(c) || isNoHostByte(c) {
			return false
		}
		if c == '%' && (i+2 >= len(host) || !isHex(host[i+1]) || !isHex(host[i+2])) {
			return false
		}
	}
	return len(port) < 2 || isPort(port[1:])
}

// isNoHostByte names the token bytes that no host may hold.
func isNoHostByte(c byte) bool { return c == '#' || c == '^' || c == '`' || c == '|' }

// isSubDelim names the bytes that a host may hold and a token may not, but for the comma.
func isSubDelim(c byte) bool { return c == '(' || c == ')' || c == ';' || c == '=' }

func isIPv6(b []byte) bool {
	for _, c := range b {
		if !isHex(c) && c != ':' && c != '.' {
			return false
		}
	}
	return true
}

func isPort(b []byte) bool {
	n := 0
	for _, c := range b {
		if !isDigit(c) || n > 65535 {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
