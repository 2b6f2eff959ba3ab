package staticcache

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestListing: a directory without an index is listed, in both forms, and nothing that could not be requested is in it.
func TestListing(t *testing.T) {
	outside := tree(t, map[string]string{"secret": "s"})
	root := tree(t, map[string]string{
		"d/b.txt": "bb", "d/a<b>&\".txt": "a", "d/sub/x": "x", "d/.hidden": "h", "d/100% #?.css": "c", "i/index.html": "index", "javascript:alert(1)": "j",
	})
	for name, to := range map[string]string{"out": filepath.Join("../..", filepath.Base(outside), "secret"), "in": "b.txt", "gone": "gone"} {
		if err := os.Symlink(to, filepath.Join(root, "d", name)); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, newCache(1<<20, 1<<20), DirOptions{Root: root, Index: []string{"index.html"}, Browse: true, CacheControl: "max-age=1"})
	a, result := get(t, d, "/d/", "Accept", "application/json")
	var list []struct {
		Name, Type, Mtime string
		Size              int64
	}
	if err := json.Unmarshal(a.body, &list); err != nil || result != Served || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v %v %q", result, err, a.body)
	}
	var names []string
	for _, l := range list {
		names = append(names, l.Name+" "+l.Type[:1]+decimal(int(l.Size)))
	}
	if got := strings.Join(names, "|"); got != `sub d0|100% #?.css f1|a<b>&".txt f1|b.txt f2|in f2` {
		t.Errorf("%s", got)
	}
	if list[3].Mtime != old.UTC().Format("2006-01-02T15:04:05Z") {
		t.Errorf("time %s", list[3].Mtime)
	}
	for field, want := range map[string]string{"Vary": "Accept", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Etag": "",
		"Content-Length": decimal(len(a.body))} {
		if got := a.header.Get(field); got != want {
			t.Errorf("%s: %q", field, got)
		}
	}
	page, _ := get(t, d, "/d/", "Accept", "text/html, */*;q=0.8")
	for _, part := range []string{`href="../"`, `href="./sub/"`, `href="./100%25%20%23%3F.css"`, `a&lt;b&gt;&amp;&#34;.txt</a>`, "<title>/d/</title>", "2 bytes"} {
		if !strings.Contains(string(page.body), part) {
			t.Errorf("%s is not in %s", part, page.body)
		}
	}
	if page.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%v", page.header)
	}
	if head, _ := do(t, d, "HEAD", "/d/", "Accept", "text/html"); head.raw != page.raw || len(head.body) > 0 {
		t.Errorf("HEAD: %q", head.raw)
	}
	if top, _ := get(t, d, "/"); strings.Contains(string(top.body), `href="../"`) || !strings.Contains(string(top.body), `href="./javascript:alert%281%29"`) &&
		!strings.Contains(string(top.body), `href="./javascript:alert(1)"`) {
		t.Errorf("%s", top.body)
	}
	want(t, d, "/i/", "index")
	if redirect, _ := get(t, d, "/d", "Target", "/d?q=1"); redirect.status != 301 || redirect.header.Get("Location") != "/d/?q=1" {
		t.Errorf("without a slash: %d %v", redirect.status, redirect.header)
	}
	for _, path := range []string{"/none/", "/d/b.txt/", "/d/../../", "/d/out"} {
		if _, result := get(t, d, path); result != NotFound {
			t.Errorf("%s: %v", path, result)
		}
	}
	off := open(t, newCache(1<<20, 1<<20), DirOptions{Root: root})
	if _, result := get(t, off, "/d/"); result != NotFound {
		t.Errorf("without browse: %v", result)
	}
	if file, result, _ := d.Lookup([]byte("GET"), []byte("/d/")); result != Served || !strings.HasSuffix(file, "/d/") {
		t.Errorf("Lookup: %q %v", file, result)
	}
}

