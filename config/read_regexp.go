package config

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// maxRegexp is the length of the longest regular expression of a route, in bytes.
const maxRegexp = 1000

// readRegexp reads the pattern of a route without its tilde.
func (b *block) readRegexp(t *Route, expression string) {
	t.Path = ""
	if strings.HasPrefix(expression, "*") {
		b.fail(b.labelAt, fmt.Sprintf("route %q has ~*", t.Pattern), fmt.Sprintf("Write (?i) to ignore case: route %q", "~ (?i)"+strings.TrimLeft(expression[1:], " ")))
		return
	}
	_, err := regexp.Compile(expression)
	var wrong *syntax.Error
	switch {
	case expression == "":
		b.fail(b.labelAt, fmt.Sprintf("route %q has no regular expression", t.Pattern), `Write one after the tilde: route "~ ^/[0-9]+$"`)
	case len(expression) > maxRegexp:
		b.fail(b.labelAt, fmt.Sprintf("a regular expression of %d bytes", len(expression)), fmt.Sprintf("Write at most %d bytes; several routes may have the same action.", maxRegexp))
	case errors.As(err, &wrong):
		b.fail(b.labelAt, fmt.Sprintf("route %q is not a regular expression of RE2: %s: %s", t.Pattern, wrong.Code, wrong.Expr), "See https://github.com/google/re2/wiki/Syntax; there are no backreferences and no lookahead.")
	case err != nil:
		b.fail(b.labelAt, fmt.Sprintf("route %q is not a regular expression of RE2: %v", t.Pattern, err), "See https://github.com/google/re2/wiki/Syntax.")
	default:
		t.Regexp = expression
	}
}

// isRegexp reports whether the pattern is a regular expression, even if it cannot be read.
func (t *Route) isRegexp() bool { return strings.HasPrefix(t.Pattern, "~") }

// placeholders returns the names of placeholders in redirects and rewrites of the route.
func (t *Route) placeholders() []string {
	if !t.isRegexp() {
		return []string{"path", "rest"}
	}
	names := []string{"path"}
	if re, err := regexp.Compile(t.Regexp); err == nil {
		for i, name := range re.SubexpNames()[1:] {
			names = append(names, strconv.Itoa(i+1))
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// pairs reads a map of texts, in the order in which they are written.
func (b *block) pairs(name string) (list []Header) {
	for _, e := range b.entries(name, `"name" = "value"`) {
		if e.value.IsNull() || e.value.Type() != cty.String {
			b.wrongType(e.valueAt, e.shown, e.value, fmt.Sprintf("Write a string in quotes: %q = \"value\"", e.shown))
			continue
		}
		list = append(list, Header{Name: e.name, Value: e.value.AsString()})
	}
	return list
}
