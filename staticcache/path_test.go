package staticcache

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAppendClean(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "/": "", "//": "", "/.": "", "/a": "a", "a": "a", "/a/": "a/", "/a//b": "a/b", "/a/./b": "a/b", "/a/.": "a/", "/a/..": "",
		"/a/../": "", "/a/b/..": "a/", "/a/b/../c": "a/c", "/a/b/../../c": "c", "/...": "...", "/a..": "a..", "/..a": "..a", "/.a": ".a",
		"/a/b/c/../../d/": "a/d/", "/é": "é",
		"/..": "!", "/../": "!", "/a/../..": "!", "/a/../../a": "!", "/\x00": "!", "/a\\b": "!", "/..\\": "!", "..": "!",
	} {
		got, ok := appendClean([]byte("kept/"), []byte(in))
		got, kept := bytes.CutPrefix(got, []byte("kept/"))
		if !kept || ok != (want != "!") || ok && string(got) != want {
			t.Errorf("appendClean(%q) = %q, %v; want %q", in, got, ok, want)
		}
	}
}

// No path and no target leads out of the tree, into a hidden file, to another site, or breaks a line of the header.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/a.txt", "/d", "/d/", "/d/../../secret", "//evil.com/..", "/..%2f..%2f", "/.\\../secret", "/d/./..//.hidden", "/out/secret",
		"/up/secret", "/\x00", "/a.txt/../d/e.txt", "/.well-known/../.hidden", "/\r\nX: y", "http://evil/d", "\\\\evil\\d"} {
		f.Add(s, s)
	}
	base := f.TempDir()
	root := filepath.Join(base, "root")
	for name, body := range map[string]string{"root/a.txt": "public", "root/d/e.txt": "public", "root/d/index.html": "public", "root/.hidden": "SECRET",
		"root/.well-known/x": "public", "secret": "SECRET", "a.txt": "SECRET"} {
		write(f, filepath.Join(base, name), body, false)
	}
	for link, target := range map[string]string{"out": base, "up": "..", "d/up": "../../secret"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			f.Fatal(err)
		}
	}
	memory := open(f, newCache(1<<20, 1<<20), DirOptions{Root: root, Index: []string{"index.html"}, TryFiles: []string{"{path}", "{path}.html", "{path}/"}})
	streamed := open(f, newCache(0, 0), DirOptions{Root: root, Index: []string{"index.html"}})
	f.Fuzz(func(t *testing.T, path, target string) {
		clean, ok := appendClean(nil, []byte(path))
		if ok {
			if again, ok := appendClean(nil, clean); !ok || !bytes.Equal(again, clean) {
				t.Fatalf("%q is %q, which is not clean", path, clean)
			}
			if len(clean) > 0 && !filepath.IsLocal(string(clean)) {
				t.Fatalf("%q is %q, which is not local", path, clean)
			}
		}
		for _, d := range []*Dir{memory, streamed} {
			a := &response{t: t}
			result, err := d.Serve(a, &Request{Method: []byte("GET"), Path: []byte(path), Target: []byte(target)})
			switch {
			case err != nil || result == Failed || result == MethodNotAllowed:
				t.Fatalf("%q: %v %v", path, result, err)
			case result == Served && a.status == 200 && string(a.body) != "public":
				t.Fatalf("%q: %q", path, a.body)
			case result == Served && !ok:
				t.Fatalf("%q: got a response", path)
			}
			if location := a.header.Get("Location"); a.status == 301 {
				if !strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//") || strings.ContainsAny(location, "\\\r\n\t #") {
					t.Fatalf("%q: Location %q", target, location)
				}
			}
		}
	})
}
