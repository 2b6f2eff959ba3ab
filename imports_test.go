// Package lb_test checks the tree as a whole.
package lb_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport lists which of our packages each may import. "filter/*" is any package below filter; none of them may import
// another. Packages under internal may be imported by all, except for the reserved ones, and may import each other and
// only what is listed here. A new import changes the architecture. Some packages do not exist yet.
var mayImport = map[string][]string{
	"config":                    {"balancer", "filter"}, // for the names of the algorithms, and for the blocks of extensions
	"telemetry":                 {},
	"route":                     {"message"},
	"message":                   {},
	"netloop":                   {},
	"netloop/internal/static1k": {"netloop"},
	"clock":                     {},
	"pool":                      {"telemetry"},
	"transport":                 {"netloop", "http1", "http2", "message", "telemetry"},
	"balancer":                  {"pool", "telemetry"},
	"health":                    {"pool", "telemetry", "transport"},
	"discovery":                 {"pool", "telemetry"},
	"staticcache":               {"message", "telemetry"},
	"filter":                    {"message", "route", "telemetry"},
	"filter/*":                  {"filter", "message", "telemetry"},
	"cache":                     {"message", "telemetry", "staticcache"},
	"proxy":                     {"netloop", "message", "cache", "filter", "pool", "transport", "route", "telemetry", "proxy/tunnel"},
	"proxy/tunnel":              {"netloop", "message", "telemetry"},
	"http1":                     {"netloop", "message", "telemetry"},
	"http2":                     {"netloop", "message", "telemetry"},
	"http3":                     {"netloop", "message", "telemetry"},
	"listener":                  {"netloop", "http1", "http2", "http3", "telemetry"},
	"certificate":               {"netloop"},
	"admin":                     {"pool", "telemetry"},
	"server/upgrade":            {},
	"server": {"config", "telemetry", "route", "message", "netloop", "pool", "transport", "balancer", "health", "discovery",
		"staticcache", "cache", "filter", "filter/*", "proxy", "http1", "http2", "http3", "listener", "certificate", "admin", "server/upgrade"},
	"internal/coding":         {"message"},
	"internal/errorpage":      {"message"},
	"internal/fieldsection":   {"message"},
	"internal/cli":            {"admin", "pool"},
	"command":                 {"server", "config", "filter", "clock", "balancer", "internal/cli"}, // filter: for extensions
	"cmd/lb":                  {"command"},
	"examples/filter":         {"command", "examples/filter/country"},
	"examples/filter/country": {"filter", "message"},
	"cmd/clock":               {"clock"},
	"bench":                   {},
	"bench/sim":               {"pool", "balancer"},
}

// reserved are the packages under internal that need an entry in mayImport to be imported.
var reserved = []string{"internal/cli"}

// among reports whether a package is in a list, by its name or as one below a directory.
func among(list []string, pkg string) bool {
	return slices.Contains(list, pkg) || slices.Contains(list, path.Dir(pkg)+"/*")
}

// breach returns what is wrong with an import of one of our packages by another, "" if nothing is.
func breach(from, to string) string {
	allowed, known := mayImport[from]
	if !known {
		allowed, known = mayImport[path.Dir(from)+"/*"]
	}
	switch {
	case strings.HasPrefix(to, "internal/") && !slices.Contains(reserved, to):
		return ""
	case !known && !strings.HasPrefix(from, "internal/"):
		return fmt.Sprintf("package %s has no place in the order yet; add it to mayImport", from)
	case !among(allowed, to):
		return fmt.Sprintf("the arrow %s -> %s breaks the order", from, to)
	}
	return ""
}

// TestBreach: breach itself, which an import that is wrong today does not test.
func TestBreach(t *testing.T) {
	for _, c := range []struct {
		from, to string
		breach   string // a part
	}{
		{"server", "proxy", ""},
		{"proxy", "server", "the arrow proxy -> server"},
		{"listener", "proxy", "the arrow listener -> proxy"},
		{"proxy", "config", "the arrow proxy -> config"},
		{"http1", "proxy", "the arrow http1 -> proxy"},
		{"message", "telemetry", "the arrow message -> telemetry"},
		{"netloop", "message", "the arrow netloop -> message"},
		{"filter/limit", "message", ""},
		{"filter/limit", "filter/auth", "the arrow filter/limit -> filter/auth"},
		{"filter/limit", "staticcache", "the arrow filter/limit -> staticcache"},
		{"cache", "staticcache", ""},
		{"cache", "proxy", "the arrow cache -> proxy"},
		{"server", "filter/limit", ""},
		{"proxy", "filter/limit", "the arrow proxy -> filter/limit"},
		{"proxy", "internal/wire", ""},
		{"internal/wire", "internal/errorpage", ""},
		{"internal/wire", "pool", "the arrow internal/wire -> pool"},
		{"command", "internal/cli", ""},
		{"admin", "internal/cli", "the arrow admin -> internal/cli"},
		{"internal/lbtest", "internal/cli", "the arrow internal/lbtest -> internal/cli"},
		{"internal/cli", "server", "the arrow internal/cli -> server"},
		{"server/upgrade", "listener", "the arrow server/upgrade -> listener"},
		{"gateway", "pool", "package gateway has no place"},
	} {
		if got := breach(c.from, c.to); c.breach == "" && got != "" || !strings.HasPrefix(got, c.breach) {
			t.Errorf("%s imports %s: %q, want %q", c.from, c.to, got, c.breach)
		}
	}
}

// TestArchitectureIsComplete: the page on the architecture lists each package.
func TestArchitectureIsComplete(t *testing.T) {
	page, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := 0
	err = filepath.WalkDir(".", func(directory string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		directory = filepath.ToSlash(directory)
		if name := entry.Name(); strings.HasPrefix(name, ".") && directory != "." || name == "testdata" ||
			directory == "e2e" || directory == "examples" || strings.HasSuffix(directory, "/internal") {
			return filepath.SkipDir
		}
		files, err := filepath.Glob(filepath.Join(directory, "*.go"))
		if err != nil {
			return err
		}
		isTest := func(file string) bool { return strings.HasSuffix(file, "_test.go") }
		if slices.IndexFunc(files, func(file string) bool { return !isTest(file) }) < 0 {
			return nil
		}
		listed++
		if !strings.Contains(string(page), "| `"+directory+"` |") {
			t.Errorf("ARCHITECTURE.md does not list the package %s", directory)
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
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && file != "." || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		from := filepath.ToSlash(filepath.Dir(file))
		if strings.HasPrefix(from, "e2e") || strings.HasPrefix(from, "examples") {
			return nil // tests and examples look at the balancer from outside
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		checked++
		for _, spec := range parsed.Imports {
			to, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), "lb/")
			if !ours {
				continue
			}
			if wrong := breach(from, to); wrong != "" {
				t.Errorf("%s: %s", file, wrong)
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
