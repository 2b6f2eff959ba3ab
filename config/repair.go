package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// flaw is a deviation of a line from the language, the first one on it.
type flaw struct {
	at      piece
	summary string
	crowded bool // a one-line block has too much in it
}

// meant is an attribute or a block as it was probably meant.
type meant struct {
	name   string
	labels []string
	value  string // of an attribute, as it should be written
	block  bool
	open   bool // a block whose closing brace is on another line
	body   []meant
}

// repairer reads one line leniently, with the habits of other languages, and records the first flaw. It fails if it
// cannot determine what was meant.
type repairer struct {
	words     *vocabulary
	pieces    []piece
	at        int
	within    []string // the kinds of the enclosing blocks, the innermost last
	depth     int      // of blocks that began on this line
	nextBrace bool     // the next line begins with an opening brace
	openValue int      // how many brackets of a value are open at the end of the line
	flaw      *flaw
	failed    bool
}

func (r *repairer) end() bool { return r.at >= len(r.pieces) }

// peek returns a piece ahead, an empty one after the end.
func (r *repairer) peek(n int) piece {
	if r.at+n < len(r.pieces) {
		return r.pieces[r.at+n]
	}
	return piece{kind: mark}
}

func (r *repairer) note(at piece, summary string) {
	if r.flaw == nil {
		r.flaw = &flaw{at: at, summary: summary}
	}
}

// statements reads up to a closing brace, which it leaves, or to the end.
func (r *repairer) statements() []meant {
	var list []meant
	var last piece
	for !r.end() && !r.failed && r.openValue == 0 {
		p := r.peek(0)
		switch {
		case p.is("}"):
			return list
		case p.is(";"):
			r.note(p, "a semicolon")
			r.at++
		case p.is(","):
			if r.depth == 0 {
				r.note(p, "a comma between attributes")
			}
			r.at++
		default:
			if len(list) > 0 && r.depth == 0 && r.flaw == nil {
				if before := list[len(list)-1]; before.block {
					r.note(p, "something follows a block on its line")
				} else {
					r.note(p, "two attributes on one line")
				}
			}
			last = p
			list = append(list, r.statement())
			if r.at < len(r.pieces) && r.pieces[r.at].start == last.start {
				r.failed = true // nothing was consumed
			}
		}
	}
	return list
}

// statement reads one attribute or block.
func (r *repairer) statement() meant {
	head := r.peek(0)
	name := strings.TrimSuffix(head.unquoted(), ":")
	if !isName(name) {
		r.failed = true
		return meant{}
	}
	s := meant{name: name}
	r.at++
	switch {
	case head.kind != plainWord:
		r.note(head, "a name in quotes")
	case strings.HasSuffix(head.text, ":"):
		if r.isBlock(name) && !r.isAttribute(name) {
			r.note(head, "a colon after the name of a block")
			if r.end() {
				s.block, s.open = true, true
				return s
			}
			break
		}
		r.note(head, "a colon instead of an equals sign")
		s.value = r.value(name)
		return s
	}
	if r.peek(0).is("=") {
		equals := r.peek(0)
		r.at++
		if !r.isBlock(name) || r.isAttribute(name) && !r.peek(0).is("{") {
			s.value = r.value(name)
			return s
		}
		r.note(equals, "an equals sign before the brace of a block")
	}
	labels := r.labels(&s)
	if r.peek(0).is("=") && r.peek(1).is("{") {
		r.note(r.peek(0), "an equals sign before the brace of a block")
		r.at++
	}
	switch {
	case r.peek(0).is("{"):
		r.body(&s, head, labels)
	case r.isAttribute(name) && (len(labels) > 0 || r.peek(0).is("[")):
		r.note(head, "an attribute without an equals sign")
		r.at -= len(labels)
		s.labels, s.value = nil, r.value(name)
	case r.isBlock(name) && r.nextBrace && r.end():
		r.note(head, "the opening brace is on the next line")
		s.block, s.open = true, true
	case r.isBlock(name) && len(labels) > 0:
		r.note(head, "a block without braces")
		s.block = true
	default:
		r.failed = true
	}
	return s
}

