package http1

import (
	"bytes"

	"lb/message"
)

// HeadScan finds the end of a request head that is received in pieces. It detects a line end that is not CRLF at once, so that a
// client that never sends a proper blank line gets its error without a timeout. The zero value is ready.
type HeadScan struct {
	at        int // bytes scanned so far
	clean     int // bytes known to contain no NUL
	lineStart int
	blanks    int // empty lines before the request line
}

// MaxBlanks is how many empty lines may precede a request (RFC 9112 section 2.2 recommends at least one).
const MaxBlanks = 4

// Find returns the length of the head if b contains all of it, else 0.
func (s *HeadScan) Find(b []byte) (int, *RequestError) {
	if s.at == 0 && len(b) > 0 && b[0] != '\r' && b[0] != '\n' && !message.IsToken(b[:1]) {
		return 0, ErrRequestLine // for example TLS on a plain port: there may never be a line end
	}
	for {
		i := bytes.IndexByte(b[s.at:], '\n')
		if i < 0 {
			if bytes.IndexByte(b[s.clean:], 0) >= 0 {
				return 0, ErrValue // invalid whatever follows
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
