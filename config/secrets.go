package config

import (
	"regexp"
	"strings"
)

// secretName tells whether a header field of that name, or a parameter, probably has a secret as its value.
func secretName(name string) bool { return secretWord.MatchString(name) }

const secretWords = `auth|cookie|token|secret|key|passw`

var secretWord = regexp.MustCompile(`(?i)` + secretWords)

// credentials are secrets by their form in a value that is shown: of a URL or its query, of a header field, and a key. The
// group is what is hidden.
var credentials = []*regexp.Regexp{
	regexp.MustCompile(`(?:[a-z][a-z0-9+.-]*://)?([^\s"]*:[^\s"]*)@`),
	regexp.MustCompile(`(?i)[?&][^=&\s"]*(?:` + secretWords + `)[^=&\s"]*=([^&\s"#]+)`),
	regexp.MustCompile(`(?i)\b(?:bearer|basic)\s+([^\s"]+)`),
	regexp.MustCompile(`-----BEGIN ([^"]+)`),
}

// withoutCredentials returns a message without what is a secret by its form.
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

// withoutPartsOf returns a remedy without the quoted strings that have something in common with the value: what is left
// are examples.
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
