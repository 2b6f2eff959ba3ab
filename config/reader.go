package config

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds on a source. The HCL parser recurses, and a stack that overflows
// cannot be recovered from.
const (
	maxSource    = 4 << 20 // bytes
	maxNesting   = 200     // open brackets, braces, parentheses and templates
	maxOperators = 500     // of one expression, as in "!!!!x" or "1 + 1 + 1"
)

// reader holds what all blocks of a configuration have in common while it is read.
type reader struct {
	options
	sources  map[string][]byte
	order    map[string]int
	contexts map[string]*hcl.EvalContext // the functions, by file
	found    Diagnostics
	uses     []use        // of pools, checked when all pools are known
	streams  []use        // of pools, by routes that do not say what they buffer
	served   []servedLeaf // checked when all sites are known
	learn    *vocabulary
	reading  string // the attribute that is evaluated
}

// use is a place that names something.
type use struct {
	name string
	at   hcl.Range
}

func newReader(sources []Source) *reader {
	r := &reader{
		sources:  make(map[string][]byte),
		order:    make(map[string]int),
		contexts: make(map[string]*hcl.EvalContext),
	}
	for i, s := range sources {
		r.sources[s.Name] = s.Text
		r.order[s.Name] = i
		r.contexts[s.Name] = functions(filepath.Dir(s.Name))
	}
	return r
}

// root parses the sources into one body. It is false if the syntax is broken:
// what a parser salvages from the rest would give misleading diagnostics.
func (r *reader) root(sources []Source) (*block, bool) {
	root := &block{reader: r, attributes: make(map[string]*hclsyntax.Attribute)}
	if len(sources) > 0 {
		root.at.Filename = sources[0].Name
	}
	whole := true
	for _, s := range sources {
		if !r.bounded(s) {
			whole = false
			continue
		}
		file, diags := hclsyntax.ParseConfig(s.Text, s.Name, hcl.InitialPos)
		if diags.HasErrors() {
			whole = false
			first := r.explain(s)
			for _, d := range diags {
				if first == 0 || d.Subject != nil && d.Subject.Start.Line < first {
					r.adopt(plainly(d))
				}
			}
			continue
		}
		for _, d := range diags {
			r.adopt(d)
		}
		root.join(file.Body.(*hclsyntax.Body))
	}
	return root, whole
}

// bounded refuses a source that would exhaust the parser.
func (r *reader) bounded(s Source) bool {
	at := hcl.Range{Filename: s.Name}
	if len(s.Text) > maxSource {
		r.fail(at, "the file is too large for a configuration",
			fmt.Sprintf("Keep each file under %d MiB: put the parts into a directory of *.hcl files.", maxSource>>20))
		return false
	}
	tokens, _ := hclsyntax.LexConfig(s.Text, s.Name, hcl.InitialPos) // the parser reports what is wrong
	var depth, inline, operators int
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			depth--
		case hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth, inline, operators = depth+1, inline+1, operators+1
		case hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			depth, inline = depth-1, inline-1
		case hclsyntax.TokenComma:
			operators = 0
		case hclsyntax.TokenNewline, hclsyntax.TokenComment:
			if inline <= 0 { // in parentheses an expression goes on over the line's end
				operators = 0
			}
		case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit, hclsyntax.TokenEOF:
		default:
			operators++
		}
		if depth > maxNesting || operators > maxOperators {
			r.fail(t.Range, "the expression is nested too deeply", "Write the value plainly, as a string, a number or a list.")
			return false
		}
	}
	return true
}