// labels reads a block's labels, and what may be the value of an attribute without an equals sign.
func (r *repairer) labels(s *meant) []piece {
	var labels []piece
	for p := r.peek(0); p.kind != mark; p = r.peek(0) {
		if len(labels) > 0 && p.kind == plainWord && (r.peek(1).is("=") || r.isBlock(p.text)) {
			break // the next statement
		}
		if p.kind != quoted && r.isBlock(s.name) && !r.isAttribute(s.name) {
			r.noteLabel(p)
		}
		text := p.text
		if p.kind != quoted {
			// The brace became part of the string since its quote is missing.
			text = strings.TrimRight(p.unquoted(), " {}")
			if s.name == "listen" && isDigits(text) {
				text = ":" + text
			}
			text = `"` + text + `"`
			if p.kind == halfOpen && strings.ContainsAny(p.text, "{}") {
				r.reinsert(p)
			}
		}
		labels = append(labels, p)
		s.labels = append(s.labels, text)
		r.at++
	}
	return labels
}

func (r *repairer) noteLabel(p piece) {
	switch p.kind {
	case halfOpen:
		r.note(p, "a string without its closing quote")
	case foreignly:
		r.note(p, foreignQuotes)
	default:
		r.note(p, "a label without quotes")
	}
}

// reinsert restores the braces at the end of a string that is not closed.
func (r *repairer) reinsert(p piece) {
	rest := append([]piece{}, r.pieces[r.at+1:]...)
	r.pieces = r.pieces[:r.at+1]
	for i := strings.IndexAny(p.text, "{}"); i < len(p.text); i++ {
		if c := p.text[i]; c == '{' || c == '}' {
			r.pieces = append(r.pieces, piece{kind: mark, text: p.text[i : i+1], start: p.start + i, end: p.start + i + 1})
		}
	}
	r.pieces = append(r.pieces, rest...)
}

// body reads the text between braces on the line.
func (r *repairer) body(s *meant, head piece, labels []piece) {
	s.block = true
	r.at++
	if r.depth++; r.depth > maxNesting {
		r.failed = true
		return
	}
	before := r.flaw
	r.within = append(r.within, s.name)
	s.body = r.statements()
	r.within = r.within[:len(r.within)-1]
	r.depth--
	if r.peek(0).is("}") {
		r.at++
	} else {
		s.open = true
	}
	if before != nil || r.flaw != nil && !r.flaw.crowded {
		return
	}
	nested := len(s.body) > 0 && s.body[0].block
	switch {
	case len(s.body) > 0 && s.open && (r.openValue == 0 || len(s.body) > 1):
		r.flaw = &flaw{head, "a block begins on this line and does not end on it", true}
	case nested && len(s.body) == 1:
		r.flaw = &flaw{head, "a block in a block on one line", true}
	case len(s.body) > 1:
		r.flaw = &flaw{head, "several things in a block on one line", true}
	}
}

const foreignQuotes = "quotes other than \""

// value reads an expression, up to what looks like the next statement.
func (r *repairer) value(name string) string {
	first := r.peek(0)
	if first.kind == mark && first.text != "[" && first.text != "{" && first.text != "(" {
		r.note(r.pieces[r.at-1], "an attribute without a value")
		return `"…"`
	}
	if first.kind == mark {
		return r.balanced(name)
	}
	r.at++
	if first.kind == plainWord && r.peek(0).is("(") {
		return first.text + r.balanced(name)
	}
	if first.kind == plainWord && r.openingQuoteMissing(first) {
		r.at++
		return `"` + first.text + `"`
	}
	if first.kind == halfOpen && strings.HasSuffix(first.text, "}") && r.depth > 0 {
		r.at--
		r.reinsert(first)
		r.at++
		first.text = strings.TrimRight(first.text, " }")
	}
	words := []string{first.unquoted()}
	for p := r.peek(0); first.kind == plainWord && p.kind == plainWord && !r.peek(1).is("=") && !r.peek(1).is("{") && !isOperator(p.text) && !isOperator(words[0]); p = r.peek(0) {
		words = append(words, p.text)
		r.at++
	}
	if len(words) > 1 && numeric.MatchString(words[0]) {
		first.text = strings.Join(words, "")
	} else if len(words) > 1 {
		first.text = strings.Join(words, " ")
	}
	first.end = r.pieces[r.at-1].end
	return r.scalar(name, first)
}

