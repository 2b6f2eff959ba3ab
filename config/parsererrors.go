package config

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// plainly rephrases a diagnostic of the HCL parser for people who do not know HCL: what is wrong, and what to write
// instead. The library's text may quote the source, which may have a secret anywhere.
func plainly(d *hcl.Diagnostic) (summary, remedy string) {
	for _, w := range wordings {
		if strings.HasPrefix(d.Summary, w.summary) && strings.Contains(d.Detail, w.detail) {
			return w.say, w.remedy
		}
	}
	return withoutValues(strings.TrimSuffix(d.Summary, ".")), withoutValues(d.Detail)
}

// wordings are the library's messages, by the beginning of the summary and a part of the detail.
var wordings = [...]struct{ summary, detail, say, remedy string }{
	{"Attribute redefined", "", "an attribute that is set twice", "Keep one of them."},
	{"Unclosed configuration block", "", "a block that is not closed", "Its closing brace, }, is missing before the end of the file. It may be missing in a block inside, too."},
	{"Argument or block definition required", "", "neither an attribute nor a block", "Write: name = value, or: name { … }"},
	{"Argument definition required", "", "neither an attribute nor a block", "Write: name = value, or start the contents of the block on a new line."},
	{"Invalid argument name", "", "a name in quotes", "Write it without quotes: name = value. The entries of a list are in brackets: name = [\"…\"]"},
	{"Invalid block definition", "must have block content", "a block whose opening brace is not on its line", "Put { after the block's name and label, on the same line."},
	{"Invalid block definition", "equals sign", "an equals sign before the brace of a block", "Write it without the equals sign: name { … }"},
	{"Invalid block definition", "", "neither an attribute nor a block", "An attribute has an equals sign: name = value. A block has braces: name \"label\" { … }"},
	{"Invalid single-argument block definition", "", "several things in a block on one line", "A block on one line can have only one attribute. Write each attribute and each inner block on its own line."},
	{"Missing newline after argument", "", "something follows an attribute on its line", "Write each attribute on its own line, and strings in quotes: name = \"value\""},
	{"Missing newline after block definition", "", "something follows a block on its line", "Start a new line after the closing brace."},
	{"Missing expression", "", "an attribute without a value", "Write the value after the equals sign: name = \"value\""},
	{"Invalid expression", "", "a value that cannot be read", "Write a string in quotes, a number, true, false, a list in brackets or a map in braces."},
	{"Invalid attribute name", "", "a value that cannot be read", "Write a string in quotes: name = \"value\""},
	{"Invalid number literal", "", "a number that cannot be read", "Write only digits; values with a unit are in quotes: \"60s\", \"8MiB\""},
	{"Missing item separator", "", "a list without a comma between its entries", "Write: [\"a\", \"b\"]"},
	{"Unterminated tuple constructor expression", "", "a list that is not closed", "Its closing bracket, ], is missing."},
	{"Missing attribute separator", "", "a map without a comma between its entries", "Write: { \"a\" = \"b\", \"c\" = \"d\" }, or each entry on its own line."},
	{"Missing key/value separator", "", "a map's entry without an equals sign", "Write: { \"name\" = \"value\" }"},
	{"Missing attribute value", "", "a map's entry without a value", "Write: { \"name\" = \"value\" }"},
	{"Unterminated object constructor expression", "", "a map that is not closed", "Its closing brace, }, is missing."},
	{"Unterminated function call", "", "a call that is not closed", "Its closing parenthesis is missing: env(\"NAME\")"},
	{"Missing argument separator", "", "a call without a comma between its arguments", "Write: env(\"NAME\", \"default\")"},
	{"Unbalanced parentheses", "", "a parenthesis that is not closed", "Its closing parenthesis is missing."},
	{"Unterminated template string", "", "a string without its closing quote", "Close it on the same line: \"…\""},
	{"Unterminated string literal", "", "a string without its closing quote", "Close it on the same line: \"…\""},
	{"Invalid multi-line string", "", "a string that continues on the next line", "Close it on the same line: \"…\""},
	{"Invalid string literal", "", "a label that is not a plain string", "Write it in quotes, without ${…}."},
	{"Invalid escape sequence", "", "an invalid escape sequence", `Write \\ for a backslash, \" for a quote, \n for a line break.`},
	{"Unclosed template interpolation sequence", "", "${ that is not closed", "Write ${env(\"NAME\")}, or $${ for the literal characters ${."},
	{"Extra characters after interpolation expression", "", "${ with more than a value in it", "Write ${env(\"NAME\")}, or $${ for the literal characters ${."},
	{"Invalid template", "", "%{ in a string", "Write %%{ for the literal characters %{."},
	{"Unsupported operator", "", "an unsupported operator", "Write strings in quotes: name = \"value\""},
	{"Invalid character encoding", "", "a file that is not UTF-8", "Save it as UTF-8."},
	{"Invalid character", "", "an invalid character", "Write strings in quotes: name = \"value\""},
	{"Call to unknown function", "", "an unknown function", "Known are: env(\"NAME\"), env(\"NAME\", \"default\"), file(\"path\")"},
	{"Not enough function arguments", "", "a call without an argument", "Write: env(\"NAME\") or file(\"path\")"},
	{"Too many function arguments", "", "a call with too many arguments", "Write: env(\"NAME\", \"default\") or file(\"path\")"},
	{"Invalid function argument", "", "an argument that is not a string", "Write it in quotes: env(\"NAME\")"},
}