// adopt takes over a diagnostic of the HCL library.
func (r *reader) adopt(d *hcl.Diagnostic) {
	var at hcl.Range
	if d.Subject != nil {
		at = *d.Subject
	}
	if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
		if err, ok := call.FunctionCallError().(*callError); ok {
			if call, ok := d.Expression.(*hclsyntax.FunctionCallExpr); ok {
				at = call.Range()
			}
			r.fail(at, err.summary, err.remedy)
			return
		}
	}
	if e, ok := d.Expression.(*hclsyntax.ScopeTraversalExpr); ok {
		r.unquotedWord(e.Range())
		return
	}
	severity := Error
	if d.Severity == hcl.DiagWarning {
		severity = Warning
	}
	r.report(severity, at, strings.TrimSuffix(d.Summary, "."), d.Detail)
}

// unquotedWord reports a word that the language takes for a variable. There are none.
func (r *reader) unquotedWord(at hcl.Range) {
	word := r.text(at)
	shown := word
	if language().secrets[r.reading] {
		shown = "…"
	}
	flag := switches[strings.ToLower(word)]
	if lower := strings.ToLower(word); lower == "true" || lower == "false" {
		flag = lower
	}
	src := r.sources[at.Filename]
	switch {
	case strings.HasSuffix(string(src[:min(at.Start.Byte, len(src))]), "${"):
		r.fail(at, fmt.Sprintf("%s is not a value", word), fmt.Sprintf("There are no variables but those of the environment: ${env(%q)}. For the characters themselves write $${", word))
	case flag != "" && language().flags[r.reading]:
		r.fail(at, fmt.Sprintf("%s is neither true nor false", word), fmt.Sprintf("Write: %s = %s", r.reading, flag))
	default:
		r.fail(at, fmt.Sprintf("%s is not a value", shown), fmt.Sprintf("There are no variables. Write a string in quotes: \"%s\"", shown))
	}
}

// fail reports an error, with what to write instead.
func (r *reader) fail(at hcl.Range, summary, remedy string) { r.report(Error, at, summary, remedy) }

// warn reports what can be run but is hardly meant.
func (r *reader) warn(at hcl.Range, summary, remedy string) { r.report(Warning, at, summary, remedy) }

func (r *reader) report(s Severity, at hcl.Range, summary, remedy string) {
	d := Diagnostic{Severity: s, Summary: printable(summary), Detail: printable(remedy), Pos: r.pos(at)}
	d.Source, d.Width = r.excerpt(at, d.Pos.Column)
	r.found = append(r.found, d)
}

// diagnostics returns everything reported, each once, in the order of the sources.
func (r *reader) diagnostics() Diagnostics {
	slices.SortStableFunc(r.found, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(r.order[a.Pos.File], r.order[b.Pos.File]),
			// What concerns a whole file comes after what has a place in it.
			cmp.Compare(uint(a.Pos.Line)-1, uint(b.Pos.Line)-1),
			cmp.Compare(a.Pos.Column, b.Pos.Column),
		)
	})
	return slices.Compact(r.found)
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

// text returns the source between the ends of a range.
func (r *reader) text(at hcl.Range) string {
	src := r.sources[at.Filename]
	end := min(at.End.Byte, len(src))
	return string(src[min(at.Start.Byte, end):end])
}

// maxExcerpt is how much of a line is shown, in characters.
const maxExcerpt = 200

// excerpt returns the line at the start of a range and how many of its
// characters the range covers.
func (r *reader) excerpt(at hcl.Range, column int) (line string, width int) {
	src := r.sources[at.Filename]
	if at.Start.Line == 0 || column > maxExcerpt {
		return "", 1
	}
	start := min(at.Start.Byte, len(src))
	from := bytes.LastIndexByte(src[:start], '\n') + 1
	to := len(src)
	if i := bytes.IndexByte(src[start:], '\n'); i >= 0 {
		to = start + i
	}
	width = utf8.RuneCount(src[start:max(start, min(at.End.Byte, to))])
	shown := []rune(printable(string(bytes.TrimRight(src[from:to], "\r"))))
	return string(shown[:min(len(shown), maxExcerpt)]), max(1, width)
}

// printable replaces what would steer a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && c != '\n' && !unicode.IsPrint(c) {
			return '\uFFFD'
		}
		return c
	}, s)
}
