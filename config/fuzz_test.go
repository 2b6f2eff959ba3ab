package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse: for any source there is a configuration or an error, each
// diagnostic has a place in the source, and printing it does not fail. Formatting
// a source changes nothing of what it says, and formatting it again changes nothing at all.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../configs/*.hcl", "testdata/faulty/*.hcl"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatalf("no seeds in %s, %v", pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, all := range []bool{false, true} {
			c, found := Parse([]Source{{Name: "lb.hcl", Text: text}}, func(o *options) { o.withoutFiles, o.everything = true, all })
			if (c == nil) != found.HasErrors() {
				t.Fatalf("a configuration: %v, diagnostics:\n%s", c != nil, found)
			}
			lines := strings.Count(string(text), "\n") + 1
			for _, d := range found {
				if d.Summary == "" || d.Pos.Line > lines || d.Pos.Line > 0 && d.Pos.Column < 1 {
					t.Fatalf("%+v in %d lines", d, lines)
				}
			}
			_ = found.String()
			if c != nil {
				checkFormat(t, c, text, all)
			}
			checkAdmin(t, c, text)
		}
	})
}

// checkAdmin compares the admin listener that is found alone with that of the configuration c of text, if it is valid.
func checkAdmin(t *testing.T, c *Config, text []byte) {
	t.Helper()
	a := AdminListener{Admin: defaultConfig().Admin}
	a.read(Source{Name: "lb.hcl", Text: text})
	if c != nil && (a.ListenProblem != nil || a.TokenProblem != nil || a.Listen != c.Admin.Listen || a.Token != c.Admin.Token) {
		t.Fatalf("%q: found %+v, the configuration has %+v", text, a, c.Admin)
	}
}

// checkFormat compares the configuration c of text with that of the formatted text.
func checkFormat(t *testing.T, c *Config, text []byte, all bool) {
	t.Helper()
	said, err := c.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	formatted := Format(text)
	again, found := Parse([]Source{{Name: "lb.hcl", Text: formatted}}, func(o *options) { o.withoutFiles, o.everything = true, all })
	if again == nil {
		t.Fatalf("%q was formatted to %q, which fails:\n%s", text, formatted, found)
	}
	if saidAgain, err := again.MarshalJSON(); err != nil || string(said) != string(saidAgain) {
		t.Fatalf("%q: %s\nformatted as %q: %s, %v", text, said, formatted, saidAgain, err)
	}
	if twice := Format(formatted); string(twice) != string(formatted) {
		t.Fatalf("%q is formatted to %q, and that to %q", text, formatted, twice)
	}
}

// Sources that recurse as deep as their length do not exhaust the stack.
func TestDeepNesting(t *testing.T) {
	const n = 100_000
	for name, text := range map[string]string{
		"parentheses":   "a = " + strings.Repeat("(", n),
		"brackets":      "a = " + strings.Repeat("[", n),
		"braces":        strings.Repeat("a {\n", n),
		"nots":          "a = " + strings.Repeat("!", n) + "x",
		"minuses":       "a = " + strings.Repeat("-", n) + "1",
		"templates":     "a = " + strings.Repeat(`"${`, n),
		"conditions":    "a = " + strings.Repeat("true ? 1 : ", n) + "1",
		"sums on lines": "a = (1" + strings.Repeat(" +\n 1", n) + ")",
		"lines":         "a = <<E\n" + strings.Repeat("a\n", n) + "E\n",
		"dollars":       `a = "` + strings.Repeat("$", n) + `"`,
		"calls":         "a = " + strings.Repeat("env(", n),
		"sums":          "a = 1" + strings.Repeat(" + 1", n),
		"traversals":    "a = x" + strings.Repeat(".y", n),
		"directives":    `a = "` + strings.Repeat("%{ if true }", n) + `"`,
		"large":         strings.Repeat("# x\n", 1<<20+1),
	} {
		t.Run(name, func(t *testing.T) {
			if c, found := Parse([]Source{{Name: "x", Text: []byte(text)}}); c != nil || !found.HasErrors() {
				t.Error("it passes")
			}
		})
	}
}

// Long sources are not deep: comments and lists are bounded only by the file's size, and strings by a high limit.
func TestLongSource(t *testing.T) {
	long := strings.Repeat("# a comment\n", 3000) +
		"trusted_proxies = [" + strings.Repeat("\"10.0.0.0/8\", ", 3000) + "]\n" +
		strings.Replace(smallest, "  route", "  route \"= /long\" {\n    respond {\n      body = <<-EOT\n"+
			strings.Repeat("        a line ( [ { + - ! ?\n", 3000)+"      EOT\n    }\n  }\n  route", 1)
	if c, found := Parse([]Source{{Name: "x", Text: []byte(long)}}); c == nil || len(found) > 0 {
		t.Errorf("Parse:\n%s", found)
	}
}
