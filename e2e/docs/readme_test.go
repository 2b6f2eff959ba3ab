//go:build e2e

package docs

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeNamesPackages: README names every package that make test may install.
func TestReadmeNamesPackages(t *testing.T) {
	script, err := os.ReadFile(root + "/scripts/test.sh")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(root + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, list := range regexp.MustCompile(`(?ms)^(?:needs|python_modules)=\((.*?)\)$`).FindAllStringSubmatch(string(script), -1) {
		for _, entry := range strings.Fields(list[1]) {
			_, name, ok := strings.Cut(entry, ":")
			if !ok {
				continue
			}
			named++
			if !regexp.MustCompile(`[ ,\n]` + regexp.QuoteMeta(name) + `[ ,.\n]`).Match(readme) {
				t.Errorf("README.md does not say that make test may install %s", name)
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d packages found in scripts/test.sh", named)
	}
}
