package lb_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNamedTestsExist: every test that the page on security names is in the folder that it names.
func TestNamedTestsExist(t *testing.T) {
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`([a-z0-9/]+)\.((?:Test|Fuzz)\w+)`).FindAllStringSubmatch(string(page), -1)
	if all := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(string(page), -1); len(all) != len(names) || len(names) < 50 {
		t.Errorf("%d tests are named, %d of them with their folder", len(all), len(names))
	}
	for _, name := range names {
		if !strings.Contains(testsOf(t, name[1]), "\nfunc "+name[2]+"(") {
			t.Errorf("there is no %s in %s", name[2], name[1])
		}
	}
}

// testsOf returns the text of a folder's tests.
func testsOf(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(folder + "/*_test.go")
	if err != nil || len(files) == 0 {
		t.Errorf("no tests in %s, %v", folder, err)
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
