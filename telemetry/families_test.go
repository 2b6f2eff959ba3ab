package telemetry

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every family that the code creates is in the table and in the documentation, and every one in the
// table is created by the code.
func TestFamiliesAreComplete(t *testing.T) {
	making := regexp.MustCompile(`(?i)\b(?:loop)?(counter|codecounters|gauge|histogram)\(\s*"(lb_[a-z_]+)"`)
	kinds := map[string]kind{"counter": counter, "codecounters": counter, "gauge": gauge, "histogram": histogram}
	made := make(map[string]bool)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != ".." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range making.FindAllStringSubmatch(string(text), -1) {
			made[m[2]] = true
			if f, known := families[m[2]]; !known {
				t.Errorf("%s makes %s, which the table of families lacks", path, m[2])
			} else if f.kind != kinds[strings.ToLower(m[1])] {
				t.Errorf("%s makes %s by %s, but the table says %s", path, m[2], m[1], f.kind)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, name := range regexp.MustCompile("`([a-z]+_[a-z_]+)`").FindAllStringSubmatch(string(page), -1) {
		documented[name[1]] = true
	}
	for name := range families {
		if strings.HasPrefix(name, "lb_") && !made[name] {
			t.Errorf("%s is never registered", name)
		}
		if !documented[name] {
			t.Errorf("docs/metrics.md lacks %s", name)
		}
	}
}
