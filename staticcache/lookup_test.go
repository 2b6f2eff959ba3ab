package staticcache

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLookup(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a.txt", "d/index.html", ".hidden", "e/x"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := New(Options{Memory: 1 << 20, MaxFile: 1 << 20}).Open(DirOptions{Root: root, Index: []string{"index.html"}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Root() != root {
		t.Errorf("root %q", d.Root())
	}
	for _, c := range []struct {
		method, path, file string
		result             Result
	}{
		{"GET", "/a.txt", "a.txt", Served},
		{"HEAD", "/d/", "d/index.html", Served},
		{"GET", "/d", "", Served}, // redirect
		{"GET", "/e/", "", NotFound},
		{"GET", "/none", "", NotFound},
		{"GET", "/.hidden", "", NotFound},
		{"GET", "/../a.txt", "", NotFound},
		{"POST", "/a.txt", "", MethodNotAllowed},
	} {
		want := ""
		if c.file != "" {
			want = filepath.Join(root, c.file)
		}
		if file, result, err := d.Lookup([]byte(c.method), []byte(c.path)); file != want || result != c.result || err != nil {
			t.Errorf("%s %s: %q %v %v, want %q %v", c.method, c.path, file, result, err, want, c.result)
		}
	}
	if d.cache.Files() != 0 {
		t.Error("Lookup loaded a file into memory")
	}
}
