package staticcache

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestServe(t *testing.T) {
	root := tree(t, map[string]string{
		"index.html": "<p>home", "a.txt": "text", "docs/index.html": "docs", "docs/x y.css": "css",
		"empty/": "", "large.bin": strings.Repeat("x", 5000), "noext": "\x89PNG\r\n\x1a\nrest", ".env": "secret",
		".well-known/x": "known", "docs/.git/config": "git", "...": "dots", "zero.txt": "", "UP.JPG": "jpg",
	})
	for name, limit := range map[string]int64{"memory": 1 << 20, "streamed": 0} {
		t.Run(name, func(t *testing.T) {
			d := open(t, newCache(1<<20, limit), DirOptions{Root: root, Index: []string{"index.html"}, CacheControl: "max-age=60"})
			for range 3 { // from disk, then from memory
				for _, c := range []struct{ path, body, contentType string }{
					{"/", "<p>home", "text/html; charset=utf-8"},
					{"", "<p>home", "text/html; charset=utf-8"},
					{"/index.html", "<p>home", "text/html; charset=utf-8"},
					{"a.txt", "text", "text/plain; charset=utf-8"},
					{"/a.txt", "text", "text/plain; charset=utf-8"},
					{"//a.txt", "text", "text/plain; charset=utf-8"},
					{"/./docs/../a.txt", "text", "text/plain; charset=utf-8"},
					{"/docs/", "docs", "text/html; charset=utf-8"},
					{"/docs/.", "docs", "text/html; charset=utf-8"},
					{"/docs/x y.css", "css", "text/css; charset=utf-8"},
					{"/noext", "\x89PNG\r\n\x1a\nrest", "image/png"},
					{"/UP.JPG", "jpg", "image/jpeg"},
					{"/.well-known/x", "known", "text/plain; charset=utf-8"},
					{"/zero.txt", "", "text/plain; charset=utf-8"},
					{"/large.bin", strings.Repeat("x", 5000), "application/octet-stream"},
				} {
					a := want(t, d, c.path, c.body)
					if got := a.header.Get("Content-Type"); got != c.contentType {
						t.Errorf("%q: Content-Type %q, want %q", c.path, got, c.contentType)
					}
					if a.header.Get("Content-Length") != strconv.Itoa(len(c.body)) || a.header.Get("Etag") == "" && limit > 0 ||
						a.header.Get("Last-Modified") != "Thu, 29 Feb 2024 12:30:45 GMT" ||
						a.header.Get("Accept-Ranges") != "bytes" || a.header.Get("Cache-Control") != "max-age=60" {
						t.Errorf("%q: header %q", c.path, a.raw)
					}
					if a.streamed == (limit > 0) {
						t.Errorf("%q: streamed %v", c.path, a.streamed)
					}
					head, _ := do(t, d, "HEAD", c.path)
					if head.status != 200 || head.body != nil || head.raw != a.raw {
						t.Errorf("HEAD %q: %d %q, body %q; GET has %q", c.path, head.status, head.raw, head.body, a.raw)
					}
				}
				for _, path := range []string{"/nothing", "/a.txt/", "/a.txt/b", "/empty/", "/.env", "/docs/.git/config", "/...",
					"/..", "/../a.txt", "/docs/../../a.txt", "/a.txt\x00", "/docs\\index.html", "/..\\a.txt", "/" + strings.Repeat("a", 300),
					"/" + strings.Repeat("a/", 3000), "/%2e%2e/a.txt"} {
					if _, result := get(t, d, path); result != NotFound {
						t.Errorf("GET %.40q: %v, want NotFound", path, result)
					}
				}
			}
			for _, method := range []string{"POST", "PUT", "OPTIONS", "get", "", "GETS"} {
				if _, result := do(t, d, method, "/a.txt"); result != MethodNotAllowed {
					t.Errorf("%s: %v", method, result)
				}
			}
		})
	}
}

func TestDotfilesEnabled(t *testing.T) {
	d := open(t, newCache(1<<20, 1<<20), DirOptions{Root: tree(t, map[string]string{".env": "e"}), Dotfiles: true})
	want(t, d, "/.env", "e")
}

func TestRedirectOfDirectories(t *testing.T) {
	d := open(t, newCache(1<<20, 1<<20), DirOptions{Root: tree(t, map[string]string{"docs/a b/index.html": "x"}), Index: []string{"index.html"}})
	for _, c := range []struct{ path, target, location string }{
		{"/docs", "/docs", "/docs/"},
		{"/docs", "/docs?a=1&b=?2", "/docs/?a=1&b=?2"},
		{"docs", "/images/docs", "/images/docs/"}, // the prefix was cut
		{"/docs/a b", "/docs/a%20b?x", "/docs/a%20b/?x"},
		{"//docs", "//docs", "/docs/"},
		{"/evil.com/../docs", "//evil.com/../docs", "/evil.com/../docs/"},
		{"/docs", "/\\docs", "/docs/"},
		{"/docs", "http://clock.example.com//docs?q", "/docs/?q"},
		{"/docs", "/\t/docs\r\nX: y", "/%09/docs%0D%0AX:%20y/"},
		{"/docs", "", "/"},
	} {
		a, result := get(t, d, c.path, "Target", c.target)
		if result != Served || a.status != 301 || a.header.Get("Location") != c.location || a.header.Get("Content-Length") != "0" {
			t.Errorf("%q: %v %d %q, want Location %q", c.target, result, a.status, a.raw, c.location)
		}
	}
}

