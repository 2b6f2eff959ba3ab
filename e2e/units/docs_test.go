//go:build e2e

package units

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"lb/config"
)

func pages(t *testing.T) map[string]string {
	t.Helper()
	names := []string{root + "/README.md", root + "/CHANGELOG.md", root + "/SECURITY.md", root + "/ARCHITECTURE.md", root + "/CONTRIBUTING.md"}
	for _, pattern := range []string{"/docs/*.md", "/docs/adr/*.md"} {
		more, err := filepath.Glob(root + pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, more...)
	}
	texts := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Clean(name)] = string(text)
	}
	return texts
}

// TestDocumentedConfigurations checks every complete configuration in the
// documentation ("```hcl"; a part is marked "```hcl fragment"), and the one of
// the compose stack with and without its token.
func TestDocumentedConfigurations(t *testing.T) {
	blocks := []*regexp.Regexp{
		regexp.MustCompile("(?ms)^```hcl\n(.*?)^```$"),
		regexp.MustCompile("(?ms)^[^\n]*<<'EOF'\n(listen.*?)^EOF$"), // a page of commands has them in here-documents
	}
	found := 0
	for name, text := range pages(t) {
		for _, block := range blocks {
			for _, match := range block.FindAllStringSubmatch(text, -1) {
				found++
				checkConfiguration(t, name, match[1])
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d configurations found", found)
	}
	compose, err := os.ReadFile(root + "/configs/compose.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for token, listen := range map[string]string{"": "127.0.0.1:9900", "a secret of some length": ":9900"} {
		t.Setenv("LB_ADMIN_TOKEN", token)
		cfg := checkConfiguration(t, "compose.hcl", string(compose))
		if cfg != nil && (cfg.Admin.Listen != listen || string(cfg.Admin.Token) != token) {
			t.Errorf("with the token %q the admin listener is on %s", token, cfg.Admin.Listen)
		}
	}
}

func checkConfiguration(t *testing.T, name, text string) *config.Config {
	t.Helper()
	cfg, diagnostics := config.Parse([]config.Source{{Name: filepath.Base(name) + ".hcl", Text: []byte(text)}}, config.WithoutFileChecks())
	if len(diagnostics) > 0 {
		t.Errorf("%s: %s", name, diagnostics)
	}
	return cfg
}

// TestLinks checks that every relative link in the documentation has a target, and that heading.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]+))?\)`)
	texts := pages(t)
	followed := 0
	for name, text := range texts {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, err := url.PathUnescape(match[1])
			if err != nil || strings.Contains(target, "://") {
				continue
			}
			file := name
			if target != "" {
				file = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", name, target, err)
			} else if match[2] != "" {
				followed++
				if !slices.Contains(anchors(texts[filepath.Clean(file)]), match[2]) {
					t.Errorf("%s links to %s, which has no heading #%s", name, file, match[2])
				}
			}
		}
	}
	if followed < 50 {
		t.Errorf("only %d links to headings were followed", followed)
	}
}

// anchors returns what GitHub makes of the headings of a page: lower case, without punctuation, with hyphens for spaces.
func anchors(text string) (list []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		list = append(list, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, heading[1]))
	}
	return list
}
