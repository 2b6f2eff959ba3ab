package route

import "strings"

// Template is a text with the placeholders {path}, the request's path, and {rest}, what follows
// the rule's own path in it. The zero value gives nothing.
type Template struct{ parts []string } // text, placeholder, text, placeholder …, text

// NewTemplate reads a template; anything else in braces is plain text.
func NewTemplate(text string) Template {
	var t Template
	plain := ""
	for text != "" {
		i := strings.IndexByte(text, '{')
		if i < 0 {
			break
		}
		plain += text[:i]
		text = text[i:]
		switch {
		case strings.HasPrefix(text, "{path}"), strings.HasPrefix(text, "{rest}"):
			t.parts = append(t.parts, plain, text[:6])
			plain, text = "", text[6:]
		default:
			plain += "{"
			text = text[1:]
		}
	}
	t.parts = append(t.parts, plain+text)
	return t
}

// IsZero reports whether the template gives nothing.
func (t *Template) IsZero() bool { return len(t.parts) == 0 || len(t.parts) == 1 && t.parts[0] == "" }

// Append appends the text with its placeholders filled.
func (t *Template) Append(dst, path, rest []byte) []byte {
	for i, part := range t.parts {
		switch {
		case i%2 == 0:
			dst = append(dst, part...)
		case part == "{path}":
			dst = append(dst, path...)
		default:
			dst = append(dst, rest...)
		}
	}
	return dst
}
