package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds on a source. The HCL parser recurses, and a stack that overflows
// cannot be recovered from.
const (
	maxSource    = 4 << 20 // bytes
	maxNesting   = 200     // open brackets, braces, parentheses and templates
	maxOperators = 500     // of one expression, as in "!!!!x" or "1 + 1 + 1"
	maxLines     = 4000    // of one string; the parser's time for them is quadratic
)

// reader holds what all blocks share while a configuration is read.
type reader struct {
	options
	sources  map[string][]byte
	order    map[string]int
	contexts map[string]*hcl.EvalContext // the functions, by file
	found    Diagnostics
	more     Diagnostics  // stands for those beyond maxFound
	uses     []use        // of pools, to check when all pools are known
	streams  []use        // of pools, by routes that do not say what they buffer
	asked    []use        // pools of forward_auth
	calls    []use        // pools of routes that retry calls by gRPC
	caches   []hcl.Range  // cache blocks, to check when the memory is known
	served   []servedLeaf // to check when all sites are known
	acme     map[*ACME]hcl.Range
	learn    *vocabulary
	reading  string          // the attribute that is evaluated
	whole    map[string]bool // sources that parse
	// misplaced are the values of attributes that their block does not have, in sources that parse. They may be
	// secrets, even if another block has an attribute of that name which may be shown.
	misplaced map[string][]hcl.Range
	lines     map[string][]sourceLine // of sources that a diagnostic is about
}

// use is a position where a pool is named.
type use struct {
	name string
	at   hcl.Range
}

func newReader(sources []Source) *reader {
	r := &reader{
		sources:   make(map[string][]byte),
		order:     make(map[string]int),
		contexts:  make(map[string]*hcl.EvalContext),
		whole:     make(map[string]bool),
		misplaced: make(map[string][]hcl.Range),
		lines:     make(map[string][]sourceLine),
		acme:      make(map[*ACME]hcl.Range),
	}
	for i, s := range sources {
		r.sources[s.Name] = s.Text
		r.order[s.Name] = i
		r.contexts[s.Name] = functions(filepath.Dir(s.Name))
	}
	return r
}

// root parses the sources into one body. It returns false if the syntax is broken, since what a parser recovers from
// the rest would cause misleading diagnostics.
func (r *reader) root(sources []Source) (*block, bool) {
	root := &block{reader: r, attributes: make(map[string]*hclsyntax.Attribute)}
	if len(sources) > 0 {
		root.at.Filename = sources[0].Name
	}
	whole := true
	for _, s := range sources {
		if !r.encoded(s) || !r.bounded(s) {
			whole = false
			continue
		}
		file, diags := hclsyntax.ParseConfig(s.Text, s.Name, hcl.InitialPos)
		if diags.HasErrors() {
			whole = false
			first := r.explain(s)
			var last *hcl.Diagnostic
			for _, d := range diags {
				if (first == 0 || d.Subject != nil && d.Subject.Start.Line < first) && !repeats(d, last) {
					r.adoptSyntax(d)
					last = d
				}
			}
			continue
		}
		r.whole[s.Name] = true
		if r.learn == nil {
			r.misplaced[s.Name] = misplacedValues(r.language(), file.Body.(*hclsyntax.Body), "", nil)
		}
		for _, d := range diags {
			r.adopt(d)
		}
		root.join(file.Body.(*hclsyntax.Body))
	}
	return root, whole
}

// repeats reports whether the parser repeats the last diagnostic for the same line, perhaps for each character.
func repeats(d, last *hcl.Diagnostic) bool {
	return last != nil && d.Summary == last.Summary && d.Subject != nil && last.Subject != nil && d.Subject.Start.Line == last.Subject.Start.Line
}

// bounded rejects a source that would exhaust the parser.
func (r *reader) bounded(s Source) bool {
	at := hcl.Range{Filename: s.Name}
	if len(s.Text) > maxSource {
		r.fail(at, "the file is too large for a configuration",
			fmt.Sprintf("Keep each file under %d MiB: put the parts in a directory of *.hcl files.", maxSource>>20))
		return false
	}
	tokens, _ := hclsyntax.LexConfig(s.Text, s.Name, hcl.InitialPos) // the parser reports errors
	var depth, inline, operators, lines int
	for _, t := range tokens {
		if t.Type == hclsyntax.TokenQuotedLit || t.Type == hclsyntax.TokenStringLit {
			if lines++; lines > maxLines {
				r.fail(t.Range, fmt.Sprintf("the string has more than %d lines, or as many dollar and percent signs", maxLines), "Put it in a file, and write: file(\"path\")")
				return false
			}
		} else {
			lines = 0
		}
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
			if inline <= 0 { // in parentheses an expression continues after the end of the line
				operators = 0
			}
		case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit, hclsyntax.TokenEOF:
		default:
			operators++
		}
		if depth > maxNesting || operators > maxOperators {
			r.fail(t.Range, "the expression is nested too deeply", "Write a simple value: a string, a number or a list.")
			return false
		}
	}
	return true
}

