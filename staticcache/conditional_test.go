package staticcache

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lb/internal/byterange"
)

const (
	oldDate     = "Thu, 29 Feb 2024 12:30:45 GMT"
	earlierDate = "Thu, 29 Feb 2024 12:30:44 GMT"
	laterDate   = "Thu, 29 Feb 2024 12:30:46 GMT"
	ten         = "0123456789"
)

// both runs a test with the file in memory and with the file streamed.
func both(t *testing.T, body string, f func(t *testing.T, d *Dir)) {
	root := tree(t, map[string]string{"f.txt": body})
	for name, maxFile := range map[string]int64{"memory": 1 << 20, "streamed": 0} {
		t.Run(name, func(t *testing.T) {
			f(t, open(t, newCache(1<<20, maxFile), DirOptions{Root: root, CacheControl: "no-cache"}))
		})
	}
}

func TestConditions(t *testing.T) {
	both(t, ten, func(t *testing.T, d *Dir) {
		etag := want(t, d, "/f.txt", ten).header.Get("Etag")
		for _, c := range []struct {
			status int
			fields []string
		}{
			{304, []string{"If-None-Match", etag}},
			{304, []string{"If-None-Match", "W/" + etag}},
			{304, []string{"If-None-Match", "*"}},
			{304, []string{"If-None-Match", `"a", "b,c" ,, W/"d",` + etag}},
			{200, []string{"If-None-Match", `"a"`}},
			{200, []string{"If-None-Match", `a, ` + etag}}, // a syntax error ends the list
			{200, []string{"If-None-Match", `"a`}},
			{200, []string{"If-None-Match", `W/`}},
			{200, []string{"If-None-Match", `"a"`, "If-Modified-Since", oldDate}}, // the tag decides alone
			{304, []string{"If-None-Match", etag, "If-Modified-Since", earlierDate}},
			{304, []string{"If-Modified-Since", oldDate}},
			{304, []string{"If-Modified-Since", laterDate}},
			{304, []string{"If-Modified-Since", "Thursday, 29-Feb-24 12:30:45 GMT"}},
			{304, []string{"If-Modified-Since", "Thu Feb 29 12:30:45 2024"}},
			{200, []string{"If-Modified-Since", earlierDate}},
			{200, []string{"If-Modified-Since", "yesterday"}},
			{200, []string{"If-Match", etag}},
			{200, []string{"If-Match", "*"}},
			{200, []string{"If-Match", `"a", ` + etag}},
			{412, []string{"If-Match", "W/" + etag}}, // strong comparison
			{412, []string{"If-Match", `"a"`}},
			{200, []string{"If-Match", etag, "If-Unmodified-Since", earlierDate}}, // not evaluated after If-Match
			{304, []string{"If-Match", etag, "If-None-Match", etag}},
			{412, []string{"If-Match", `"a"`, "If-None-Match", etag}},
			{200, []string{"If-Unmodified-Since", oldDate}},
			{412, []string{"If-Unmodified-Since", earlierDate}},
			{200, []string{"If-Unmodified-Since", "soon"}},
			{304, []string{"If-None-Match", etag, "Range", "bytes=0-1"}},
			{412, []string{"If-Match", `"a"`, "Range", "bytes=0-1"}},
			{206, []string{"Range", "bytes=0-1", "If-Range", etag}},
			{200, []string{"Range", "bytes=0-1", "If-Range", "W/" + etag}},
			{200, []string{"Range", "bytes=0-1", "If-Range", `"a"`}},
			{206, []string{"Range", "bytes=0-1", "If-Range", oldDate}},
			{200, []string{"Range", "bytes=0-1", "If-Range", laterDate}},
			{200, []string{"Range", "bytes=99-", "If-Range", `"a"`}},
			{416, []string{"Range", "bytes=99-", "If-Range", etag}},
		} {
			for _, method := range []string{"GET", "HEAD"} {
				status := c.status
				if method == "HEAD" && (status == 206 || status == 416) {
					status = 200 // ranges are for GET alone
				}
				a, _ := do(t, d, method, "/f.txt", c.fields...)
				if a.status != status {
					t.Errorf("%s %q: %d, want %d", method, c.fields, a.status, status)
				}
				if (status == 304 || status == 412 || method == "HEAD") && a.body != nil {
					t.Errorf("%s %q: body %q", method, c.fields, a.body)
				}
				if lines := "ETag: " + etag + "\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"; status == 304 && a.raw != lines {
					t.Errorf("%s %q: header of the 304 is %q", method, c.fields, a.raw)
				}
			}
		}
	})
}

