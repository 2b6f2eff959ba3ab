package staticcache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"lb/internal/coding"
)

// decoded returns the body of a response without its coding.
func decoded(t testing.TB, a *response) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(a.body)
	var err error
	switch a.header.Get("Content-Encoding") {
	case "":
	case "gzip":
		r, err = gzip.NewReader(r)
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		var d *zstd.Decoder
		d, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err == nil {
			defer d.Close()
			r = d
		}
	default:
		t.Fatalf("Content-Encoding: %s", a.header.Get("Content-Encoding"))
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// startCache starts the cache until the test ends.
func startCache(t testing.TB, c *Cache) {
	ctx, cancel := context.WithCancel(context.Background())
	c.Start(ctx)
	t.Cleanup(func() { cancel(); c.Wait() })
}

// page is a text that compresses well.
func page(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "<li>item %d of the page, %x</li>\n", i, i*i)
	}
	return b.String()[:size]
}

// TestCompressedInBackground: the first request gets the file as it is, later ones the variant that they accept.
func TestCompressedInBackground(t *testing.T) {
	c := newCache(1<<20, 1<<20)
	startCache(t, c)
	body := page(20_000)
	d := open(t, c, DirOptions{Compress: true, Index: []string{"index.html"}, Root: tree(t, map[string]string{"index.html": body})})
	plain, _ := get(t, d, "/", "Accept-Encoding", "gzip")
	if plain.header.Get("Content-Encoding") != "" || string(plain.body) != body || plain.header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v", plain.header)
	}
	tags := map[string]string{plain.header.Get("Etag"): "identity"}
	for _, name := range []string{"gzip", "br", "zstd"} {
		var a *response
		poll(t, func() bool {
			a, _ = get(t, d, "/", "Accept-Encoding", name)
			return a.header.Get("Content-Encoding") == name
		})
		if decoded(t, a) != body || len(a.body) > len(body)/4 {
			t.Errorf("%s: %d bytes", name, len(a.body))
		}
		if a.header.Get("Content-Length") != decimal(len(a.body)) || a.header.Get("Vary") != "Accept-Encoding" ||
			a.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %v", name, a.header)
		}
		etag := a.header.Get("Etag")
		if other := tags[etag]; other != "" || !strings.HasPrefix(etag, `"`) {
			t.Errorf("%s: tag %s is that of %s", name, etag, other)
		}
		tags[etag] = name
		head, _ := do(t, d, "HEAD", "/", "Accept-Encoding", name)
		if head.raw != a.raw || len(head.body) > 0 {
			t.Errorf("%s: HEAD %q, GET %q", name, head.raw, a.raw)
		}
		same, _ := get(t, d, "/", "Accept-Encoding", name, "If-None-Match", etag)
		if same.status != 304 || same.header.Get("Etag") != etag || same.header.Get("Vary") != "Accept-Encoding" || same.header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", name, same.status, same.header)
		}
		other, _ := get(t, d, "/", "Accept-Encoding", name, "If-None-Match", plain.header.Get("Etag"))
		if other.status != 200 {
			t.Errorf("%s: %d to the tag of another variant", name, other.status)
		}
		part, _ := get(t, d, "/", "Accept-Encoding", name, "Range", "bytes=10-19", "If-Range", etag)
		if part.status != 206 || !bytes.Equal(part.body, a.body[10:20]) || part.header.Get("Content-Encoding") != name ||
			part.header.Get("Content-Range") != fmt.Sprintf("bytes 10-19/%d", len(a.body)) {
			t.Errorf("%s: %d %v %q", name, part.status, part.header, part.body)
		}
		whole, _ := get(t, d, "/", "Accept-Encoding", name, "Range", "bytes=10-19", "If-Range", plain.header.Get("Etag"))
		if whole.status != 200 || !bytes.Equal(whole.body, a.body) {
			t.Errorf("%s: %d to a range of another variant", name, whole.status)
		}
		if several, _ := get(t, d, "/", "Accept-Encoding", name, "Range", "bytes=0-1,5-6"); several.status != 200 {
			t.Errorf("%s: %d to several ranges", name, several.status)
		}
		if failed, _ := get(t, d, "/", "Accept-Encoding", name, "If-Match", plain.header.Get("Etag")); failed.status != 412 {
			t.Errorf("%s: %d to If-Match", name, failed.status)
		}
	}
	for field, want := range map[string]string{"": "", "deflate": "", "gzip;q=0": "", "br;q=0.1, gzip;q=0.2": "gzip", "identity, br;q=0.5": ""} {
		a, _ := get(t, d, "/", "Accept-Encoding", field)
		if got := a.header.Get("Content-Encoding"); got != want || decoded(t, a) != body {
			t.Errorf("%q: %q", field, got)
		}
	}
	smallest := len(body)
	for i := range d.cached("").encoded {
		smallest = min(smallest, len(d.cached("").encoded[i].body))
	}
	if a, _ := get(t, d, "/", "Accept-Encoding", "gzip, br, zstd"); len(a.body) != smallest {
		t.Errorf("%d bytes are sent of which the smallest variant has %d", len(a.body), smallest)
	}
	audit(t, c)
}