func TestTryFiles(t *testing.T) {
	root := tree(t, map[string]string{"index.html": "app", "a": "file a", "a.html": "page a", "b.html": "page b", "b.html.html": "odd",
		"dir/": "", "sub/index.html": "sub", "maint.html": "m"})
	for _, c := range []struct {
		try   string
		paths map[string]string // "": NotFound, "/x": redirect
	}{
		{"", map[string]string{"/a": "file a", "/b": "", "/sub/": "sub", "/dir/": "", "/sub": "/sub/"}},
		{"{path} {path}.html =404", map[string]string{"/a": "file a", "/b": "page b", "/c": "", "/sub": "", "/sub/": "sub"}},
		{"{path}.html {path}", map[string]string{"/a": "page a", "/b": "page b", "/b.html": "odd", "/a.html": "page a", "/sub/": "sub"}},
		{"{path} {path}/ /index.html", map[string]string{"/a": "file a", "/x/y/z": "app", "/dir/": "app", "/dir": "/dir/", "/sub/": "sub", "/": "app"}},
		{"/maint.html {path}", map[string]string{"/a": "m", "/": "m", "/maint.html": "m"}},
		{"{path}/index.html", map[string]string{"/sub": "sub", "/sub/": "sub", "/": "app", "/a": ""}},
	} {
		d := open(t, newCache(1<<20, 1<<20), DirOptions{Root: root, Index: []string{"index.html"}, TryFiles: strings.Fields(c.try)})
		for range 3 {
			for path, body := range c.paths {
				a, result := get(t, d, path)
				switch {
				case body == "" && result != NotFound,
					body != "" && body[0] != '/' && string(a.body) != body,
					strings.HasPrefix(body, "/") && a.header.Get("Location") != body:
					t.Errorf("try %q: GET %s: %v %d %q, want %q", c.try, path, result, a.status, a.body, body)
				}
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	root := tree(t, map[string]string{"file": "x"})
	for name, o := range map[string]DirOptions{
		"create it":       {Root: filepath.Join(root, "none")},
		"not a directory": {Root: filepath.Join(root, "file")},
		"no root":         {},
		"last entry":      {Root: root, TryFiles: []string{"=404", "{path}"}},
		"only \"=404\"":   {Root: root, TryFiles: []string{"=500"}},
		"placeholder":     {Root: root, TryFiles: []string{"{uri}"}},
		"plain path":      {Root: root, TryFiles: []string{"/../x"}},
		"a dot":           {Root: root, TryFiles: []string{"/.x"}},
		"plain name":      {Root: root, Index: []string{"../x"}},
		"control":         {Root: root, CacheControl: "a\r\nb"},
	} {
		_, err := newCache(1, 1).Open(o)
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), strconv.Quote(o.Root)) {
			t.Errorf("%+v: error %v, want one about %q", o, err, name)
		}
	}
}

// Only regular files exist, and a fifo without a writer does not block.
func TestOnlyRegularFiles(t *testing.T) {
	root := tree(t, map[string]string{"real.txt": "real", "dir/real.txt": "below"})
	outside := tree(t, map[string]string{"secret": "secret"})
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"inside": "dir/real.txt", "dir/up": "../real.txt", "linkdir": "dir", "loop": "loop", "dangling": "nothing",
		"out": filepath.Join(outside, "secret"), "outdir": outside, "dots": "../" + filepath.Base(outside) + "/secret", "device": "/dev/zero",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, newCache(1<<20, 1<<20), DirOptions{Root: root})
	for range 2 {
		want(t, d, "/inside", "below")
		want(t, d, "/dir/up", "real")
		want(t, d, "/linkdir/real.txt", "below")
		for _, path := range []string{"/fifo", "/loop", "/dangling", "/out", "/outdir/secret", "/outdir", "/dots", "/device"} {
			if _, result := get(t, d, path); result != NotFound {
				t.Errorf("%s: %v", path, result)
			}
		}
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, _, err := openRegular(r, "fifo"); err != errNotRegular {
		t.Errorf("open of a fifo: %v", err)
	}
}

func TestForbidden(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	root := tree(t, map[string]string{"a": "x"})
	if err := os.Chmod(filepath.Join(root, "a"), 0); err != nil {
		t.Fatal(err)
	}
	d := open(t, newCache(1<<20, 1<<20), DirOptions{Root: root})
	if _, result := get(t, d, "/a"); result != Forbidden {
		t.Errorf("%v", result)
	}
}

func TestRefusal(t *testing.T) {
	for err, want := range map[error]Result{
		&os.PathError{Op: "openat", Path: "x", Err: syscall.EACCES}: Forbidden,
		&os.PathError{Op: "openat", Path: "x", Err: syscall.ENOENT}: NotFound,
		&os.PathError{Op: "openat", Path: "x", Err: syscall.ENXIO}:  NotFound, // a socket
		&os.PathError{Op: "openat", Path: "x", Err: syscall.EMFILE}: Failed,
		errNotRegular: NotFound,
		os.ErrClosed:  Failed,
	} {
		result, reason := refusal(err)
		if result != want || (reason != nil) != (want == Failed) {
			t.Errorf("%v: %v %v", err, result, reason)
		}
	}
	for result, status := range map[Result]int{Served: 0, NotFound: 404, Forbidden: 403, MethodNotAllowed: 405, Failed: 500} {
		if result.Status() != status {
			t.Errorf("%d: %d", result, result.Status())
		}
	}
}
