package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// encoded rejects a source that is not UTF-8 at the first invalid byte; errors of the parser would not help.
func (r *reader) encoded(s Source) bool {
	for i := 0; i < len(s.Text); {
		c, n := utf8.DecodeRune(s.Text[i:])
		if c == utf8.RuneError && n == 1 {
			line := 1 + bytes.Count(s.Text[:i], []byte("\n"))
			r.add(Error, hcl.Range{Filename: s.Name, Start: hcl.Pos{Line: line, Byte: i}, End: hcl.Pos{Line: line, Byte: i + 1}}, "a file that is not UTF-8", "Save it as UTF-8.")
			return false
		}
		i += n
	}
	return true
}

// otherFormat names the format of a source that is another kind of configuration, or returns "".
func (e *explainer) otherFormat(first int) string {
	raw := e.raw(first)
	next := ""
	var then []piece
	for i := first + 1; i < len(e.lines) && next == ""; i++ {
		next, then = e.raw(i), e.lines[i]
	}
	pieces := e.lines[first]
	switch {
	case pieces[0].is("{"):
		if pieces = append(pieces[1:len(pieces):len(pieces)], then...); len(pieces) > 0 && (pieces[0].kind == quoted || pieces[0].is("}")) {
			return "JSON"
		}
	case strings.HasPrefix(raw, "[") && strings.HasSuffix(raw, "]"):
		return "TOML"
	case strings.HasPrefix(raw, "<"):
		return "XML or Apache's language"
	case raw == "---", strings.HasSuffix(raw, ":") && len(pieces) == 1 && !e.language().has(raw[:len(raw)-1]) && (strings.Contains(next, ":") || strings.HasPrefix(next, "-")):
		return "YAML"
	}
	return ""
}

// raw returns a line of the source without masks. It must not be shown.
func (e *explainer) raw(i int) string {
	l := e.linesOf(e.name)[i]
	return strings.TrimSpace(string(e.sources[e.name][l.from:l.to]))
}

// has reports whether any block or attribute has that name.
func (v *vocabulary) has(name string) bool {
	for _, sets := range []map[string][]string{v.attributes, v.blocks} {
		for _, names := range sets {
			for _, n := range names {
				if n == name {
					return true
				}
			}
		}
	}
	return false
}

// oddSpaces look like a space, or are invisible, and are found in text copied from web pages.
const oddSpaces = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"

// oddSpace reports the first such character between the words of a line.
func (e *explainer) oddSpace(i int, pieces []piece) bool {
	for _, p := range pieces {
		if p.kind != plainWord {
			continue
		}
		text := string(e.sources[e.name][p.start:p.end])
		at := strings.IndexAny(text, oddSpaces)
		if at < 0 {
			continue
		}
		c, n := utf8.DecodeRuneInString(text[at:])
		if e.first == 0 {
			e.first = i + 1
		}
		e.report(i, piece{start: p.start + at, end: p.start + at + n}, fmt.Sprintf("a special space character (U+%04X)", c),
			"Replace it with a normal space, or remove it; text copied from a web page may contain such characters.")
		return true
	}
	return false
}