// adoptSyntax adopts an error of the parser.
func (r *reader) adoptSyntax(d *hcl.Diagnostic) {
	var at hcl.Range
	if d.Subject != nil {
		at = *d.Subject
	}
	summary, remedy := plainly(d)
	r.add(severityOf(d), at, summary, remedy)
}

func severityOf(d *hcl.Diagnostic) Severity {
	if d.Severity == hcl.DiagWarning {
		return Warning
	}
	return Error
}

// adopt adopts a diagnostic of the HCL library.
func (r *reader) adopt(d *hcl.Diagnostic) {
	var at hcl.Range
	if d.Subject != nil {
		at = *d.Subject
	}
	if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
		if err, ok := call.FunctionCallError().(*callError); ok {
			if call, ok := d.Expression.(*hclsyntax.FunctionCallExpr); ok {
				at = call.Range()
				err = err.withoutArgument(slices.ContainsFunc(call.Args, func(e hclsyntax.Expression) bool { return r.withheld(e.Range()) }))
			}
			r.add(Error, at, err.summary, err.remedy)
			return
		}
	}
	if e, ok := d.Expression.(*hclsyntax.ScopeTraversalExpr); ok {
		r.unquotedWord(e.Range())
		return
	}
	r.report(severityOf(d), at, strings.TrimSuffix(d.Summary, "."), d.Detail)
}

// unquotedWord reports an unquoted word, which HCL parses as a variable. There are no variables.
func (r *reader) unquotedWord(at hcl.Range) {
	word := r.text(at)
	flag := switches[strings.ToLower(word)]
	if lower := strings.ToLower(word); lower == "true" || lower == "false" {
		flag = lower
	}
	src := r.sources[at.Filename]
	switch {
	case strings.HasSuffix(string(src[:min(at.Start.Byte, len(src))]), "${"):
		r.fail(at, fmt.Sprintf("%s is not a value", word), fmt.Sprintf("There are only environment variables: ${env(%q)}. For the literal characters write $${", word))
	case flag != "" && r.language().flags[r.reading]:
		r.fail(at, fmt.Sprintf("%s is neither true nor false", word), fmt.Sprintf("Write: %s = %s", r.reading, flag))
	default:
		r.fail(at, fmt.Sprintf("%s is not a value", word), fmt.Sprintf("There are no variables. Write a string in quotes: \"%s\"", word))
	}
}

// fail reports an error, with what to write instead.
func (r *reader) fail(at hcl.Range, summary, remedy string) { r.report(Error, at, summary, remedy) }

// warn reports a mistake that does not prevent running.
func (r *reader) warn(at hcl.Range, summary, remedy string) { r.report(Warning, at, summary, remedy) }

// maxFound bounds the diagnostics: more would take time and memory, and would not be read.
const maxFound = 1000

// report adds a diagnostic. It hides values in the message if the text at its place is secret, or its value comes
// from outside the source.
func (r *reader) report(s Severity, at hcl.Range, summary, remedy string) {
	if r.learn == nil && r.withheld(at) {
		summary, remedy = withoutValues(summary), withoutValues(remedy)
	}
	r.add(s, at, summary, remedy)
}

// add is report for messages without values.
func (r *reader) add(s Severity, at hcl.Range, summary, remedy string) {
	switch {
	case r.learn != nil: // diagnostics are not needed, and masks need the vocabulary that is being learned
		return
	case len(r.found) >= maxFound && s == Error && !r.more.HasErrors() || len(r.found) == maxFound && r.more == nil:
		r.more = Diagnostics{{Severity: s, Summary: fmt.Sprintf("there are more than the %d diagnostics above", maxFound), Detail: "Most have one cause. Start with the first."}}
		return
	case len(r.found) >= maxFound:
		return
	}
	d := Diagnostic{Severity: s, Summary: printable(withoutCredentials(summary)), Detail: printable(withoutCredentials(remedy)), Pos: r.pos(at)}
	d.Source, d.start, d.Width = r.excerpt(at)
	r.found = append(r.found, d)
}

// diagnostics returns all diagnostics, each once, in the order of the sources.
func (r *reader) diagnostics() Diagnostics {
	slices.SortStableFunc(r.found, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(r.order[a.Pos.File], r.order[b.Pos.File]),
			// Diagnostics of a whole file come last.
			cmp.Compare(uint(a.Pos.Line)-1, uint(b.Pos.Line)-1),
			cmp.Compare(a.Pos.Column, b.Pos.Column),
		)
	})
	return append(slices.Compact(r.found), r.more...)
}