// TestListingOfAnyTime: one file with a year that JSON has no form for does not make the listing fail.
func TestListingOfAnyTime(t *testing.T) {
	root, err := os.MkdirTemp("/dev/shm", "lb") // which can store such a year
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(root)
	file := filepath.Join(root, "a.txt")
	write(t, file, "a", false)
	if err := os.Chtimes(file, old, time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Skip(err)
	}
	d := open(t, newCache(0, 0), DirOptions{Root: root, Browse: true})
	if a, _ := get(t, d, "/", "Accept", "application/json"); a.status != 200 || !json.Valid(a.body) || !strings.Contains(string(a.body), "a.txt") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestListingsAreShared: requests for the same listing at the same time read the directory once.
func TestListingsAreShared(t *testing.T) {
	d := open(t, newCache(0, 0), DirOptions{Root: tree(t, map[string]string{"d/a": "a"}), Browse: true})
	synctest.Test(t, func(t *testing.T) {
		release, first := make(chan struct{}), []byte("the first one")
		go d.listings.Do("html d/", func() (any, error) { <-release; return first, nil })
		synctest.Wait()
		var second *response
		go func() { second, _ = get(t, d, "/d/", "Accept", "text/html") }()
		synctest.Wait()
		if second != nil {
			t.Error("the directory was read a second time")
		}
		close(release)
		synctest.Wait()
		if string(second.body) != string(first) {
			t.Errorf("%s", second.body)
		}
	})
}

func TestListingIsBounded(t *testing.T) {
	root := t.TempDir()
	for i := range mostListed + 10 {
		f, err := os.Create(filepath.Join(root, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	d := open(t, newCache(0, 0), DirOptions{Root: root, Browse: true})
	a, _ := get(t, d, "/")
	if n := strings.Count(string(a.body), "<li>"); n != mostListed || !strings.Contains(string(a.body), "There are more files") {
		t.Errorf("%d lines", n)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, file string
		want          bool
	}{
		{"*.css", "a.css", true}, {"*.css", "d/e/a.css", true}, {"*.css", "a.css.br", false}, {"*.CSS", "a.css", false},
		{"app.js", "d/app.js", true}, {"app.js", "d/xapp.js", false}, {"a?.js", "ab.js", true}, {"a?.js", "a.js", false},
		{"/assets/*", "assets/a", true}, {"/assets/*", "assets/d/a.js", true}, {"/assets/*", "assets", false}, {"/assets/*", "x/assets/a", false},
		{"/a", "a", true}, {"/a", "d/a", false}, {"*", "a", true}, {"**", "d/a", true}, {"/*/x", "a/b/x", true}, {"/*a*b", "xaybzb", true}, {"/*a*b", "xaybz", false},
		{"", "a", false}, {"/?", "", false},
	} {
		if got := matchesFile(c.pattern, c.file); got != c.want {
			t.Errorf("%q, %q: %v", c.pattern, c.file, got)
		}
	}
	if like(strings.Repeat("*a", 120)+"b", strings.Repeat("a", 4096)) { // which takes long with a search that goes back to each star
		t.Error("it matches")
	}
}

func TestCacheControlByPattern(t *testing.T) {
	for name, limit := range map[string]int64{"memory": 1 << 20, "disk": 0} {
		d := open(t, newCache(limit, limit), DirOptions{
			Root: tree(t, map[string]string{"index.html": "i", "assets/a.js": "a", "assets/b.html": "b", "c.txt": "c"}), Index: []string{"index.html"},
			CacheControl: "max-age=60", CacheControls: []CacheControl{{"*.html", "no-cache"}, {"/assets/*", "immutable"}},
		})
		for path, want := range map[string]string{"/": "no-cache", "/assets/a.js": "immutable", "/assets/b.html": "no-cache", "/c.txt": "max-age=60"} {
			if a, _ := get(t, d, path); a.header.Get("Cache-Control") != want {
				t.Errorf("%s, %s: %q", name, path, a.header.Get("Cache-Control"))
			}
		}
	}
	if _, err := newCache(0, 0).Open(DirOptions{Root: t.TempDir(), CacheControls: []CacheControl{{"*", "a\nb"}}}); err == nil {
		t.Error("a value with a line break is accepted")
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("/a*b?", "a/b/c")
	f.Fuzz(func(t *testing.T, pattern, file string) {
		if len(pattern) > 255 || len(file) > 1000 {
			return
		}
		matchesFile(pattern, file)
		if !like(strings.ReplaceAll(file, "*", "?"), file) {
			t.Errorf("%q does not match itself", file)
		}
	})
}
