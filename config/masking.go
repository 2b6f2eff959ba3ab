package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// masker marks the pieces of a source that diagnostics must not show, and replaces their text: values of secrets,
// values of unknown names, which may be misspelt secrets, and everything in unexpected places. It uses names alone
// and not the nesting of blocks, since it must also be right about sources with broken syntax. In doubt it hides.
type masker struct {
	words      *vocabulary
	attributes map[string]bool // the names of all
	blocks     map[string]bool
	whole      bool // the source parses
	misspelt   bool // values of misspelt harmless names are shown: see ShowMisspelt

	// The statement that a line is in.
	mode     maskMode
	name     string // its attribute, directive or block
	hidden   bool   // whether its value is hidden
	entry    bool   // whether the value of the current map entry is hidden
	doubtful bool   // quotes or separators do not match
	filled   bool   // there was a value since the last separator
	keyed    bool   // the name of an entry was read, and its value follows
	open     []string
	garbled  bool // the line has an unmatched quote
	unclosed bool // a quote on an earlier line was not closed, so this line may continue its string
	resumed  bool // the line continues a value of an earlier line
}

func newMasker(words *vocabulary, whole bool) *masker {
	m := &masker{words: words, attributes: make(map[string]bool), blocks: make(map[string]bool), whole: whole}
	for _, names := range m.words.attributes {
		for _, name := range names {
			m.attributes[name] = true
		}
	}
	for _, names := range m.words.blocks {
		for _, name := range names {
			m.blocks[name] = true
		}
	}
	return m
}

type maskMode uint8

const (
	maskHead  maskMode = iota // a name is expected
	maskWords                 // labels, or words after a name without an equals sign
	maskValue
)

// line marks the pieces of the next line.
func (m *masker) line(pieces []piece) {
	m.resumed = m.mode == maskValue && len(m.open) > 0
	if m.resumed {
		m.doubtful = !m.whole && m.open[0] == "(" // a quote ends with its line; no list is in parentheses
		if m.top() == "{" {
			m.filled, m.keyed, m.entry = false, false, false
		}
	} else {
		m.mode, m.open = maskHead, m.open[:0]
	}
	if m.unclosed && len(pieces) > 0 {
		m.unclosed = !pieces[0].is("}") && !m.known(nameOf(pieces[0]))
		if m.unclosed {
			for i := range pieces {
				pieces[i].hide()
			}
			return
		}
	}
	m.garbled = !m.whole && slices.ContainsFunc(pieces, func(p piece) bool { return p.kind == halfOpen })
	fresh := true // a statement can begin here
	for i := 0; i < len(pieces); i++ {
		switch m.mode {
		case maskHead:
			fresh = m.head(pieces, i, fresh)
		case maskWords:
			fresh = m.word(pieces, i)
		default:
			fresh = m.value(pieces, i)
		}
		if pieces[i].kind == halfOpen {
			m.unclosed = true
		}
	}
}

// head examines the piece that should be the name of an attribute or a block.
func (m *masker) head(pieces []piece, i int, fresh bool) bool {
	p := &pieces[i]
	if p.kind == mark {
		if p.is("=") { // of a missing name
			m.begin("", maskValue, true)
		}
		return !p.is("=")
	}
	name := nameOf(*p)
	known, equals, brace := m.known(name), named(pieces, i), i+1 < len(pieces) && pieces[i+1].is("{")
	foreignBlock := brace && p.kind == plainWord // Caddy's sites are addresses
	statement := isName(name) && fresh && (equals || i == 0 && len(pieces) > 1 && p.kind == plainWord)
	if !m.whole && i+1 < len(pieces) && pieces[i+1].start == p.end && (m.garbled || !pieces[i+1].is("=") || i+2 < len(pieces) && pieces[i+2].is("=")) {
		foreignBlock, statement = false, false // a part of something else
	}
	switch {
	case equals && i+2 < len(pieces) && isDirective(name) && !m.harmless(name) && strings.HasPrefix(pieces[i+2].text, "/"):
		m.begin(name, maskWords, false) // nginx: location = /path
	case equals:
		apart := m.whole || i == 0 || p.start > pieces[i-1].end // otherwise it may be the end of a name that contains a mark
		m.begin(name, maskValue, !m.harmless(name) || !apart)
	default:
		m.begin(name, maskWords, !known || m.words.secrets[name])
	}
	if !known && !foreignBlock && !statement {
		p.hide()
	}
	return false
}

func (m *masker) begin(name string, mode maskMode, hidden bool) {
	m.name, m.mode, m.hidden = name, mode, hidden
	m.entry, m.doubtful, m.filled, m.keyed, m.open = false, false, false, false, m.open[:0]
}

