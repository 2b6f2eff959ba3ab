package balancer

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocs: the documentation for users lists exactly the existing algorithms.
func TestDocs(t *testing.T) {
	for _, place := range []struct {
		file string
		part string // the text that lists the algorithms, as its one group
		name string // one of them there
	}{
		{"../docs/balancing.md", `(?s)\| algorithm \| [^\n]*\n\|[-|]+\n(.*?)\n\n`, "(?m)^\\| `(\\w+)`"},
		{"../docs/configuration.md", "(?m)^\\| `balance` \\| [^|]*\\| (.*) \\[Which to choose", "(?:^|; )`(\\w+)`"},
		{"../configs/lb.hcl", `(?m)^ *balance *= "\w+" *# (.*)$`, `(\w+)`},
	} {
		page, err := os.ReadFile(place.file)
		if err != nil {
			t.Fatal(err)
		}
		part := regexp.MustCompile(place.part).FindSubmatch(page)
		if part == nil {
			t.Errorf("%s lists no algorithms", place.file)
			continue
		}
		var found []string
		for _, m := range regexp.MustCompile(place.name).FindAllStringSubmatch(string(part[1]), -1) {
			found = append(found, m[1])
		}
		want := Names()
		slices.Sort(found)
		slices.Sort(want)
		if !slices.Equal(found, want) {
			t.Errorf("%s lists %s\nwant %s", place.file, strings.Join(found, ", "), strings.Join(want, ", "))
		}
	}
}
