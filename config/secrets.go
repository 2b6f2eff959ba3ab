package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// secretName reports whether a header field or a parameter of that name probably has a secret value.
func secretName(name string) bool { return secretWord.MatchString(name) }

const secretWords = `auth|cookie|token|secret|key|passw`

var secretWord = regexp.MustCompile(`(?i)` + secretWords)

// credentials match secrets by their form in a shown value: in a URL or its query, a header field, or as a key. The
// group is hidden.
var credentials = []*regexp.Regexp{
	regexp.MustCompile(`(?:[a-z][a-z0-9+.-]*://)?([^\s"]*:[^\s"]*)@`),
	regexp.MustCompile(`(?i)[?&][^=&\s"]*(?:` + secretWords + `)[^=&\s"]*=([^&\s"#]+)`),
	regexp.MustCompile(`(?i)\b(?:bearer|basic)\s+([^\s"]+)`),
	regexp.MustCompile(`-----BEGIN ([^"]+)`),
}

// withoutCredentials returns a message without text that has the form of a secret.
func withoutCredentials(text string) string {
	for _, form := range credentials {
		var b strings.Builder
		at := 0
		for _, m := range form.FindAllStringSubmatchIndex(text, -1) {
			b.WriteString(text[at:m[2]] + "…")
			at = m[3]
		}
		text = b.String() + text[at:]
	}
	return text
}

// withoutValues returns a message without the values that it quotes.
func withoutValues(text string) string {
	return assigned.ReplaceAllString(quotedValue.ReplaceAllString(text, `"…"`), "${1}…")
}

// withoutPartsOf returns a remedy without the quoted strings that share text with the value; examples remain.
func withoutPartsOf(value, remedy string) string {
	value = strings.ToLower(value)
	return quotedValue.ReplaceAllStringFunc(remedy, func(q string) string {
		example := strings.ToLower(strings.Trim(q, `"`))
		for i := 0; i+3 <= len(example); i++ {
			if strings.Contains(value, example[i:i+3]) {
				return `"…"`
			}
		}
		if len(example) < 3 && strings.Contains(value, example) || value != "" && strings.Contains(example, value) {
			return `"…"`
		}
		return q
	})
}

var (
	quotedValue = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	assigned    = regexp.MustCompile(`(= |status )-?[0-9][0-9.e+-]*`)
)

// misplacedValues appends the values of attributes that blocks of their kind do not have, unless such an attribute
// was probably meant that may be shown.
func misplacedValues(v *vocabulary, body *hclsyntax.Body, kind string, list []hcl.Range) []hcl.Range {
	for name, a := range body.Attributes {
		object, _ := a.Expr.(*hclsyntax.ObjectConsExpr)
		switch {
		case v.shows(kind, name):
		case !slices.Contains(v.blocks[kind], name):
			list = append(list, a.Expr.Range())
		case object != nil: // a block with an equals sign
			for _, item := range object.Items {
				if key := hcl.ExprAsKeyword(item.KeyExpr); !v.shows(name, key) {
					list = append(list, item.ValueExpr.Range())
				}
			}
		case !v.labelled[name]: // otherwise there are one or more labels
			list = append(list, a.Expr.Range())
		}
	}
	for _, b := range body.Blocks {
		inner := b.Type
		if near := nearest(inner, v.blocks[kind]); near != "" && !slices.Contains(v.blocks[kind], inner) {
			inner = near
		}
		list = misplacedValues(v, b.Body, inner, list)
	}
	return list
}

// shows reports whether the block has such an attribute, or a similar one without secrets.
func (v *vocabulary) shows(kind, name string) bool {
	if slices.Contains(v.attributes[kind], name) {
		return true
	}
	near := nearest(name, v.attributes[kind])
	return near != "" && !v.secrets[near]
}

// hideWithin hides the strings within a range in the lines of a source.
func hideWithin(list []sourceLine, at hcl.Range) {
	for i := max(0, indexOf(list, at.Start.Byte)); i < len(list) && list[i].from < at.End.Byte; i++ {
		if list[i].from > at.Start.Byte {
			list[i].shown = false
		}
		for j := range list[i].pieces {
			if p := &list[i].pieces[j]; p.start >= at.Start.Byte && p.end <= at.End.Byte && (p.kind == quoted || p.kind == halfOpen) && !p.hidden {
				p.hide()
			}
		}
	}
}