// A file has no strong validator while it may still change without a change of its times.
func TestStrongValidatorsWait(t *testing.T) {
	root := tree(t, map[string]string{"f": "x"})
	info, err := openRootAt(root)
	if err != nil {
		t.Fatal(err)
	}
	defer info.Close()
	st, err := info.Stat("f")
	if err != nil {
		t.Fatal(err)
	}
	changed := identify(st).changed
	if r := describe("f", nil, st, "", changed.Add(grain-1)); r.etag != "" {
		t.Errorf("young: %+v", r)
	}
	if r := describe("f", nil, st, "", changed.Add(grain)); r.etag == "" {
		t.Errorf("old enough: %+v", r)
	}
	if r := describe("f", nil, st, "", old.Add(time.Second)); r.strongDate {
		t.Errorf("a second old: %+v", r)
	}
	if r := describe("f", nil, st, "", old.Add(time.Second+1)); !r.strongDate {
		t.Errorf("over a second old: %+v", r)
	}
	if r := describe("f", nil, st, "", old.Add(-time.Second)); r.lastModified != "" {
		t.Errorf("Last-Modified in the future: %+v", r)
	}
}

// Ranges are served as by net/http, with the exceptions below.
func TestRangesAgainstServeContent(t *testing.T) {
	both(t, ten, func(t *testing.T, d *Dir) {
		for field, ours := range map[string]string{
			"bytes=0-4": "", "bytes=0-": "", "bytes=9-": "", "bytes=-3": "", "bytes=-10": "", "bytes=-99": "", "bytes=0-0": "", "bytes=3-99": "",
			"bytes=10-": "", "bytes=10-11": "", "bytes=5-4": "", "bytes=": "", "bytes=,": "", "bytes=a-b": "", "bytes=1": "",
			"bytes=-": "", "bytes=1-2-3": "", "bytes= 1-2": "", "bytes=1 - 2": "",
			"bytes=0-1,3-4": "", "bytes=0-1, 3-4 ,-1": "", "bytes=0-1,99-": "", "bytes=99-,98-": "", "bytes=0-9,0-9": "", "bytes=0-5,4-9": "",
			"bytes=8-9,0-1": "", "bytes=0-1,x": "", "": "", "bytes=0-8,9-9": "",
			// The differences from net/http, with their reasons.
			"bytes=+1-2":                   "416", // a sign is no digit
			"bytes=-0":                     "416", // an empty suffix is unsatisfiable (RFC 9110 section 14.1.2); net/http sends "bytes 10-9/10"
			"bytes=0-99999999999999999999": "206", // any number of digits is a number
			"lines=0-1":                    "200", // an unknown unit is ignored (section 14.2)
			"Bytes=0-1":                    "206", // units are case-insensitive (section 14.1)
			"bytes":                        "200",
			"bytes=99999999999999999999-":  "416",
		} {
			a, _ := get(t, d, "/f.txt", "Range", field)
			rec := httptest.NewRecorder()
			req := httptest.NewRequest("GET", "/f.txt", nil)
			req.Header.Set("Range", field)
			http.ServeContent(rec, req, "f.txt", old, strings.NewReader(ten))
			if ours != "" {
				if ours != decimal(a.status) {
					t.Errorf("%q: %d, want %s", field, a.status, ours)
				}
				continue
			}
			theirs := rec.Result()
			body, _ := io.ReadAll(theirs.Body)
			if a.status != theirs.StatusCode {
				t.Errorf("%q: %d, net/http %d", field, a.status, theirs.StatusCode)
				continue
			}
			if a.status == 416 {
				if a.header.Get("Content-Range") != "bytes */10" || a.header.Get("Content-Length") != "0" {
					t.Errorf("%q: %q", field, a.raw)
				}
				continue
			}
			if a.header.Get("Content-Range") != theirs.Header.Get("Content-Range") {
				t.Errorf("%q: Content-Range %q, net/http %q", field, a.header.Get("Content-Range"), theirs.Header.Get("Content-Range"))
			}
			if a.header.Get("Content-Length") != decimal(len(a.body)) {
				t.Errorf("%q: Content-Length %s for %d bytes", field, a.header.Get("Content-Length"), len(a.body))
			}
			if one, two := parts(t, a.header.Get("Content-Type"), a.body), parts(t, theirs.Header.Get("Content-Type"), body); one != two {
				t.Errorf("%q: body\n%s\nnet/http\n%s", field, one, two)
			}
		}
	})
}

func TestManyRangesGetTheWholeFile(t *testing.T) {
	body := strings.Repeat(ten, 10)
	both(t, body, func(t *testing.T, d *Dir) {
		if a, _ := get(t, d, "/f.txt", "Range", "bytes=0-0"+strings.Repeat(",2-2", byterange.Most-1)); a.status != 206 {
			t.Errorf("%d ranges: %d", byterange.Most, a.status)
		}
		for _, field := range []string{
			"bytes=0-0" + strings.Repeat(",2-2", byterange.Most), "bytes=0-0" + strings.Repeat(",200-", byterange.Most), "bytes=0-,1-,2-"} {
			if a, _ := get(t, d, "/f.txt", "Range", field); a.status != 200 || string(a.body) != body {
				t.Errorf("%q: %d", field, a.status)
			}
		}
	})
	both(t, "", func(t *testing.T, d *Dir) {
		if a, _ := get(t, d, "/f.txt", "Range", "bytes=0-"); a.status != 200 {
			t.Errorf("range of an empty file: %d", a.status)
		}
	})
}