// word examines a piece after a name without an equals sign: a label, or a directive's argument.
func (m *masker) word(pieces []piece, i int) bool {
	p := &pieces[i]
	switch {
	case p.is("{") || p.is(";") || p.is("}"):
		m.mode = maskHead
		return true
	case p.is(","):
		if !isDirective(m.name) || m.attributes[m.name] || m.blocks[m.name] {
			m.mode = maskHead
			return true
		}
		return false
	case p.kind == mark:
		if p.is("=") && !(i+1 < len(pieces) && pieces[i+1].is("{")) {
			m.doubtful = m.doubtful || !isDirective(m.name) // "location = /x" is nginx's
		}
		return false
	}
	label := p.kind != plainWord && i+2 < len(pieces) && pieces[i+2].is("{") // of a block with an equals sign before its brace
	if named(pieces, i) && !label {
		known := m.known(m.name)
		m.head(pieces, i, false)
		m.hidden = m.hidden || !known // both may be one name that contains a blank
		return false
	}
	if m.filled && p.kind == plainWord && m.known(nameOf(*p)) && m.known(m.name) && !isDirective(m.name) {
		return m.head(pieces, i, false)
	}
	several := isDirective(m.name)
	if !m.whole && (touches(pieces, i) || m.filled && (!several || p.kind != plainWord)) {
		m.doubtful = true
	}
	if !several && !m.whole && !m.words.labelled[m.name] && !m.attributes[m.name] {
		m.doubtful = true // a block that has no label
	}
	secret := secretName(p.unquoted())
	if m.hidden || m.doubtful || m.holdsAssignment(*p) {
		p.hide()
	}
	m.doubtful = m.doubtful || secret && several
	m.filled = true
	return false
}

// value examines a piece of an attribute's value.
func (m *masker) value(pieces []piece, i int) bool {
	p := &pieces[i]
	if p.kind == mark {
		return m.valueMark(pieces, i)
	}
	if isOperator(p.text) || p.text == "true" || p.text == "false" || p.text == "null" {
		return false
	}
	name := nameOf(*p)
	isKey := named(pieces, i) && len(m.open) > 0
	switch top := m.top(); {
	case isKey && top == "{" && !m.keyed:
		m.entry = m.words.secrets[name] || secretName(name) || !isToken(name) || !m.whole && !m.harmless(name)
		if m.hidden || m.doubtful || m.filled || !isToken(name) {
			p.hide()
		}
		m.filled, m.keyed = false, true
		return false
	case isKey && top != "{" && (m.known(name) || !m.whole): // a list that was not closed
		return m.head(pieces, i, false)
	case len(m.open) == 0 && m.filled && p.kind == plainWord && m.known(name) && (named(pieces, i) || i+1 < len(pieces)):
		return m.head(pieces, i, false)
	}
	if !m.whole && (m.filled && i > 0 && !isUnit(pieces, i) && !isOperator(pieces[i-1].text) || touches(pieces, i)) {
		m.doubtful = true
	}
	call := i+1 < len(pieces) && pieces[i+1].is("(") && (p.text == "env" || p.text == "file")
	shown := m.isReference(pieces, i) || call && !m.doubtful
	if isNumber(*p) && !m.doubtful && !m.words.secrets[m.name] && !secretName(m.name) { // not a string
		shown = shown || !m.entry && len(p.text) <= maxNumber
	}
	header := m.words.headers[m.name] // its name is not part of the language
	if !shown && (m.hidden || m.entry || header || m.doubtful || m.holdsAssignment(*p)) {
		p.hide()
	}
	m.filled, m.keyed = true, false
	return false
}

func (m *masker) valueMark(pieces []piece, i int) bool {
	p := pieces[i]
	switch p.text {
	case "{":
		if len(m.open) == 0 && (m.blocks[m.name] || m.filled) { // "health = {"
			m.mode = maskHead
			return true
		}
		fallthrough
	case "[", "(":
		if !m.whole && i > 0 && pieces[i-1].end == p.start && pieces[i-1].kind != mark && pieces[i-1].text != "env" && pieces[i-1].text != "file" {
			m.doubtful = true
		}
		m.open = append(m.open, p.text)
		m.filled, m.keyed = false, false
	case "}", "]", ")":
		if len(m.open) == 0 {
			if p.is("}") {
				m.mode = maskHead
				return true
			}
			return false
		}
		m.open = m.open[:len(m.open)-1]
		m.filled = true
	case ";", ",":
		if len(m.open) == 0 {
			m.mode = maskHead
			return true
		}
		m.filled, m.keyed = false, false
		m.entry = m.entry && (p.is(";") || m.top() != "{")
	}
	return false
}

