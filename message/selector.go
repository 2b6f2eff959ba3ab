package message

import "strings"

// Selector selects the value of a header field or of a cookie. The zero value selects nothing.
type Selector struct {
	cookie bool
	name   string // of the field, in lower case, or of the cookie; "": nothing is selected
}

// NewSelector reads header:NAME or cookie:NAME, as the configuration spells it. ok is false for anything else.
func NewSelector(text string) (s Selector, ok bool) {
	switch kind, name, _ := strings.Cut(text, ":"); kind {
	case "header":
		return Selector{name: strings.ToLower(name)}, true
	case "cookie":
		return Selector{cookie: true, name: name}, true
	}
	return Selector{}, false
}

// Value returns the value of the first such field or cookie; nil if there is none.
func (s Selector) Value(fields []Field) []byte {
	switch {
	case s.name == "":
		return nil
	case s.cookie:
		return Cookie(fields, s.name)
	}
	return Named(fields, s.name)
}
