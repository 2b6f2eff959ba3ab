package server_test

import (
	"fmt"
	"strings"
	"testing"

	"lb/internal/coding"
	"lb/internal/lbtest"
)

// compressible returns a text that compresses well.
func compressible(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "<li>item %d of the page, %x</li>\n", i, i*i)
	}
	return b.String()[:size]
}

// TestCompressedFiles: a browser gets a file with the coding that it accepts, from memory and from the disk.
func TestCompressedFiles(t *testing.T) {
	body := compressible(20_000)
	dir := writeFiles(t, map[string]string{"a.css": body, "a.css.gz": "the gzip of a", "b.html": body, "large.js": strings.Repeat(body, 10), "large.js.br": "large"})
	text := "static_cache {\n  max_file = \"100KiB\"\n}\nsite \"s\" {\n  route \"/\" {\n    static {\n      root = \"" + dir + "\"\nMORE    }\n  }\n}\n"
	lb := start(t, strings.Replace(text, "MORE", "", 1))
	const accept = "Accept-Encoding: br;q=0.5\r\nAccept-Encoding: gzip"
	for range 2 { // from the disk, and from memory
		r := lb.get("/a.css", accept)
		if r.Status() != 200 || r.Body != "the gzip of a" || r.Field("Content-Encoding") != "gzip" || r.Field("Vary") != "Accept-Encoding" {
			t.Errorf("%s%q", r.Head, r.Body)
		}
	}
	if r := lb.get("/a.css"); r.Body != body || r.Field("Content-Encoding") != "" || r.Field("Vary") != "Accept-Encoding" {
		t.Errorf("%s", r.Head)
	}
	if r := lb.get("/large.js", accept); r.Body != "large" || r.Field("Content-Encoding") != "br" || r.Field("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("%s%.40q", r.Head, r.Body)
	}
	lbtest.Eventually(t, "b.html is compressed", func() bool { return lb.get("/b.html", accept).Field("Content-Encoding") == "gzip" })
	if err := lb.reload(strings.Replace(text, "MORE", "      compress = false\n", 1)); err != nil {
		t.Fatal(err)
	}
	if r := lb.get("/a.css", accept); r.Body != body || r.Field("Vary") != "" {
		t.Errorf("without compression: %s", r.Head)
	}
}

// TestListedDirectory: browse lists a directory for people and for programs, and lb explain knows it.
func TestListedDirectory(t *testing.T) {
	dir := writeFiles(t, map[string]string{"d/a.txt": "a", "assets/app-1.js": "b"})
	lb := start(t, "site \"s\" {\n  route \"/files/\" {\n    static {\n      root = \""+dir+"\"\n      strip_prefix = true\n      browse = true\n"+
		"      immutable = [\"/assets/*\"]\n      cache_control_for = { \"*.txt\" = \"no-cache\" }\n    }\n  }\n}\n")
	if r := lb.get("/files/d/", "Accept: application/json"); r.Status() != 200 || !strings.HasPrefix(r.Body, `[{"name":"a.txt","type":"file","mtime":"`) {
		t.Errorf("%s%s", r.Head, r.Body)
	}
	if r := lb.get("/files/", "Accept: text/html"); r.Status() != 200 || !strings.Contains(r.Body, `<a href="./d/">d/</a>`) {
		t.Errorf("%s%s", r.Head, r.Body)
	}
	if r := lb.get("/files/assets/app-1.js"); r.Field("Cache-Control") != "public, max-age=31536000, immutable" {
		t.Errorf("%s", r.Head)
	}
	if r := lb.get("/files/d/a.txt"); r.Field("Cache-Control") != "no-cache" {
		t.Errorf("%s", r.Head)
	}
	if text := lb.admin("GET", "/api/v1/explain?url=http://a/files/d/"); !strings.Contains(text, "the directory has no index and is listed") {
		t.Errorf("%s", text)
	}
}

// gzipOf returns a text with gzip.
func gzipOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := coding.Compress(coding.Gzip, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
