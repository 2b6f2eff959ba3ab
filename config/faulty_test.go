package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the expected outputs")

// Each faulty configuration gives exactly the diagnostics in the file beside it.
func TestFaulty(t *testing.T) {
	t.Chdir("testdata/faulty") // so that the outputs name files without directories
	names, err := filepath.Glob("*.hcl")
	if err != nil || len(names) < 45 {
		t.Fatalf("found %d faulty configurations, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(name, ".hcl"), func(t *testing.T) {
			c, found := Load(name)
			if (c == nil) != found.HasErrors() {
				t.Errorf("a configuration: %v, errors: %v", c != nil, found.HasErrors())
			}
			if len(found) == 0 {
				t.Error("nothing was found")
			}
			for _, d := range found {
				if d.Detail == "" {
					t.Errorf("%v: no remedy for %q", d.Pos, d.Summary)
				}
			}
			golden(t, strings.TrimSuffix(name, ".hcl")+".txt", found.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant (go test -update writes it):\n%s", got, want)
	}
}
