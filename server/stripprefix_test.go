package server_test

import (
	"strings"
	"testing"

	"lb/admin"
)

// TestStaticStripPrefix: a prefix with and without a final slash is removed alike, and lb explain says the same.
func TestStaticStripPrefix(t *testing.T) {
	root := writeFiles(t, map[string]string{"a.txt": "file", "index.html": "index", "sub/index.html": "sub"})
	site := func(route string) string {
		return "site \"s\" {\n  route \"" + route + "\" {\n    static {\n      root = \"" + root + "\"\n      strip_prefix = true\n    }\n  }\n}\n"
	}
	for _, c := range []struct {
		route, method, target string
		status                int
		want                  string // the body, or the Location
	}{
		{"/img/", "GET", "/img/a.txt", 200, "file"},
		{"/img/", "GET", "/img/", 200, "index"},
		{"/img", "GET", "/img/a.txt", 200, "file"},
		{"/img", "GET", "/img//sub/%2e%2e/a%2etxt", 200, "file"},
		{"/img", "GET", "/img/", 200, "index"},
		{"/img", "GET", "/img?q=1", 301, "/img/?q=1"},
		{"/img", "HEAD", "//%69mg", 301, "/img/"},
		{"/img", "POST", "/img", 405, ""},
		{"/img", "GET", "/img/sub", 301, "/img/sub/"},
		{"/img", "GET", "/img/sub/", 200, "sub"},
		{"/img", "GET", "/img/none", 404, ""},
		{"/img", "GET", "/imga.txt", 404, ""},
		{"/", "GET", "/a.txt", 200, "file"},
		{"= /img", "GET", "/img", 404, ""},
	} {
		lb := start(t, site(c.route))
		conn := lb.dial()
		conn.Send(c.method + " " + c.target + " HTTP/1.1\r\nHost: x\r\n\r\n")
		r := conn.ReadResponse(c.method)
		got := r.Body
		if c.status == 301 {
			got = r.Field("Location")
		}
		if r.Status() != c.status || c.want != "" && got != c.want {
			t.Errorf("route %q, %s %s: %d %q, want %d %q", c.route, c.method, c.target, r.Status(), got, c.status, c.want)
		}
		if !strings.HasPrefix(c.target, "//") {
			if e := lb.explain(admin.Question{Method: c.method, URL: "http://x:PORT" + c.target}); e.Response == nil || e.Response.Status != c.status {
				t.Errorf("route %q, %s %s: explained as %+v, want %d", c.route, c.method, c.target, e.Response, c.status)
			}
		}
		lb.stop()
	}
}
