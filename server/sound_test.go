package server_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestStaticResponsesAreSound: what REDbot (https://redbot.org) checks of a response holds for files with and without a coding: the syntax
// of the fields, HEAD, validation, ranges, and negotiation.
func TestStaticResponsesAreSound(t *testing.T) {
	dir := writeFiles(t, map[string]string{"a.css": compressible(5000), "a.css.gz": string(gzipOf(t, compressible(5000))), "b.png": "png"})
	lb := start(t, "site \"s\" {\n  route \"/\" {\n    static {\n      root = \""+dir+"\"\n      cache_control = \"max-age=60\"\n    }\n  }\n}\n")
	ask := func(method, path string, lines ...string) lbtest.Response {
		c := lb.dial()
		c.Send(method + " " + path + " HTTP/1.1\r\nHost: a\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n")
		return c.ReadResponse(method)
	}
	tags := map[string]bool{}
	for _, path := range []string{"/a.css", "/b.png"} {
		for _, accept := range []string{"Accept-Encoding: identity", "Accept-Encoding: gzip"} {
			get := ask("GET", path, accept)
			for _, name := range []string{"Date", "Content-Type", "Content-Length", "ETag", "Last-Modified", "Cache-Control", "Accept-Ranges"} {
				if n := len(lbtest.Fields(get.Head, name)); n != 1 {
					t.Errorf("%s %s: %d fields %s", path, accept, n, name)
				}
			}
			date, err1 := http.ParseTime(get.Field("Date"))
			modified, err2 := http.ParseTime(get.Field("Last-Modified"))
			if err1 != nil || err2 != nil || modified.After(date) || time.Until(date).Abs() > time.Minute {
				t.Errorf("%s: dates in %s", path, get.Head)
			}
			etag := get.Field("ETag")
			if len(etag) < 3 || etag[0] != '"' || strings.Trim(etag, `"`)+"" != etag[1:len(etag)-1] {
				t.Errorf("%s: ETag %s", path, etag)
			}
			if path == "/a.css" && tags[etag] {
				t.Errorf("%s: two codings have the tag %s", path, etag)
			}
			tags[etag] = true
			if vary := get.Field("Vary"); (path == "/a.css") != (vary == "Accept-Encoding") {
				t.Errorf("%s: Vary %q", path, vary)
			}
			if coding := get.Field("Content-Encoding"); (coding == "gzip") != (path == "/a.css" && strings.Contains(accept, "gzip")) {
				t.Errorf("%s %s: %q", path, accept, coding)
			}
			if head := ask("HEAD", path, accept); without(head.Head, "X-Request-Id", "Date") != without(get.Head, "X-Request-Id", "Date") {
				t.Errorf("HEAD %s: %s, GET: %s", path, head.Head, get.Head)
			}
			for _, condition := range []string{"If-None-Match: " + etag, "If-Modified-Since: " + get.Field("Last-Modified")} {
				r := ask("GET", path, accept, condition)
				if r.Status() != 304 || r.Field("ETag") != etag || r.Field("Vary") != get.Field("Vary") || r.Field("Cache-Control") != "max-age=60" || r.Field("Date") == "" {
					t.Errorf("%s %s: %s", path, condition, r.Head)
				}
			}
			if r := ask("GET", path, accept, "If-None-Match: \"other\""); r.Status() != 200 {
				t.Errorf("%s: %d to another tag", path, r.Status())
			}
			part := ask("GET", path, accept, "Range: bytes=1-2", "If-Range: "+etag)
			if part.Status() != 206 || part.Body != get.Body[1:3] || part.Field("Content-Range") != "bytes 1-2/"+strconv.Itoa(len(get.Body)) ||
				part.Field("ETag") != etag || part.Field("Content-Encoding") != get.Field("Content-Encoding") {
				t.Errorf("%s: %s", path, part.Head)
			}
			if r := ask("GET", path, accept, "Range: bytes=900000-"); r.Status() != 416 || r.Field("Content-Range") != "bytes */"+strconv.Itoa(len(get.Body)) {
				t.Errorf("%s: %s", path, r.Head)
			}
		}
	}
}
