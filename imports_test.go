// Package lb_test checks the tree as a whole.
package lb_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport is who may import whom; packages under internal may be imported by all and import
// only each other. Whoever adds an arrow here changes the architecture.
var mayImport = map[string][]string{
	"config":      {"balancer"}, // for the names of the algorithms
	"message":     {},
	"http1":       {"message"},
	"telemetry":   {},
	"route":       {"message"},
	"clock":       {},
	"pool":        {"telemetry"},
	"transport":   {"telemetry", "message", "http1"},
	"balancer":    {"pool", "telemetry"},
	"health":      {"pool", "telemetry", "transport"},
	"discovery":   {"pool", "telemetry"},
	"staticcache": {"telemetry", "message"},
	"filter":      {"message", "route", "telemetry"},
	"proxy":       {"pool", "transport", "route", "telemetry", "message", "filter"},
	"front":       {"telemetry", "message", "http1"},
	"admin":       {"pool", "telemetry"},
	"server": {"config", "telemetry", "route", "pool", "transport", "balancer", "health", "discovery",
		"staticcache", "proxy", "front", "admin", "message", "http1", "filter"},
	"cmd/lb":          {"server", "config", "admin", "clock", "balancer"},
	"internal/answer": {"message"},
	"cmd/clock":       {"clock"},
	"bench":           {},
	"bench/sim":       {"pool", "balancer"},

	"netloop":                   {},
	"netloop/internal/static1k": {"netloop"},
}

// TestArchitectureIsComplete: the page on the architecture lists each package.
func TestArchitectureIsComplete(t *testing.T) {
	page, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := 0
	err = filepath.WalkDir(".", func(folder string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		folder = filepath.ToSlash(folder)
		if name := entry.Name(); strings.HasPrefix(name, ".") && folder != "." || name == "testdata" ||
			folder == "e2e" || folder == "examples" || strings.HasSuffix(folder, "/internal") {
			return filepath.SkipDir
		}
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			return err
		}
		isTest := func(file string) bool { return strings.HasSuffix(file, "_test.go") }
		if slices.IndexFunc(files, func(file string) bool { return !isTest(file) }) < 0 {
			return nil
		}
		listed++
		if !strings.Contains(string(page), "| `"+folder+"` |") {
			t.Errorf("ARCHITECTURE.md does not list the package %s", folder)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if listed < 20 {
		t.Errorf("only %d packages were found", listed)
	}
}

func TestImportOrder(t *testing.T) {
	checked := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && path != "." || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		from := filepath.ToSlash(filepath.Dir(path))
		if strings.HasPrefix(from, "e2e") || strings.HasPrefix(from, "examples") {
			return nil // tests and examples look at the balancer from outside
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		checked++
		for _, spec := range file.Imports {
			to, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), "lb/")
			if !ours || strings.HasPrefix(to, "internal/") {
				continue
			}
			if allowed, known := mayImport[from]; !known && !strings.HasPrefix(from, "internal/") {
				t.Errorf("%s: package %s has no place in the order yet; add it to mayImport", path, from)
			} else if !slices.Contains(allowed, to) {
				t.Errorf("%s: the arrow %s -> %s breaks the order", path, from, to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 50 {
		t.Errorf("only %d files were checked", checked)
	}
}
