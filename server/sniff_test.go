package server_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestStaticTypesAreNotActive: a file without a known extension, such as an upload by a visitor, never gets a type for which
// browsers run scripts, and every file has X-Content-Type-Options: nosniff.
func TestStaticTypesAreNotActive(t *testing.T) {
	const text, bytes = "text/plain; charset=utf-8", "application/octet-stream"
	cases := []struct{ name, content, contentType string }{
		{"upload", "<!DOCTYPE html><script>alert(1)</script>", text},
		{"upload.data", "\n\t <HTML><script>alert(1)</script>", text},
		{"upload.", "<!-- --><script>alert(1)</script>", text},
		{"upload.html.x", "<script>alert(1)</script>", text},
		{"upload.html~", "<iframe src=x>", text},
		{"bom", "\xef\xbb\xbf<html><script>alert(1)</script>", text},
		{"utf16", "\xff\xfe<\x00h\x00t\x00m\x00l\x00>\x00", "text/plain; charset=utf-16le"},
		{"svg", "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", text},
		{"xml", "<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", text},
		{"xsl", "<?xml-stylesheet href='x'?>", text},
		{"pdf", "%PDF-1.7 /JavaScript", bytes},
		{"ps", "%!PS-Adobe-3.0", bytes},
		{"wasm", "\x00asm\x01\x00\x00\x00", bytes},
		{"zip", "PK\x03\x04<html>", bytes},
		{"binary", "\x00\x01\x02<html>", bytes},
		{"empty", "", text},
		{"png", "\x89PNG\r\n\x1a\n<html>", "image/png"},
		{"gif", "GIF89a/*<html>", "image/gif"},
		{"song", "ID3<html>", "audio/mpeg"},
		{"film", "\x1aE\xdf\xa3<html>", "video/webm"},
		{"font", "wOF2<html>", "font/woff2"},
		// A file with a known extension keeps its type, whatever its content.
		{"a.html", "<p>a", "text/html; charset=utf-8"},
		{"a.txt", "<!DOCTYPE html><script>alert(1)</script>", text},
		{"a.svg", "<svg/>", "image/svg+xml; charset=utf-8"},
		{"a.xml", "<?xml version='1.0'?>", "text/xml; charset=utf-8"},
		{"a.pdf", "%PDF-1.7", "application/pdf"},
		{"a.png", "<html>", "image/png"},
		{"a.js", "let a", "text/javascript; charset=utf-8"},
		{"a.css", "p {}", "text/css; charset=utf-8"},
		{"a.json", "{}", "application/json"},
	}
	files := map[string]string{}
	for _, c := range cases {
		files["www/"+c.name] = c.content
	}
	dir := writeFiles(t, files)
	for where, maxFile := range map[string]string{"memory": "1MiB", "streamed": "0"} {
		t.Run(where, func(t *testing.T) {
			lb := start(t, fmt.Sprintf(`
static_cache {
  max_file = %q
}
site "s" {
  route "/" {
    static {
      root         = %q
      strip_prefix = true
    }
  }
  route "/bare/" {
    response_headers {
      remove = ["X-Content-Type-Options"]
    }
    static {
      root         = %q
      strip_prefix = true
    }
  }
}
`, maxFile, dir+"/www", dir+"/www"))
			for _, c := range cases {
				for _, kind := range []struct {
					method, line string
					status       int
				}{
					{"GET", "", 200},
					{"HEAD", "", 200},
					{"GET", "Range: bytes=0-0\r\n", 206},
					{"GET", "If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT\r\n", 304},
				} {
					if c.content == "" && kind.status == 206 {
						continue
					}
					conn := lb.dial()
					conn.Send(kind.method + " /" + c.name + " HTTP/1.1\r\nHost: a\r\n" + kind.line + "\r\n")
					r := conn.ReadResponse(kind.method)
					conn.Close()
					if kind.status == 304 {
						c.contentType = ""
					}
					if r.Status() != kind.status || r.Field("Content-Type") != c.contentType || strings.ToLower(r.Field("X-Content-Type-Options")) != "nosniff" {
						t.Errorf("%s %s %q: want %d, type %q and nosniff:\n%s", kind.method, c.name, kind.line, kind.status, c.contentType, r.Head)
					}
				}
			}
			if r := lb.get("/bare/a.js"); r.Status() != 200 || r.Field("X-Content-Type-Options") != "" {
				t.Errorf("where nosniff is removed:\n%s", r.Head)
			}
		})
	}
}
