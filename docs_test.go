package lb_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNamedTestsExist: every test that the pages on security and reliability name is in the directory that they name.
func TestNamedTestsExist(t *testing.T) {
	for file, least := range map[string]int{"docs/security.md": 50, "docs/reliability.md": 30} {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`([a-z0-9/]+)\.((?:Test|Fuzz)\w+)`).FindAllStringSubmatch(string(page), -1)
		if all := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(string(page), -1); len(all) != len(names) || len(names) < least {
			t.Errorf("%s: %d tests are named, %d of them with their directory", file, len(all), len(names))
		}
		for _, name := range names {
			if !strings.Contains(testsOf(t, name[1]), "\nfunc "+name[2]+"(") {
				t.Errorf("%s: there is no %s in %s", file, name[2], name[1])
			}
		}
	}
}

// testsOf returns the text of a directory's tests.
func testsOf(t *testing.T, directory string) string {
	t.Helper()
	files, err := filepath.Glob(directory + "/*_test.go")
	if err != nil || len(files) == 0 {
		t.Errorf("no tests in %s, %v", directory, err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
