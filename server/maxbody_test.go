package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestMaxBody: a body over the route's limit is refused, at once if the head announces it, else when it exceeds the limit.
func TestMaxBody(t *testing.T) {
	b := gather(t, lbtest.OK("app"))
	lb := start(t, "listen \"127.0.0.1:0\" {\n  http2 = true\n}\n"+strings.Replace(proxyTo("", b.Addr), "route \"/\" {", "route \"/\" {\n    max_body = 10", 1))
	for _, tc := range []struct {
		request string
		want    int
	}{
		{"Content-Length: 10\r\n\r\n0123456789", 200},
		{"Content-Length: 11\r\n\r\n", 413},
		{"Content-Length: 11\r\nExpect: 100-continue\r\n\r\n", 413},
		{"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", 200},
		{"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\na\r\n0\r\n\r\n", 413},
		{"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\na\r\n", 413}, // endless
	} {
		c := lb.dial()
		c.Send("POST / HTTP/1.1\r\nHost: s\r\n" + tc.request)
		if r := c.ReadResponse("POST"); r.Status() != tc.want {
			t.Errorf("%q: got %v", tc.request, r)
		}
		c.Close()
	}
	h := lb.dialHTTP2()
	h.Post(1, "/")
	_ = h.WriteData(1, false, []byte("0123456789"))
	_ = h.WriteData(1, false, []byte("a"))
	if s := h.Await(1); s.Status != 413 {
		t.Errorf("by HTTP/2: %+v", s)
	}
	h.Post(3, "/", "content-length", "11")
	if s := h.Await(3); s.Status != 413 {
		t.Errorf("by HTTP/2, announced: %+v", s)
	}
	for _, r := range b.all() {
		if len(r.body) > 10 {
			t.Errorf("the backend got %q", r.body)
		}
	}
	lb.wantMetric(`lb_rejected_requests_total{reason="body_size"}`, "6")
}

// TestLongPaths: where a site has regular expressions, long paths are refused before they are matched.
func TestLongPaths(t *testing.T) {
	with := start(t, "site \"s\" {\n  route \"~ ^/a+$\" {\n    respond {}\n  }\n  route \"/\" {\n    respond {}\n  }\n}\n")
	without := start(t, "site \"s\" {\n  route \"/\" {\n    respond {}\n  }\n}\n")
	for _, tc := range []struct {
		lb   *running
		size int
		want int
	}{{with, 4096, 200}, {with, 4097, 414}, {without, 4097, 200}} {
		if r := tc.lb.get("/" + strings.Repeat("a", tc.size-1)); r.Status() != tc.want {
			t.Errorf("%d bytes: got %v", tc.size, r)
		}
	}
	with.wantMetric(`lb_rejected_requests_total{reason="long_path"}`, "1")
}

// TestPlaceholders: pages have the status and the ID of the request, and clients that prefer JSON get JSON.
func TestPlaceholders(t *testing.T) {
	dir := writeFiles(t, map[string]string{"e.html": "<p>{status} {request_id} {other}</p>", "m.html": "<i>{status} {request_id}</i>"})
	lb := start(t, "site \"s\" {\n  maintenance {\n    page = \""+dir+"/m.html\"\n    file = \"$DIR/off\"\n  }\n  error_page {\n    status = [404]\n    file   = \""+dir+"/e.html\"\n  }\n  route \"/a\" {\n    respond {}\n  }\n}\n")
	r := lb.get("/x")
	if want := "<p>404 " + r.Field("X-Request-Id") + " {other}</p>"; r.Body != want {
		t.Errorf("got %q, want %q", r.Body, want)
	}
	if r := lb.get("/x", "Accept: application/json"); !strings.HasPrefix(r.Body, `{"error":`) || r.Field("Content-Type") != "application/json" {
		t.Errorf("got %v", r)
	}
	lb.write("off", "")
	lbtest.Eventually(t, "the site is off", func() bool { return lb.get("/a").Status() == 503 })
	r = lb.get("/a")
	if want := "<i>503 " + r.Field("X-Request-Id") + "</i>"; r.Body != want {
		t.Errorf("got %q, want %q", r.Body, want)
	}
}
