package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// around puts a mistake into the place that its heading names.
func around(where, text string) string {
	parts := map[string]string{where: text + "\n"}
	if where == "whole" {
		return text + "\n"
	}
	return "listen \":8080\" {}\n" +
		"site \"clock\" {\n" + parts["site"] +
		"  route \"/\" {\n" + parts["route"] + "    proxy { pool = \"app\" }\n  }\n}\n" +
		"pool \"app\" {\n  backend \"127.0.0.1:5000\" {}\n" + parts["pool"] + "}\n" + parts["top"]
}

// section is one mistake of testdata/mistakes.txt.
type section struct{ where, title, text, says string }

func mistakeSections(t *testing.T) []section {
	t.Helper()
	file, err := os.ReadFile("testdata/mistakes.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []section
	for part := range strings.SplitSeq("\n"+string(file), "\n=== ") {
		head, body, _ := strings.Cut(part, "\n")
		where, title, ok := strings.Cut(head, ": ")
		if !ok {
			continue
		}
		text, says, _ := strings.Cut(body, "\n--- lb check:\n")
		list = append(list, section{where, title, strings.TrimRight(text, "\n"), says})
	}
	if len(list) < 60 {
		t.Fatalf("only %d mistakes in testdata/mistakes.txt", len(list))
	}
	return list
}

// TestMistakes: mistakes of people who are new to the language, or know another one, and the output of lb check.
// testdata/mistakes.txt has both; go test -update writes the output.
func TestMistakes(t *testing.T) {
	t.Setenv("LB_TOKEN", "a token of some length")
	var file strings.Builder
	for _, m := range mistakeSections(t) {
		_, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(around(m.where, m.text))}}, WithoutFileChecks())
		says := strings.TrimRight(found.String(), "\n")
		if *update {
			fmt.Fprintf(&file, "=== %s: %s\n%s\n--- lb check:\n%s\n\n", m.where, m.title, m.text, says)
			continue
		}
		if says != strings.TrimRight(m.says, "\n") {
			t.Errorf("%s: says\n%s\nwant\n%s", m.title, says, m.says)
		}
		if !found.HasErrors() {
			t.Errorf("%s: is no mistake", m.title)
		}
		for _, d := range found {
			if d.Pos.Line == 0 || d.Source == "" || d.Detail == "" {
				t.Errorf("%s: no place, no line or no remedy: %+v", m.title, d)
			}
			if hclTerms.MatchString(d.Summary + d.Detail) {
				t.Errorf("%s: in the words of the HCL library: %s. %s", m.title, d.Summary, d.Detail)
			}
		}
	}
	if *update {
		if err := os.WriteFile("testdata/mistakes.txt", []byte(file.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// hclTerms matches terms in the messages of the HCL library that users do not know.
var hclTerms = regexp.MustCompile(`argument definition|block definition|[Ii]nvalid |single-line|template|heredoc|interpolation|a text\b|folder`)

// TestRemediesAreRight: a line with a mistake is valid once it is replaced by the recommended one.
func TestRemediesAreRight(t *testing.T) {
	tried := 0
	for _, m := range mistakeSections(t) {
		text := around(m.where, m.text)
		if m.where == "whole" {
			continue
		}
		for range 10 {
			r := newReader([]Source{{Name: "lb.hcl", Text: []byte(text)}})
			_, diags := hclsyntax.ParseConfig([]byte(text), "lb.hcl", hcl.InitialPos)
			if !diags.HasErrors() || r.explain(Source{Name: "lb.hcl", Text: []byte(text)}) == 0 {
				break
			}
			d := r.found[0]
			instead, ok := strings.CutPrefix(d.Detail, "Write:")
			if !ok || strings.Contains(d.Summary, "'s language") || strings.Contains(d.Detail, "…") {
				break
			}
			lines := strings.Split(text, "\n")
			if d.Summary == "the opening brace is on the next line" {
				lines[d.Pos.Line] = ""
			}
			if strings.HasPrefix(strings.TrimSpace(instead), `"`) { // an entry of a list
				break
			}
			lines[d.Pos.Line-1] = instead
			text = strings.Join(lines, "\n")
			tried++
		}
		if _, diags := hclsyntax.ParseConfig([]byte(text), "lb.hcl", hcl.InitialPos); diags.HasErrors() && strings.Contains(m.says, "Write") &&
			!strings.Contains(m.says, "'s language") && !strings.Contains(m.says, "…") && !strings.Contains(m.says, "  Write: \"") {
			t.Errorf("%s: corrected as it says, it is wrong still:\n%s\n%v", m.title, text, diags)
		}
	}
	if tried < 30 {
		t.Errorf("only %d corrections were tried", tried)
	}
}

// TestNoMistakes: no line of a valid configuration is called a mistake.
func TestNoMistakes(t *testing.T) {
	var names []string
	for _, pattern := range []string{"../configs/*.hcl", "../command/*.hcl", "testdata/faulty/*.hcl", "../docs/*.md", "../README.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil || len(more) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		names = append(names, more...)
	}
	fence := regexp.MustCompile("(?ms)^```hcl[a-z ]*\n(.*?)^```$")
	checked := 0
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts := []string{string(text)}
		if strings.HasSuffix(name, ".md") {
			texts = nil
			for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
				texts = append(texts, block[1])
			}
		}
		for _, text := range texts {
			if _, diags := hclsyntax.ParseConfig([]byte(text), name, hcl.InitialPos); diags.HasErrors() {
				continue
			}
			r := newReader([]Source{{Name: name, Text: []byte(text)}})
			r.explain(Source{Name: name, Text: []byte(text)})
			for _, d := range r.found {
				// These are mistakes that parse.
				switch filepath.Base(name) + " " + d.Summary {
				case "block_as_attribute.hcl an equals sign before the brace of a block", "attribute_as_block.hcl an equals sign before the brace of a block",
					"unquoted.hcl a string without quotes":
				default:
					t.Errorf("%s", Diagnostics{d})
				}
			}
			checked++
		}
	}
	if checked < 60 {
		t.Errorf("only %d configurations were checked", checked)
	}
}

// TestDiagnosticsAreBounded: a source with too many mistakes says so, and is also rejected if only the last is an error.
func TestDiagnosticsAreBounded(t *testing.T) {
	var idle strings.Builder
	for i := range maxFound + 10 {
		fmt.Fprintf(&idle, "pool \"idle-%d\" {\n  backend \"127.0.0.1:2\" {}\n}\n", i)
	}
	for name, text := range map[string]string{
		"errors":                    around("pool", strings.Repeat("  tokn {}\n", 3*maxFound)),
		"an error after warnings":   around("top", idle.String()+"tokn = 1"),
		"an error between warnings": around("pool", "  tokn = 1") + idle.String(),
	} {
		c, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(text)}})
		if c != nil || !found.HasErrors() || len(found) != maxFound+1 || !strings.Contains(found.String(), "more than the 1000 diagnostics") {
			t.Errorf("%s: a configuration: %v, %d diagnostics", name, c != nil, len(found))
		}
	}
}