// openingQuoteMissing reports whether the word has only a closing quote.
func (r *repairer) openingQuoteMissing(word piece) bool {
	if p := r.peek(0); p.kind == halfOpen && p.start == word.end {
		r.note(word, "a string without its opening quote")
		return true
	}
	return false
}

// scalar returns a value as it should be written.
func (r *repairer) scalar(name string, p piece) string {
	switch {
	case p.kind == quoted:
		return p.text
	case p.kind == halfOpen:
		r.note(p, "a string without its closing quote")
	case p.kind == foreignly:
		r.note(p, foreignQuotes)
	case p.text == "true" || p.text == "false" || p.text == "null" || isNumber(p) || isOperator(p.text):
		return p.text
	case r.isFlag(name) && switches[p.text] != "":
		r.note(p, "neither true nor false")
		return switches[p.text]
	case p.kind == plainWord && strings.HasPrefix(p.text, "$") && isName(strings.Trim(p.text, "${}")):
		r.note(p, "a shell variable")
		return fmt.Sprintf("env(%q)", strings.Trim(p.text, "${}"))
	case strings.HasSuffix(p.text, "%") && numeric.MatchString(p.text[:len(p.text)-1]):
		r.note(p, "a share in percent")
		if n, err := strconv.ParseFloat(p.text[:len(p.text)-1], 64); err == nil {
			return strconv.FormatFloat(n/100, 'g', 6, 64)
		}
	case r.words.sizes[name] && p.kind == plainWord && suggestSize(p.text) != "":
		r.note(p, "a size without quotes")
		return `"` + suggestSize(p.text) + `"`
	case durations.MatchString(p.text):
		r.note(p, "a duration without quotes")
	case sizes.MatchString(p.text):
		r.note(p, "a size without quotes")
	default:
		r.note(p, "a string without quotes")
	}
	return `"` + p.unquoted() + `"`
}

// balanced returns a list, a map or the arguments of a call, as it should be written.
func (r *repairer) balanced(name string) string {
	var out strings.Builder
	depth := 0
	for !r.end() {
		p := r.peek(0)
		r.at++
		next := r.peek(0)
		switch {
		case p.kind == mark:
			out.WriteString(p.text)
			switch p.text {
			case "[", "{", "(":
				depth++
			case "]", "}", ")":
				depth--
			}
		case next.is("(") || next.is("=") || strings.HasSuffix(p.text, ":"):
			out.WriteString(p.text)
		case p.kind == plainWord && r.openingQuoteMissing(p):
			r.at++
			out.WriteString(`"` + p.text + `"`)
		default:
			out.WriteString(r.scalar(name, p))
		}
		if depth == 0 {
			return out.String()
		}
		if next = r.peek(0); p.is(",") || p.is("=") || next.is("=") || (p.is("{") || next.is("}")) || p.kind != mark && next.kind != mark {
			out.WriteByte(' ')
		}
	}
	r.openValue = depth
	return out.String()
}

// switches are words of other languages for true and false.
var switches = map[string]string{"on": "true", "yes": "true", "enabled": "true", "off": "false", "no": "false", "disabled": "false"}

var (
	numeric   = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	durations = regexp.MustCompile(`^[0-9.]+(ms|s|sec|seconds|m|min|minutes|h|hours|d|days)$`)
	sizes     = regexp.MustCompile(`^[0-9.]+([kKMGT]i?)?[bB]?$|^[0-9.]+[kKMGT]$`)
	nameForm  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
)

func isName(s string) bool { return nameForm.MatchString(s) }

func isOperator(s string) bool { return s != "" && strings.Trim(s, "+-*/%<>!&|?:.") == "" }

// lines returns the statements in canonical style, in lines.
func lines(list []meant, indent string) []string {
	var out []string
	for _, s := range list {
		if !s.block {
			out = append(out, indent+s.name+" = "+s.value)
			continue
		}
		head := indent + strings.Join(append([]string{s.name}, s.labels...), " ") + " {"
		switch {
		case len(s.body) == 0 && s.open:
			out = append(out, head)
		case len(s.body) == 0:
			out = append(out, head+"}")
		case len(s.body) == 1 && !s.body[0].block && !s.open:
			out = append(out, head+" "+s.body[0].name+" = "+s.body[0].value+" }")
		default:
			out = append(append(out, head), lines(s.body, indent+"  ")...)
			if !s.open {
				out = append(out, indent+"}")
			}
		}
	}
	return out
}