// TestNotCompressed: what has no variants says nothing of Vary either.
func TestNotCompressed(t *testing.T) {
	c := newCache(1<<20, 1<<20)
	root := tree(t, map[string]string{
		"a.png": page(5000), "small.css": "a{}", "b.gz": page(5000), "icon.svgz": page(5000), "off/a.html": page(5000), "z.html": page(5000),
	})
	d := open(t, c, DirOptions{Compress: true, Root: root})
	for _, path := range []string{"/a.png", "/small.css", "/b.gz", "/icon.svgz"} {
		a, _ := get(t, d, path, "Accept-Encoding", "gzip, br, zstd")
		if a.status != 200 || a.header.Get("Vary") != "" || d.cached(path[1:]).job.state.Load() != jobNone {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
	}
	if a, _ := get(t, d, "/icon.svgz"); a.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("svgz: %v", a.header)
	}
	off := open(t, c, DirOptions{Root: filepath.Join(root, "off")})
	if a, _ := get(t, off, "/a.html", "Accept-Encoding", "gzip"); a.header.Get("Vary") != "" {
		t.Errorf("off: %v", a.header)
	}
}

// TestPrecompressed: compressed files beside a file are preferred, at once, and followed when they change.
func TestPrecompressed(t *testing.T) {
	for name, limits := range map[string][2]int64{"memory": {1 << 20, 1 << 20}, "disk": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			c := newCache(limits[0], limits[1])
			body := page(3000)
			root := tree(t, map[string]string{
				"a.css": body, "a.css.br": "the br of a", "a.css.gz": "the gzip of a",
				"data": strings.Repeat("x", 500), "data.zst": "the zstd of data", "longer.txt": "a", "longer.txt.gz": "longer than a",
				"d.css": body, "d.css.gz/x": "a directory", ".hidden": body, ".hidden.gz": "hidden",
			})
			d := open(t, c, DirOptions{Compress: true, Root: root})
			for _, x := range []struct{ path, accept, coding, body string }{
				{"/a.css", "gzip, br, zstd", "br", "the br of a"},
				{"/a.css", "gzip", "gzip", "the gzip of a"},
				{"/a.css", "br;q=0.1, gzip;q=0.5", "gzip", "the gzip of a"},
				{"/a.css", "zstd", "", body},
				{"/a.css", "", "", body},
				{"/data", "zstd", "zstd", "the zstd of data"},
				{"/d.css", "gzip", "", body},
			} {
				a, _ := get(t, d, x.path, "Accept-Encoding", x.accept)
				if a.header.Get("Content-Encoding") != x.coding || string(a.body) != x.body {
					t.Errorf("%s %q: %q %.40q", x.path, x.accept, a.header.Get("Content-Encoding"), a.body)
				}
				if want := "Accept-Encoding"; a.header.Get("Vary") != want && (x.path != "/d.css" || name == "memory") {
					t.Errorf("%s %q: Vary %q", x.path, x.accept, a.header.Get("Vary"))
				}
				if media := a.header.Get("Content-Type"); x.path == "/data" && media != "text/plain; charset=utf-8" {
					t.Errorf("%s: %s", x.path, media)
				}
			}
			if _, result := get(t, d, "/.hidden.gz"); result != NotFound {
				t.Error("a hidden file is served")
			}
			if a, _ := get(t, d, "/longer.txt", "Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "" {
				t.Error("a compressed file that is larger is served")
			}
			write(t, filepath.Join(root, "a.css.br"), "the new br of a", false)
			age(c)
			if a, _ := get(t, d, "/a.css", "Accept-Encoding", "br"); string(a.body) != "the new br of a" {
				t.Errorf("after a change: %.40q", a.body)
			}
			if err := os.Remove(filepath.Join(root, "a.css.br")); err != nil {
				t.Fatal(err)
			}
			age(c)
			if a, _ := get(t, d, "/a.css", "Accept-Encoding", "br"); string(a.body) != body {
				t.Errorf("after its removal: %.40q", a.body)
			}
			audit(t, c)
		})
	}
}

// TestVariantsStayInBudget: variants count as memory, and are left out where there is none.
func TestVariantsStayInBudget(t *testing.T) {
	body := page(20_000)
	smallest := len(body)
	for _, k := range coding.All {
		encoded, err := coding.Compress(k, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		smallest = min(smallest, len(encoded))
	}
	c := newCache(int64(len(body)+smallest+3000), 1<<20)
	startCache(t, c)
	d := open(t, c, DirOptions{Compress: true, Root: tree(t, map[string]string{"a.html": body})})
	poll(t, func() bool {
		a, _ := get(t, d, "/a.html", "Accept-Encoding", "gzip, br, zstd")
		return a.header.Get("Content-Encoding") != ""
	})
	e := d.cached("a.html")
	if e == nil || len(e.encoded) == len(coding.All) {
		t.Fatalf("all variants are kept: %v", e)
	}
	if used := int64(c.store.WeightedSize()); used > c.memory.Load() {
		t.Errorf("%d bytes of %d", used, c.memory.Load())
	}
	audit(t, c)
}

func TestNegotiatedHitAllocatesNothing(t *testing.T) {
	d := open(t, newCache(1<<20, 1<<20), DirOptions{Compress: true,
		Root: tree(t, map[string]string{"a.css": page(1000), "a.css.br": "br", "a.css.gz": "gzip"})})
	get(t, d, "/a.css")
	r := &Request{Method: []byte("GET"), Path: []byte("/a.css"), AcceptEncoding: []byte("gzip, deflate, br, zstd")}
	var w ResponseWriter = &discard{}
	if allocs := testing.AllocsPerRun(1000, func() { _, _ = d.Serve(w, r) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if n := w.(*discard).length; n != len("br") {
		t.Errorf("%d bytes", n)
	}
}
