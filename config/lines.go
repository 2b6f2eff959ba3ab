package config

import (
	"strings"
	"unicode/utf8"
)

// pieceKind is the kind of a piece of a line, as a person sees it.
type pieceKind uint8

const (
	plainWord pieceKind = iota // a word without quotes: a name, a number, an address
	quoted                     // "…"
	halfOpen                   // a quote that is not closed on its line
	foreignly                  // “…” or '…'
	mark                       // one of = { } [ ] ( ) , ;
)

// piece is one word or mark of a line.
type piece struct {
	kind       pieceKind
	text       string
	start, end int  // bytes in the source
	hidden     bool // text has been replaced since it must not be shown
	number     bool // the hidden text is a number
}

// is reports whether the piece is that mark.
func (p piece) is(m string) bool { return p.kind == mark && p.text == m }

// unquoted returns the text without quotes of any kind.
func (p piece) unquoted() string {
	if p.kind == plainWord || p.kind == mark {
		return p.text
	}
	return strings.Trim(p.text, "\"'“”„‟‘’‚‛«»")
}

// lineScanner splits a source into lines of pieces, without comments and texts of heredocs. Unlike the parser's lexer
// it recovers from errors, since a quote ends with its line.
type lineScanner struct {
	src     string
	offset  int
	comment bool   // inside /* … */
	heredoc string // its end marker; "" outside
}

// line returns the pieces of the next line; ok is false at the end of the source.
func (s *lineScanner) line() (pieces []piece, ok bool) {
	if s.offset >= len(s.src) {
		return nil, false
	}
	from := s.offset
	end := len(s.src)
	if i := strings.IndexByte(s.src[from:], '\n'); i >= 0 {
		end = from + i
	}
	s.offset = end + 1
	if s.heredoc != "" {
		if strings.TrimSpace(s.src[from:end]) == s.heredoc {
			s.heredoc = ""
		}
		return nil, true
	}
	for at := from; at < end; {
		rest := s.src[at:end]
		if s.comment {
			i := strings.Index(rest, "*/")
			if i < 0 {
				break
			}
			s.comment, at = false, at+i+2
			continue
		}
		if strings.HasPrefix(rest, "/*") {
			s.comment, at = true, at+2
			continue
		}
		if rest[0] == '#' || strings.HasPrefix(rest, "//") {
			break
		}
		if c := rest[0]; c == ' ' || c == '\t' || c == '\r' {
			at++
			continue
		}
		p := scanPiece(rest)
		p.start, p.end = at, at+len(p.text)
		at = p.end
		if p.kind == plainWord && strings.HasPrefix(p.text, "<<") {
			s.heredoc = strings.TrimLeft(p.text, "<-")
		}
		pieces = append(pieces, p)
	}
	return pieces, true
}

// scanPiece returns the first piece of the rest of a line, which is not empty.
func scanPiece(rest string) piece {
	if strings.IndexByte("={}[](),;", rest[0]) >= 0 {
		return piece{kind: mark, text: rest[:1]}
	}
	if rest[0] == '"' {
		if n := quotedLength(rest); n > 0 {
			return piece{kind: quoted, text: rest[:n]}
		}
		return piece{kind: halfOpen, text: strings.TrimRight(rest, " \t\r")}
	}
	if c, n := utf8.DecodeRuneInString(rest); strings.ContainsRune("'“”„‟‘’‚‛«»", c) {
		if i := strings.IndexAny(rest[n:], "\"'“”„‟‘’‚‛«»"); i >= 0 {
			_, m := utf8.DecodeRuneInString(rest[n+i:])
			return piece{kind: foreignly, text: rest[:n+i+m]}
		}
		return piece{kind: foreignly, text: rest}
	}
	end := strings.IndexAny(rest, " \t\r\"={}[](),;#“”")
	if end < 0 {
		end = len(rest)
	}
	return piece{kind: plainWord, text: rest[:end]}
}

// quotedLength returns the length of the string in double quotes that s begins with, or 0 if it is not closed.
func quotedLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			return i + 1
		case strings.HasPrefix(s[i:], "${") && !strings.HasPrefix(s[i-1:], "$$"):
			depth := 0
			for ; i < len(s); i++ {
				if s[i] == '{' {
					depth++
				} else if s[i] == '}' {
					if depth--; depth == 0 {
						break
					}
				} else if s[i] == '"' {
					n := quotedLength(s[i:])
					if n == 0 {
						return 0
					}
					i += n - 1
				}
			}
		}
	}
	return 0
}
