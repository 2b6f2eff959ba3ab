package route

import (
	"regexp"
	"strconv"
	"strings"
)

// Template is a text with the placeholders {path}, the request's path, {rest}, what follows
// the rule's own path in it, and of a rule with a regular expression {1} or {name}, its groups. The zero value gives nothing.
type Template struct {
	parts  []string // text, placeholder, text, placeholder …, text
	groups []int    // of the placeholders; 0: {path} or {rest}. Nil: none is a group
}

// NewTemplate reads a template; anything else in braces is plain text.
func NewTemplate(text string) Template { return NewMatchTemplate(text, nil) }

// NewMatchTemplate is NewTemplate for a rule with that regular expression; nil: it has none.
func NewMatchTemplate(text string, re *regexp.Regexp) Template {
	var t Template
	plain, captures := "", false
	for text != "" {
		i := strings.IndexByte(text, '{')
		if i < 0 {
			break
		}
		plain += text[:i]
		text = text[i:]
		name, after, closed := strings.Cut(text[1:], "}")
		group := groupOf(name, re)
		if !closed || name != "path" && name != "rest" && group == 0 {
			plain += "{"
			text = text[1:]
			continue
		}
		t.parts, t.groups = append(t.parts, plain, "{"+name+"}"), append(t.groups, group)
		captures = captures || group > 0
		plain, text = "", after
	}
	t.parts = append(t.parts, plain+text)
	if !captures {
		t.groups = nil
	}
	return t
}

// groupOf returns the number of a group by its number or its name, 0 if there is none.
func groupOf(name string, re *regexp.Regexp) int {
	if re == nil {
		return 0
	}
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= re.NumSubexp() && strconv.Itoa(n) == name {
		return n
	}
	if name == "path" || name == "rest" {
		return 0
	}
	return max(0, re.SubexpIndex(name))
}

// IsZero reports whether the template gives nothing.
func (t *Template) IsZero() bool { return len(t.parts) == 0 || len(t.parts) == 1 && t.parts[0] == "" }

// Captures reports whether a placeholder is a group of a regular expression.
func (t *Template) Captures() bool { return t.groups != nil }

// Append appends the text with its placeholders filled, those of groups with nothing.
func (t *Template) Append(dst, path, rest []byte) []byte {
	return t.AppendMatch(dst, path, rest, nil, nil)
}

// AppendMatch is Append with the groups too: at has their places in clean, as FindSubmatchIndex returns them. They are percent-encoded.
func (t *Template) AppendMatch(dst, path, rest, clean []byte, at []int) []byte {
	for i, part := range t.parts {
		switch {
		case i%2 == 0:
			dst = append(dst, part...)
		case t.groups != nil && t.groups[i/2] > 0:
			if n := 2 * t.groups[i/2]; n+1 < len(at) && at[n] >= 0 {
				dst = AppendEscaped(dst, clean[at[n]:at[n+1]])
			}
		case part == "{path}":
			dst = append(dst, path...)
		default:
			dst = append(dst, rest...)
		}
	}
	return dst
}

// AppendEscaped percent-encodes the bytes that a path must not contain (RFC 3986 section 3.3).
func AppendEscaped(dst, path []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range path {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '!', c == '$', c == '&', c == '\'', c == '(', c == ')',
			c == '*', c == '+', c == ',', c == ';', c == '=', c == ':', c == '@', c == '/':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