func (m *masker) top() string {
	if len(m.open) == 0 {
		return ""
	}
	return m.open[len(m.open)-1]
}

// inHeredoc reports whether the next line of a heredoc may be shown.
func (m *masker) inHeredoc() bool {
	return m.whole && !m.hidden && !m.entry && !m.doubtful && m.harmless(m.name) && !m.words.files[m.name]
}

// known reports whether the name is an attribute's, a block's or another server's directive.
func (m *masker) known(name string) bool {
	return m.attributes[name] || m.blocks[name] || isDirective(name)
}

// harmless reports whether the value of that name may be shown.
func (m *masker) harmless(name string) bool {
	switch {
	case m.words.secrets[name]:
		return false
	case m.attributes[name], m.words.labelled[name]:
		return true
	}
	return m.misspelt && m.whole && !m.known(name) && !secretName(name) &&
		nearest(name, slices.Collect(maps.Keys(m.words.secrets))) == "" && nearest(name, slices.Collect(maps.Keys(m.attributes))) != ""
}

// isReference reports whether a piece of a value names its origin: a variable of the environment, or a file.
func (m *masker) isReference(pieces []piece, i int) bool {
	p := pieces[i]
	if m.doubtful || m.unclosed {
		return false
	}
	if i >= 2 && pieces[i-1].is("(") && p.kind == quoted {
		switch pieces[i-2].text {
		case "env":
			return variable.MatchString(p.unquoted())
		case "file":
			return strings.ContainsAny(p.text, "./") && !strings.Contains(p.text, "{")
		}
	}
	return variableReference.MatchString(p.text)
}

// holdsAssignment reports whether a string of a broken source may contain another attribute, because a quote is
// missing.
func (m *masker) holdsAssignment(p piece) bool {
	if m.whole || p.kind == plainWord {
		return false
	}
	if strings.Contains(strings.Trim(p.text, `"`), `"`) { // within ${…}, or where the end of the string was assumed
		return true
	}
	for _, match := range assignment.FindAllStringSubmatch(p.text, -1) {
		if !m.harmless(match[1]) {
			return true
		}
	}
	return false
}

var (
	variable          = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
	variableReference = regexp.MustCompile(`^"?\$\{?[A-Z_][A-Z0-9_]*\}?"?$`)
	assignment        = regexp.MustCompile(`([\w-]+)\s*=`)
)

// named reports whether the piece is the name in name = value, or in name: value.
func named(pieces []piece, i int) bool {
	if i+1 < len(pieces) && (pieces[i+1].is("=") || pieces[i+1].text == ":") {
		return true
	}
	p := pieces[i]
	return p.kind == plainWord && len(p.text) > 1 && strings.HasSuffix(p.text, ":")
}

// maxNumber is the length up to which numbers of unknown names are shown.
const maxNumber = 5

func isNumber(p piece) bool { return p.number || p.kind == plainWord && numeric.MatchString(p.text) }

func nameOf(p piece) string {
	if p.kind == plainWord {
		return strings.TrimSuffix(p.text, ":")
	}
	return p.unquoted()
}

// touches reports whether nothing separates a quoted string from the piece before it: then a quote is missing or one
// too many, and what looks like a string is what is between two.
func touches(pieces []piece, i int) bool {
	if i == 0 {
		return false
	}
	p, before := pieces[i], pieces[i-1]
	return p.start == before.end && p.kind != mark && before.kind != mark && (p.kind != plainWord || before.kind != plainWord)
}

// isUnit reports whether the piece is the unit of the number before: 60 s, 8 MiB.
func isUnit(pieces []piece, i int) bool {
	if i == 0 || pieces[i].kind != plainWord || !numeric.MatchString(pieces[i-1].text) {
		return false
	}
	both := pieces[i-1].text + pieces[i].text
	return durations.MatchString(both) || sizes.MatchString(both)
}

// hide replaces the text of a piece. Braces at the end of a string that is not closed stay, since they close blocks.
func (p *piece) hide() {
	p.number = isNumber(*p)
	p.hidden = true
	switch p.kind {
	case quoted:
		p.text = `"…"`
	case halfOpen:
		text := strings.TrimRight(p.text, " {}")
		rest := p.text[len(text):]
		if text != `"` {
			text = `"…`
		}
		p.text = text + rest
	case foreignly:
		p.text = "'…'"
	case plainWord:
		p.text = "…"
	}
}

// isDirective reports whether a language of another server has that directive.
func isDirective(name string) bool {
	return name != "" && slices.ContainsFunc(dialects(), func(d *dialect) bool { return d.words[name] != nil })
}
