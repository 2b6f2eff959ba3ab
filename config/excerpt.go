package config

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// sourceLine is a line of a source, for diagnostics.
type sourceLine struct {
	from, to int // bytes in the source, without the line feed
	pieces   []piece
	shown    bool // it is text of a heredoc that may be shown
	looked   bool // masks holds the result of secrets, since many diagnostics may be about one line
	masks    []replacement
}

// linesOf returns the lines of a source with secrets masked.
func (r *reader) linesOf(name string) []sourceLine {
	if list, ok := r.lines[name]; ok {
		return list
	}
	scan := lineScanner{src: string(r.sources[name])}
	hide := newMasker(r.language(), r.whole[name])
	hide.misspelt = r.showMisspelt
	var list []sourceLine
	for {
		from, heredoc := scan.offset, scan.heredoc != ""
		pieces, ok := scan.line()
		if !ok {
			break
		}
		l := sourceLine{from: from, to: min(scan.offset-1, len(scan.src)), pieces: pieces}
		if heredoc {
			l.shown = hide.inHeredoc()
		} else {
			hide.line(pieces)
		}
		list = append(list, l)
	}
	for _, at := range r.misplaced[name] {
		hideWithin(list, at)
	}
	r.lines[name] = list
	return list
}

// lineAt returns the line of a source that has the byte, and whether there is one.
func (r *reader) lineAt(name string, offset int) (*sourceLine, bool) {
	list := r.linesOf(name)
	i := indexOf(list, offset)
	if i < 0 {
		return nil, false
	}
	return &list[i], true
}

func indexOf(list []sourceLine, offset int) int {
	i, exactly := slices.BinarySearchFunc(list, offset, func(l sourceLine, offset int) int { return cmp.Compare(l.from, offset) })
	if exactly {
		return i
	}
	return i - 1
}

// pos converts a place. HCL counts columns in grapheme clusters, editors and
// terminals in characters.
func (r *reader) pos(at hcl.Range) Pos {
	if at.Start.Line == 0 {
		return Pos{File: at.Filename}
	}
	src := r.sources[at.Filename]
	start := min(at.Start.Byte, len(src))
	line := bytes.LastIndexByte(src[:start], '\n') + 1
	return Pos{File: at.Filename, Line: at.Start.Line, Column: utf8.RuneCount(src[line:start]) + 1}
}

// text returns the source of a range within one line, without secrets.
func (r *reader) text(at hcl.Range) string {
	if r.withheld(at) {
		return "…"
	}
	src := r.sources[at.Filename]
	end := min(at.End.Byte, len(src))
	return string(src[min(at.Start.Byte, end):end])
}

// withheld reports whether the text at a place must not be shown, or its value is from outside the source. It
// returns false once there are maxFound diagnostics, since all entries of a computed list are at the same place.
func (r *reader) withheld(at hcl.Range) bool {
	return len(r.found) >= maxFound || r.masked(at) || r.computed(at)
}

// masked reports whether a place contains text that must not be shown.
func (r *reader) masked(at hcl.Range) bool {
	if at.Start.Line == 0 {
		return false
	}
	list := r.linesOf(at.Filename)
	end := max(at.End.Byte, at.Start.Byte+1)
	for i := max(0, indexOf(list, at.Start.Byte)); i < len(list) && list[i].from < end; i++ {
		pieces := list[i].pieces
		first, _ := slices.BinarySearchFunc(pieces, at.Start.Byte, func(p piece, offset int) int { return cmp.Compare(p.end, offset+1) })
		for _, p := range pieces[first:] {
			if p.start >= end {
				break
			}
			if p.hidden {
				return true
			}
		}
	}
	return false
}

// computed reports whether a value is the result of a function; the language has no variables.
func (r *reader) computed(at hcl.Range) bool {
	src := r.sources[at.Filename]
	end := min(at.End.Byte, len(src))
	text := src[min(at.Start.Byte, end):end]
	return (bytes.Contains(text, []byte("env")) || bytes.Contains(text, []byte("file"))) && callForm.Match(text)
}

var callForm = regexp.MustCompile(`(?s)\b(env|file)\b.*\(`)

// maxExcerpt is how many characters of a line are shown, and maxLooked how many bytes of it are examined.
const (
	maxExcerpt = 200
	maxLooked  = 4 << 10
)

// excerpt returns the line at the start of a range with its secrets masked, the column in it at which the range begins,
// and how many of its characters the range covers.
func (r *reader) excerpt(at hcl.Range) (shown string, column, width int) {
	if at.Start.Line == 0 {
		return "", 0, 1
	}
	src := r.sources[at.Filename]
	start := min(at.Start.Byte, len(src))
	l, ok := r.lineAt(at.Filename, start)
	if !ok || start-l.from > maxLooked {
		return "", 0, 1
	}
	to := l.from + len(bytes.TrimRight(src[l.from:min(l.to, l.from+maxLooked)], "\r"))
	start, end := min(start, to), min(max(start, at.End.Byte), to)
	var text []rune
	column, last := 0, 0
	show := func(from, to int, instead string) {
		before := len(text)
		if instead != "" {
			text = append(text, []rune(instead)...)
		} else {
			text = append(text, []rune(printable(string(src[from:to])))...)
		}
		in := func(offset int) int { // a column
			if instead != "" {
				return 0
			}
			return utf8.RuneCount(src[from:offset])
		}
		if column == 0 && start < to {
			column = before + in(max(start, from)) + 1
		}
		if end > from && instead != "" {
			last = len(text)
		} else if end > from {
			last = before + in(min(end, to))
		}
	}
	shownTo := l.from
	if !l.looked {
		l.looked, l.masks = true, l.secrets(src[l.from:to])
	}
	for _, s := range l.masks {
		if s.to <= shownTo {
			continue
		}
		if shownTo < s.from {
			show(shownTo, s.from, "")
		}
		show(max(shownTo, s.from), s.to, s.instead)
		shownTo = s.to
	}
	if shownTo < to {
		show(shownTo, to, "")
	}
	if column == 0 {
		column = len(text) + 1
	}
	if column > maxExcerpt {
		return "", 0, 1
	}
	return string(text[:min(len(text), maxExcerpt)]), column, max(1, last-column+1)
}

// replacement is a part of a source that is shown as something else.
type replacement struct {
	from, to int
	instead  string
}

// secrets returns the parts of a line that must not be shown, in order.
func (l *sourceLine) secrets(text []byte) []replacement {
	var list []replacement
	to := l.from + len(text)
	between := func(from, end int) { // blanks, a comment, or a heredoc's text
		gap := text[from-l.from : end-l.from]
		blank := len(gap) - len(bytes.TrimLeft(gap, " \t\r"))
		if blank == len(gap) || l.shown {
			return
		}
		instead := "…"
		if gap[blank] == '#' || gap[blank] == '/' {
			instead = "# …"
		}
		list = append(list, replacement{from + blank, end, instead})
	}
	at := l.from
	for _, p := range l.pieces {
		if p.start >= to {
			break
		}
		between(at, p.start)
		at = min(p.end, to)
		if p.hidden {
			list = append(list, replacement{p.start, at, p.text})
		}
	}
	between(at, to)
	for _, form := range credentials {
		for _, m := range form.FindAllSubmatchIndex(text, -1) {
			list = append(list, replacement{l.from + m[2], l.from + m[3], "…"})
		}
	}
	slices.SortStableFunc(list, func(a, b replacement) int { return cmp.Compare(a.from, b.from) })
	return list
}

// printable replaces characters that would control a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && c != '\n' && !unicode.IsPrint(c) {
			return '\uFFFD'
		}
		return c
	}, s)
}
