package http1

import (
	"bytes"

	"lb/message"
)

// HeadScan finds the end of a request head that arrives in pieces, and each line end that is not
// CRLF as soon as it is there, so that a client that sends no proper blank line
// is not waited for. The zero value is ready.
type HeadScan struct {
	at        int // looked at so far
	clean     int // up to which there is no NUL
	lineStart int
	blanks    int // empty lines before the request line
}

// MaxBlanks is how many empty lines may precede a request (RFC 9112 section 2.2 asks for one).
const MaxBlanks = 4

// Find returns the length of the head once b holds all of it, else 0.
func (s *HeadScan) Find(b []byte) (int, *RequestError) {
	if s.at == 0 && len(b) > 0 && b[0] != '\r' && b[0] != '\n' && !message.IsToken(b[:1]) {
		return 0, ErrRequestLine // TLS on a plain port, say: no line end may ever come
	}
	for {
		i := bytes.IndexByte(b[s.at:], '\n')
		if i < 0 {
			if bytes.IndexByte(b[s.clean:], 0) >= 0 {
				return 0, ErrValue // no line end may ever come, nor would it help
			}
			s.at, s.clean = len(b), len(b)
			return 0, nil
		}
		lf := s.at + i
		if lf == 0 || b[lf-1] != '\r' {
			return 0, ErrBareLineEnd
		}
		empty := lf-1 == s.lineStart
		leading := empty && s.lineStart == 2*s.blanks
		s.at, s.lineStart = lf+1, lf+1
		if leading {
			if s.blanks++; s.blanks > MaxBlanks {
				return 0, ErrRequestLine
			}
		} else if empty {
			return lf + 1, nil
		}
	}
}
