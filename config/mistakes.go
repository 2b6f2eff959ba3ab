package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// explain reports common mistakes in a source that does not parse, each with the corrected line. It returns the
// number of the first such line, or 0; errors of the parser after that are mostly consequences.
func (r *reader) explain(s Source) (first int) {
	e := explainer{reader: r, name: s.Name}
	for _, l := range r.linesOf(s.Name) {
		e.lines = append(e.lines, l.pieces)
	}
	if i := slices.IndexFunc(e.lines, func(l []piece) bool { return len(l) > 0 }); i >= 0 {
		if format := e.otherFormat(i); format != "" {
			e.report(i, e.lines[i][0], "a configuration in "+format,
				"Write it in lb's language: listen \":8080\" {}\n  \"lb demo\" prints a complete one to copy from.")
			return i + 1
		}
	}
	e.foreign = dialectOf(e.lines)
	before := len(r.found)
	for i := range e.lines {
		if len(e.lines[i]) > 0 && !e.lost && len(r.found)-before < maxMistakes {
			e.line(i)
		}
	}
	return e.first
}

// maxMistakes bounds the mistakes that are reported of one source, since more are mostly the same one.
const maxMistakes = 50

// explainer reads a source line by line and keeps track of the blocks.
type explainer struct {
	*reader
	name      string
	lines     [][]piece
	foreign   *dialect // the language of other servers that the source seems to have
	within    []string
	openValue int
	nextBrace bool // announced by the line before
	lost      bool // the nesting of braces is unknown
	first     int
}

// mistake reports a mistake at a piece of a line, with the lines to write instead.
func (e *explainer) mistake(i int, at piece, summary string, instead []string) {
	if e.first == 0 {
		e.first = i + 1
	}
	detail := "Write: " + instead[0]
	if len(instead) > 1 {
		detail = "Write:\n    " + strings.Join(instead, "\n    ")
	}
	e.report(i, at, summary, detail)
}

// report adds a diagnostic. It quotes only pieces, whose secrets are hidden already.
func (e *explainer) report(i int, at piece, summary, remedy string) {
	e.add(Error, hcl.Range{Filename: e.name, Start: hcl.Pos{Line: i + 1, Byte: at.start}, End: hcl.Pos{Line: i + 1, Byte: at.end}}, summary, remedy)
}

func (e *explainer) line(i int) {
	pieces := e.lines[i]
	if e.oddSpace(i, pieces) {
		e.nesting(pieces)
		return
	}
	if e.openValue > 0 {
		e.insideValue(i, pieces)
		return
	}
	for n := 0; len(pieces) > 0 && pieces[0].is("}"); n++ {
		if len(e.within) == 0 {
			e.lost = true
			if e.first == 0 {
				e.first = i + 1
				e.report(i, pieces[0], "an extra closing brace", "Remove it, or check whether a block above was closed too early.")
			}
			return
		}
		e.within, pieces = e.within[:len(e.within)-1], pieces[1:]
	}
	if e.nextBrace && pieces != nil && pieces[0].is("{") {
		pieces = pieces[1:] // its block was opened on the line before
	}
	e.nextBrace = false
	if len(pieces) == 0 {
		return
	}
	if e.foreign != nil {
		if e.pasted(i, pieces) {
			e.nesting(pieces)
			return
		}
	}
	fix := repairer{words: e.language(), pieces: pieces, within: e.within, nextBrace: e.nextLineOpens(i)}
	list := fix.statements()
	if !fix.failed && !fix.end() && fix.flaw == nil && len(list) > 0 {
		fix.note(fix.peek(0), "a closing brace after an attribute")
	}
	if fix.failed {
		e.nesting(pieces)
		return
	}
	if fix.flaw != nil {
		instead := lines(list, "")
		if len(instead) == 0 {
			e.nesting(pieces)
			return
		}
		for range closing(fix.pieces[fix.at:]) {
			instead = append(instead, "}")
		}
		e.mistake(i, fix.flaw.at, fix.flaw.summary, instead)
	}
	e.openValue = fix.openValue
	for open := list; len(open) > 0 && open[len(open)-1].open; open = open[len(open)-1].body {
		e.within = append(e.within, open[len(open)-1].name)
		e.nextBrace = fix.nextBrace && len(open[len(open)-1].body) == 0
	}
	for range min(len(e.within), closing(fix.pieces[fix.at:])) {
		e.within = e.within[:len(e.within)-1]
	}
}

// pasted reports each directive of another language on a line.
func (e *explainer) pasted(i int, pieces []piece) (found bool) {
	for from := 0; from < len(pieces); {
		to := from + 1
		for to < len(pieces) && !pieces[to-1].is("{") && !pieces[to-1].is(";") {
			to++
		}
		if instead, ok := e.foreign.translate(pieces[from:to]); ok {
			found = true
			if e.first == 0 {
				e.first = i + 1
			}
			at := pieces[from]
			e.report(i, at, fmt.Sprintf("%s is %s's language", at.text, e.foreign.name), instead)
		}
		from = to
	}
	return found
}

// closing counts the closing braces at the beginning.
func closing(pieces []piece) int {
	for n, p := range pieces {
		if !p.is("}") {
			return n
		}
	}
	return len(pieces)
}

func (e *explainer) nextLineOpens(i int) bool {
	for _, next := range e.lines[i+1:] {
		if len(next) > 0 {
			return next[0].is("{")
		}
	}
	return false
}

// nesting follows the braces of a line that is not understood.
func (e *explainer) nesting(pieces []piece) {
	for _, p := range pieces {
		switch {
		case p.is("{"):
			e.within = append(e.within, "")
		case p.is("}") && len(e.within) > 0:
			e.within = e.within[:len(e.within)-1]
		}
	}
}

// insideValue examines a line of a list or a map that began on an earlier line.
func (e *explainer) insideValue(i int, pieces []piece) {
	for k, p := range pieces {
		switch {
		case p.is("[") || p.is("{") || p.is("("):
			e.openValue++
		case p.is("]") || p.is("}") || p.is(")"):
			e.openValue--
		}
		key := k+1 < len(pieces) && (pieces[k+1].is("=") || pieces[k+1].is("("))
		word := p.kind == plainWord && !key && !isName(p.text) && !isNumber(p) && !isOperator(p.text) && !strings.HasSuffix(p.text, ":")
		if p.kind == foreignly || word {
			summary := "a string without quotes"
			if p.kind == foreignly {
				summary = foreignQuotes
			}
			e.mistake(i, p, summary, []string{`"` + strings.TrimRight(p.unquoted(), ",") + `"`})
			return
		}
		if e.openValue <= 0 {
			e.openValue = 0
			return
		}
	}
}
