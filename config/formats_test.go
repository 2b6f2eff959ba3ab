package config

import (
	"strings"
	"testing"
	"unicode/utf16"
)

// TestEncodings: a source that is not UTF-8 is reported once, with its line, however the parser reads its bytes. Of a source full
// of invalid characters, each line is reported once.
func TestEncodings(t *testing.T) {
	var wide strings.Builder
	for _, c := range utf16.Encode([]rune("\ufeff" + around("pool", "  balance = \"random\""))) {
		wide.WriteString(string([]byte{byte(c), byte(c >> 8)}))
	}
	for name, c := range map[string]struct {
		text, summary string
		lines         []int
	}{
		"UTF-16":  {wide.String(), "a file that is not UTF-8", []int{1}},
		"Latin-1": {around("pool", "  balance = \"\xfc\""), "a file that is not UTF-8", []int{9}},
		"noise":   {strings.Repeat("\xff\x00\"{", 1000), "a file that is not UTF-8", []int{1}},
		"NUL":     {strings.Repeat("\x00", 50) + "\n" + strings.Repeat("\x00", 50), "an invalid character", []int{1, 2}},
	} {
		_, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(c.text)}}, WithoutFileChecks())
		var lines []int
		for _, d := range found {
			if d.Summary == c.summary {
				lines = append(lines, d.Pos.Line)
			}
		}
		if len(lines) != len(c.lines) || lines[0] != c.lines[0] || lines[len(lines)-1] != c.lines[len(c.lines)-1] || len(found) > 2*len(c.lines) {
			t.Errorf("%s: %d diagnostics, %q in lines %v, want %v:\n%s", name, len(found), c.summary, lines, c.lines, found)
		}
	}
}
