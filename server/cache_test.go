package server_test

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"sync"
	"testing"

	"lb/internal/lbtest"
)

// origin is a backend whose response each step of a test sets.
type origin struct {
	*lbtest.Backend
	mu     sync.Mutex
	answer func(head string) string
	heads  []string
}

func newOrigin(t testing.TB) *origin {
	o := &origin{}
	o.Backend = lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			o.mu.Lock()
			o.heads = append(o.heads, head)
			answer := o.answer
			o.mu.Unlock()
			c.Send(answer(head))
		}
	})
	return o
}

// set sets the response. It returns how many requests there were so far.
func (o *origin) set(answer func(head string) string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = answer
	return len(o.heads)
}

func (o *origin) asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.heads
}

// reply is a response with these lines, which a semicolon and a space separate, and a body.
func reply(status, lines, body string) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + status + "\r\n")
	for line := range strings.SplitSeq(lines, "; ") {
		if line != "" {
			b.WriteString(line + "\r\n")
		}
	}
	if !strings.HasPrefix(status, "304") {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return b.String() + "\r\n" + body
}

func cachedSite(cache, backend string) string {
	return strings.Replace(proxyTo("", backend), "route \"/\" {", "route \"/\" {\n    cache {\n"+cache+"\n    }", 1)
}

// step is a request, the response of the backend if it is asked, and what the client gets.
type step struct {
	request string // method, path and lines, which a semicolon and a space separate
	status  string // of the backend's response; "": 200 OK
	lines   string // of that response
	body    string // likewise
	want    string // status, Cache-Status and body, as far as they are to be compared: "200 hit one"
	sent    string // what the request to the backend has to contain
}

// ask makes the request of a step and checks the response.
func (s *step) ask(t *testing.T, lb *running, o *origin) {
	t.Helper()
	status := s.status
	if status == "" {
		status = "200 OK"
	}
	before := o.set(func(head string) string {
		if strings.HasPrefix(head, "HEAD ") {
			r := reply(status, s.lines, s.body)
			return r[:strings.Index(r, "\r\n\r\n")+4]
		}
		return reply(status, s.lines, s.body)
	})
	parts := strings.SplitN(s.request, "; ", 2)
	method, path, _ := strings.Cut(parts[0], " ")
	text := method + " " + path + " HTTP/1.1\r\n"
	lines := ""
	if len(parts) > 1 {
		lines = strings.ReplaceAll(parts[1], "; ", "\r\n") + "\r\n"
	}
	if !strings.HasPrefix(lines, "Host:") {
		lines = "Host: a\r\n" + lines
	}
	c := lb.dial()
	defer c.Close()
	body := ""
	if method == "POST" {
		body = "Content-Length: 2\r\n\r\nhi"
	} else if strings.Contains(lines, "Content-Length: 3") {
		body = "\r\nfat"
	} else {
		body = "\r\n"
	}
	c.Send(text + lines + body)
	r := c.ReadResponse(method)
	state := r.Field("Cache-Status")
	switch {
	case strings.Contains(state, "lb; hit"):
		state = "hit"
	case strings.Contains(state, "fwd="):
		_, state, _ = strings.Cut(state, "fwd=")
		state, _, _ = strings.Cut(state, ";")
	}
	got := strings.TrimSpace(fmt.Sprintf("%d %s %s", r.Status(), state, r.Body))
	if got != s.want {
		t.Errorf("%s: %q, want %q\n%s", s.request, got, s.want, r.Head)
	}
	heads := o.asked()[before:]
	asked := !strings.Contains(" "+s.want+" ", " hit ") && r.Status() != 504
	if asked != (len(heads) > 0) {
		t.Errorf("%s: the backend got %d requests", s.request, len(heads))
	}
	if s.sent != "" && (len(heads) == 0 || !strings.Contains(heads[len(heads)-1], s.sent)) {
		t.Errorf("%s: the backend got %q, want %q", s.request, heads, s.sent)
	}
	s.response(t, r)
}

// response checks what holds for all responses.
func (s *step) response(t *testing.T, r lbtest.Response) {
	t.Helper()
	if strings.Contains(s.want, " hit ") && r.Field("Age") == "" {
		t.Errorf("%s: no Age", s.request)
	}
	if n := len(lbtest.Fields(r.Head, "Date")); n != 1 {
		t.Errorf("%s: %d Date fields", s.request, n)
	}
	if n := len(lbtest.Fields(r.Head, "Content-Length")); n > 1 {
		t.Errorf("%s: %d Content-Length fields", s.request, n)
	}
}

const fresh = "Cache-Control: max-age=60"

// stored is for responses that a second request gets from the cache.
func stored(lines string) []step {
	return []step{{"GET /", "", lines, "one", "200 uri-miss one", ""}, {"GET /", "", lines, "two", "200 hit one", ""}}
}

// notStored is for responses that a second request does not get.
func notStored(lines string) []step {
	return []step{{"GET /", "", lines, "one", "200 uri-miss one", ""}, {"GET /", "", lines, "two", "200 uri-miss two", ""}}
}

// refused is for a response that says more of its request than of its URL.
func refused(status string) []step {
	return []step{{"GET /; X-A: evil", status, fresh, "evil", status[:3] + " uri-miss evil", ""}, {"GET /", "", fresh, "good", "200 uri-miss good", ""}}
}

const (
	past   = "Thu, 01 Jan 2015 00:00:00 GMT"
	later  = "Thu, 01 Jan 2015 00:01:00 GMT"
	future = "Thu, 01 Jan 2099 00:00:00 GMT"
)

// TestCacheRules: what RFC 9111, RFC 9213, RFC 5861 and docs/caching.md say of one response and the requests that follow. Responses are made
// stale by their Age.
func TestCacheRules(t *testing.T) {
	o := newOrigin(t)
	for _, tc := range []struct {
		name, cache string
		steps       []step
	}{
		// Freshness.
		{"max-age", "", stored(fresh)},
		{"max-age in capitals", "", stored("CACHE-control: MAX-AGE=60")},
		{"max-age quoted", "", stored(`Cache-Control: max-age="60"`)},
		{"max-age too large", "", stored("Cache-Control: max-age=99999999999999999999999")},
		{"nothing", "", notStored("X: y")},
		{"nothing, with ttl", `ttl = "1m"`, stored("X: y")},
		{"max-age=0 with ttl", `ttl = "1m"`, notStored("Cache-Control: max-age=0")},
		{"max-age not a number", `ttl = "1m"`, notStored("Cache-Control: max-age=abc")},
		{"max-age negative", `ttl = "1m"`, notStored("Cache-Control: max-age=-1")},
		{"max-age with a fraction", "", notStored("Cache-Control: max-age=60.5")},
		{"space before =", "", notStored("Cache-Control: max-age =60")},
		{"max-age in a string", "", notStored(`Cache-Control: x="max-age=60, y"`)},
		{"max-age in an open string", "", notStored(`Cache-Control: x="max-age=60, y`)},
		{"max-age twice, the smaller counts", "", notStored("Cache-Control: max-age=60, max-age=0")},
		{"max-age in two fields", "", notStored("Cache-Control: max-age=0; Cache-Control: max-age=60")},
		{"s-maxage over max-age", "", stored("Cache-Control: max-age=0, s-maxage=60")},
		{"s-maxage=0", "", notStored("Cache-Control: s-maxage=0, max-age=60")},
		{"Expires", "", stored("Expires: " + future)},
		{"Expires relative to Date", "", notStored("Date: " + past + "; Expires: " + later)},
		{"Expires in the past", `ttl = "1m"`, notStored("Expires: " + past)},
		{"Expires invalid", `ttl = "1m"`, notStored("Expires: 0")},
		{"max-age over Expires", "", stored("Cache-Control: max-age=60; Expires: " + past)},
		{"old by Age", "", notStored("Age: 61; " + fresh)},
		{"old by Date", "", notStored("Date: " + past + "; " + fresh)},
		{"Age in part", "", stored("Age: 30; " + fresh)},
		{"Age invalid", "", stored("Age: x; " + fresh)},
		{"Age twice, the first counts", "", stored("Age: 0, 100; " + fresh)},
		// Targeted fields.
		{"CDN-Cache-Control over no-store", "", stored("Cache-Control: no-store; CDN-Cache-Control: max-age=60")},
		{"CDN-Cache-Control no-store", "", notStored(fresh + "; CDN-Cache-Control: no-store")},
		{"CDN-Cache-Control private", "", notStored(fresh + "; CDN-Cache-Control: max-age=60, private")},
		{"CDN-Cache-Control false", "", stored("CDN-Cache-Control: max-age=60, no-store=?0")},
		{"CDN-Cache-Control invalid", "", stored(fresh + "; CDN-Cache-Control: max-age=0, no store!")},
		{"CDN-Cache-Control in capitals is invalid", "", stored(fresh + "; CDN-Cache-Control: Max-Age=0")},
		{"CDN-Cache-Control empty", "", stored(fresh + "; CDN-Cache-Control: ")},
		{"CDN-Cache-Control with parameters", "", stored("CDN-Cache-Control: max-age=60;a=1;b, x=\"y\"")},
		{"CDN-Cache-Control over Expires", "", notStored("CDN-Cache-Control: x; Expires: " + future)},
		{"CDN-Cache-Control of another type", "", notStored(`CDN-Cache-Control: max-age="60"`)},
		{"CDN-Cache-Control twice, the last counts", "", stored("CDN-Cache-Control: max-age=0, max-age=60")},
		// What may not be stored.
		{"no-store", "", notStored("Cache-Control: max-age=60, no-store")},
		{"private", "", notStored("Cache-Control: max-age=60, private")},
		{"private with fields", "", notStored(`Cache-Control: max-age=60, private="x-a, x-b"`)},
		{"Set-Cookie", "", notStored(fresh + "; Set-Cookie: a=b")},
		{"must-understand", "", stored("Cache-Control: max-age=60, no-store, must-understand")},
		{"an open string, which may hide a directive", "", notStored(`Cache-Control: max-age=60, x="y, private`)},
		{"Vary: *", "", notStored(fresh + "; Vary: *")},
		{"Vary on what lb sets", "", notStored(fresh + "; Vary: X-Forwarded-For")},
		{"no-cache without a validator", "", notStored("Cache-Control: max-age=60, no-cache")},
		{"too large", `max_object = 2`, notStored(fresh)},
		{"large enough", `max_object = 3`, stored(fresh)},
		{"404", "", []step{{"GET /", "404 Not Found", fresh, "one", "404 uri-miss one", ""}, {"GET /", "", "", "", "404 hit one", ""}}},
		{"404 with ttl alone", `ttl = "1m"`, []step{{"GET /", "404 Not Found", "", "one", "404 uri-miss one", ""}, {"GET /", "", "", "two", "200 uri-miss two", ""}}},
		{"301 with ttl alone", `ttl = "1m"`, []step{{"GET /", "301 Moved", "Location: /b", "", "301 uri-miss", ""}, {"GET /", "", "", "", "301 hit", ""}}},
		{"416", "", refused("416 Range Not Satisfiable")},
		{"400", "", refused("400 Bad Request")},
		{"431", "", refused("431 Too Large")},
		{"429", "", refused("429 Too Many Requests")},
		{"206", "", []step{{"GET /; Range: bytes=0-1", "206 Partial Content", fresh + "; Content-Range: bytes 0-1/9", "on", "206 uri-miss on", "Range: bytes=0-1"}, {"GET /", "", fresh, "two", "200 uri-miss two", ""}}},
		{"HEAD does not store", "", []step{{"HEAD /", "", fresh, "one", "200 uri-miss", ""}, {"GET /", "", fresh, "two", "200 uri-miss two", ""}}},
		// Requests.
		{"request no-store", "", []step{{"GET /; Cache-Control: no-store", "", fresh, "one", "200 uri-miss one", ""}, {"GET /", "", fresh, "two", "200 uri-miss two", ""}}},
		{"request no-cache", "", append(stored(fresh), step{"GET /; Cache-Control: no-cache", "", fresh, "three", "200 request three", ""}, step{"GET /", "", "", "", "200 hit three", ""})},
		{"request max-age=0", "", append(stored(fresh), step{"GET /; Cache-Control: max-age=0", "", fresh, "three", "200 request three", ""})},
		{"request Pragma", "", append(stored(fresh), step{"GET /; Pragma: no-cache", "", fresh, "three", "200 request three", ""})},
		{"request Pragma with Cache-Control", "", append(stored(fresh), step{"GET /; Pragma: no-cache; Cache-Control: max-age=50", "", "", "", "200 hit one", ""})},
		{"request max-age", "", append(stored("Age: 30; "+fresh), step{"GET /; Cache-Control: max-age=40", "", "", "", "200 hit one", ""}, step{"GET /; Cache-Control: max-age=10", "", fresh, "three", "200 request three", ""})},
		{"request min-fresh", "", append(stored("Age: 30; "+fresh), step{"GET /; Cache-Control: min-fresh=20", "", "", "", "200 hit one", ""}, step{"GET /; Cache-Control: min-fresh=40", "", fresh, "three", "200 request three", ""})},
		{"request only-if-cached", "", []step{{"HEAD /; Cache-Control: only-if-cached", "", "", "", "504", ""}, {"GET /", "", fresh, "one", "200 uri-miss one", ""}, {"GET /; Cache-Control: only-if-cached", "", "", "", "200 hit one", ""}}},
		{"request max-stale", "", []step{
			{"GET /", "", "Age: 70; ETag: \"1\"; " + fresh, "one", "200 uri-miss one", ""},
			{"GET /; Cache-Control: max-stale=100", "", "", "", "200 hit one", ""},
			{"GET /; Cache-Control: max-stale", "", "", "", "200 hit one", ""},
			{"GET /; Cache-Control: max-stale=5", "", fresh, "two", "200 stale two", ""}}},
		{"request max-stale, must-revalidate", "", []step{
			{"GET /", "", "Age: 70; ETag: \"1\"; Cache-Control: max-age=60, must-revalidate", "one", "200 uri-miss one", ""},
			{"GET /; Cache-Control: max-stale", "", fresh, "two", "200 stale two", ""}}},
		{"HEAD from GET", "", append(stored(fresh), step{"HEAD /", "", "", "", "200 hit", ""})},
		// Authorization and cookies.
		{"Authorization", "", []step{{"GET /; Authorization: x", "", fresh, "one", "200 uri-miss one", ""}, {"GET /", "", fresh, "two", "200 uri-miss two", ""},
			{"GET /; Authorization: x", "", fresh, "three", "200 bypass three", ""}, {"GET /", "", fresh, "", "200 hit two", ""}}},
		{"Authorization, public", "", []step{{"GET /; Authorization: x", "", "Cache-Control: public, max-age=60", "one", "200 uri-miss one", ""}, {"GET /; Authorization: y", "", "", "", "200 hit one", ""}}},
		{"Authorization, s-maxage", "", []step{{"GET /; Authorization: x", "", "Cache-Control: s-maxage=60", "one", "200 uri-miss one", ""}, {"GET /; Authorization: y", "", "", "", "200 hit one", ""}}},
		{"Cookie with ttl alone", `ttl = "1m"`, []step{{"GET /; Cookie: a=b", "", "", "one", "200 uri-miss one", ""}, {"GET /", "", "", "two", "200 uri-miss two", ""}, {"GET /; Cookie: a=b", "", "", "", "200 hit two", ""}}},
		// Vary.
		{"Vary", "", []step{
			{"GET /; Accept-Language: de", "", "Vary: Accept-Language; " + fresh, "de", "200 uri-miss de", ""},
			{"GET /; Accept-Language: en", "", "Vary: Accept-Language; " + fresh, "en", "200 vary-miss en", ""},
			{"GET /", "", "Vary: Accept-Language; " + fresh, "no", "200 vary-miss no", ""},
			{"GET /; Accept-Language: de", "", "", "", "200 hit de", ""},
			{"GET /; Accept-Language: EN", "", "", "", "200 hit en", ""},
			{"GET /", "", "", "", "200 hit no", ""}}},
		{"Vary on two", "", []step{
			{"GET /; X-A: 1; X-B: 2", "", "Vary: X-A, X-B; " + fresh, "12", "200 uri-miss 12", ""},
			{"GET /; X-A: 12; X-B: ", "", "Vary: X-A; Vary: X-B; " + fresh, "12-", "200 vary-miss 12-", ""},
			{"GET /; X-B: 2; X-A: 1", "", "", "", "200 hit 12", ""}}},
		{"Vary that changes", "", []step{
			{"GET /; X-A: 1", "", "Vary: X-A; " + fresh, "a1", "200 uri-miss a1", ""},
			{"GET /; X-A: 2; X-B: 2", "", "Vary: X-B; " + fresh, "b2", "200 vary-miss b2", ""},
			{"GET /; X-A: 1; X-B: 2", "", "", "", "200 hit b2", ""},
			{"GET /; X-A: 1", "", fresh, "none", "200 vary-miss none", ""},
			{"GET /; X-A: 2; X-B: 2", "", "", "", "200 hit none", ""}}},
		{"Content-Encoding without Vary", "", []step{
			{"GET /; Accept-Encoding: gzip", "", "Content-Encoding: gzip; " + fresh, "zip", "200 uri-miss zip", ""},
			{"GET /", "", fresh, "plain", "200 vary-miss plain", ""},
			{"GET /; Accept-Encoding: gzip", "", "", "", "200 hit plain", ""}}},
		// Validation.
		{"validation by ETag", "", []step{
			{"GET /", "", "Age: 70; X: old; ETag: \"1\"; " + fresh, "one", "200 uri-miss one", ""},
			{"GET /; If-None-Match: \"other\"", "304 Not Modified", "X: new; ETag: \"1\"; " + fresh, "", "200 stale one", "If-None-Match: \"1\""},
			{"GET /; If-None-Match: \"1\"", "", "", "", "304 hit", ""}}},
		{"validation by Last-Modified", "", []step{
			{"GET /", "", "Age: 70; Last-Modified: " + past + "; " + fresh, "one", "200 uri-miss one", ""},
			{"GET /", "304 Not Modified", fresh, "", "200 stale one", "If-Modified-Since: " + past},
			{"GET /; If-Modified-Since: " + past, "", "", "", "304 hit", ""},
			{"GET /; If-Modified-Since: " + later, "", "", "", "304 hit", ""},
			{"GET /; If-Modified-Since: Thu, 01 Jan 2004 00:00:00 GMT", "", "", "", "200 hit one", ""}}},
		{"If-Modified-Since without Last-Modified", "", []step{
			{"GET /", "", "Date: " + past + "; Age: 1; " + "Cache-Control: max-age=999999999", "one", "200 uri-miss one", ""},
			{"GET /; If-Modified-Since: " + later, "", "", "", "304 hit", ""},
			{"GET /; If-Modified-Since: Thu, 01 Jan 2004 00:00:00 GMT", "", "", "", "200 hit one", ""}}},
		{"validation fails", "", []step{
			{"GET /", "", "Age: 70; ETag: \"1\"; " + fresh, "one", "200 uri-miss one", ""},
			{"GET /", "", "ETag: \"2\"; " + fresh, "two", "200 stale two", "If-None-Match: \"1\""},
			{"GET /; If-None-Match: \"1\"", "", "", "", "200 hit two", ""},
			{"GET /; If-None-Match: W/\"2\"", "", "", "", "304 hit", ""},
			{"GET /; If-None-Match: \"x\", \"2\"", "", "", "", "304 hit", ""},
			{"GET /; If-None-Match: *", "", "", "", "304 hit", ""}}},
		{"no-cache with a validator", "", []step{
			{"GET /", "", "ETag: \"1\"; Cache-Control: max-age=60, no-cache", "one", "200 uri-miss one", ""},
			{"GET /", "304 Not Modified", "", "", "200 stale one", "If-None-Match: \"1\""},
			{"GET /", "304 Not Modified", "", "", "200 stale one", "If-None-Match: \"1\""}}},
		{"304 that may not be stored", "", []step{
			{"GET /", "", "Age: 70; ETag: \"1\"; " + fresh, "one", "200 uri-miss one", ""},
			{"GET /", "304 Not Modified", "Set-Cookie: a=b", "", "200 stale one", ""},
			{"GET /", "", fresh, "two", "200 uri-miss two", ""}}},
		{"a validation that gets no-store", "", []step{
			{"GET /", "", "Age: 70; ETag: \"1\"; " + fresh, "one", "200 uri-miss one", ""},
			{"GET /", "", "Cache-Control: no-store", "two", "200 stale two", ""},
			{"GET /", "", fresh, "three", "200 uri-miss three", ""}}},
		{"HEAD validates", "", []step{
			{"GET /", "", "Age: 70; ETag: \"1\"; " + fresh, "one", "200 uri-miss one", ""},
			{"HEAD /", "304 Not Modified", fresh, "", "200 stale", "HEAD / "},
			{"GET /", "", "", "", "200 hit one", ""}}},
		{"the client's own condition", "", []step{
			{"GET /; If-None-Match: \"1\"", "304 Not Modified", fresh, "", "304 uri-miss", "If-None-Match: \"1\""},
			{"GET /; If-None-Match: \"1\"", "", fresh + "; ETag: \"2\"", "two", "200 uri-miss two", ""},
			{"GET /", "", "", "", "200 hit two", ""}}},
		{"a 304 about another response", "", []step{
			{"GET /", "", "Age: 70; X: old; ETag: \"1\"; " + fresh, "one", "200 uri-miss one", ""},
			{"GET /; If-None-Match: \"2\"", "304 Not Modified", "ETag: \"2\"; " + fresh, "", "200 stale one", "If-None-Match: \"1\""},
			{"GET /", "", fresh, "two", "200 uri-miss two", ""}}},
		{"If-Match is for the origin", "", append(stored(fresh+"; ETag: \"1\""), step{"GET /; If-Match: \"2\"", "412 Precondition Failed", "", "", "412 bypass", "If-Match: \"2\""})},
		// Stale responses.
		{"stale-if-error", "", []step{
			{"GET /", "", "Age: 70; Cache-Control: max-age=60, stale-if-error=100", "one", "200 uri-miss one", ""},
			{"GET /", "500 Oops", "", "no", "200 stale one", ""},
			{"GET /", "500 Oops", "", "no", "200 hit one", ""}}}, // for a second
		{"stale_if_error", `stale_if_error = "100s"`, []step{
			{"GET /", "", "Age: 70; ETag: \"1\"; " + fresh, "one", "200 uri-miss one", ""},
			{"GET /", "503 Oops", "", "no", "200 stale one", "If-None-Match"}}},
		{"stale_if_error is over", `stale_if_error = "5s"`, []step{
			{"GET /", "", "Age: 70; ETag: \"1\"; " + fresh, "one", "200 uri-miss one", ""},
			{"GET /", "500 Oops", "", "no", "500 stale no", ""}}},
		{"stale_if_error, must-revalidate", `stale_if_error = "100s"`, []step{
			{"GET /", "", "Age: 70; ETag: \"1\"; Cache-Control: max-age=60, must-revalidate", "one", "200 uri-miss one", ""},
			{"GET /", "500 Oops", "", "no", "500 stale no", ""}}},
		{"stale_if_error, 404", `stale_if_error = "100s"`, []step{
			{"GET /", "", "Age: 70; ETag: \"1\"; " + fresh, "one", "200 uri-miss one", ""},
			{"GET /", "404 Not Found", "", "no", "404 stale no", ""}}},
		// Ranges.
		{"ranges", "", append(stored(fresh+"; ETag: \"1\"; Last-Modified: "+past),
			step{"GET /; Range: bytes=1-1", "", "", "", "206 hit n", ""},
			step{"GET /; Range: bytes=1-", "", "", "", "206 hit ne", ""},
			step{"GET /; Range: bytes=-1", "", "", "", "206 hit e", ""},
			step{"GET /; Range: bytes=-9", "", "", "", "206 hit one", ""},
			step{"GET /; Range: bytes=1-99999999999999999999", "", "", "", "206 hit ne", ""},
			step{"GET /; Range: bytes=3-", "", "", "", "416 hit", ""},
			step{"GET /; Range: bytes=-0", "", "", "", "416 hit", ""},
			step{"GET /; Range: bytes=2-1", "", "", "", "416 hit", ""},
			step{"GET /; Range: bytes=0-2,0-2", "", "", "", "200 hit one", ""},
			step{"GET /; Range: bytes=0-0" + strings.Repeat(",9-9", 16), "", "", "", "200 hit one", ""},
			step{"GET /; Range: lines=0-0", "", "", "", "200 hit one", ""},
			step{"HEAD /; Range: bytes=1-1", "", "", "", "200 hit", ""},
			step{"GET /; Range: bytes=1-1; If-Range: \"1\"", "", "", "", "206 hit n", ""},
			step{"GET /; Range: bytes=1-1; If-Range: W/\"1\"", "", "", "", "200 hit one", ""},
			step{"GET /; Range: bytes=1-1; If-Range: " + past, "", "", "", "206 hit n", ""},
			step{"GET /; Range: bytes=1-1; If-None-Match: \"1\"", "", "", "", "304 hit", ""})},
		// Unsafe methods.
		{"POST invalidates", "", append(stored(fresh), step{"POST /", "", "", "done", "200 method done", ""}, step{"GET /", "", fresh, "three", "200 uri-miss three", ""})},
		{"a POST that fails does not", "", append(stored(fresh), step{"POST /", "400 No", "", "no", "400 method no", ""}, step{"GET /", "", "", "", "200 hit one", ""})},
		{"POST invalidates all variants", "", []step{
			{"GET /; X-A: 1", "", "Vary: X-A; " + fresh, "one", "200 uri-miss one", ""},
			{"POST /; X-A: 2", "", "", "done", "200 method done", ""},
			{"GET /; X-A: 1", "", "Vary: X-A; " + fresh, "two", "200 uri-miss two", ""}}},
		{"POST is not stored", "", []step{{"POST /", "", "Cache-Control: public, max-age=60", "done", "200 method done", ""}, {"GET /", "", "", "two", "200 uri-miss two", ""}}},
		{"OPTIONS", "", append(stored(fresh), step{"OPTIONS /", "", fresh, "done", "200 method done", ""}, step{"GET /", "", "", "", "200 hit one", ""})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lb := start(t, cachedSite(tc.cache, o.Addr))
			defer lb.stop()
			for i := range tc.steps {
				tc.steps[i].ask(t, lb, o)
			}
		})
	}
}

// TestCachePoisoning: no request can change what others with the same key get.
func TestCachePoisoning(t *testing.T) {
	o := newOrigin(t)
	attack := func(request, want string) []step {
		return []step{{request, "", fresh, "evil", "200 " + want + " evil", ""}, {"GET /", "", fresh, "good", "200 uri-miss good", ""}, {"GET /", "", "", "", "200 hit good", ""}}
	}
	// A request that the backend understands in another way than its key says must not have the key of another one.
	confuse := func(request, victim string) []step {
		return []step{{request, "", fresh, "evil", "200 uri-miss evil", ""}, {victim, "", fresh, "good", "200 uri-miss good", ""}}
	}
	for _, tc := range []struct {
		name, cache string
		steps       []step
	}{
		{"a body with GET", "", attack("GET /; Content-Length: 3", "bypass")},
		{"X-HTTP-Method-Override", "", attack("GET /; X-HTTP-Method-Override: POST", "bypass")},
		{"X_HTTP_Method_Override", "", attack("GET /; X_HTTP_Method_Override: POST", "bypass")},
		{"X-Method-Override", "", attack("GET /; x-method-override: POST", "bypass")},
		{"X-HTTP-Method", "", attack("GET /; X-HTTP.Method: POST", "bypass")},
		{"X-Original-URL", "", attack("GET /; X-Original-URL: /admin", "bypass")},
		{"X-Rewrite-URL", "", attack("GET /; X-Rewrite-URL: /admin", "bypass")},
		{"X-Host", "", attack("GET /; X-Host: evil", "bypass")},
		{"X-HTTP-Host-Override", "", attack("GET /; X-HTTP-Host-Override: evil", "bypass")},
		{"an upgrade", "", attack("GET /; Connection: upgrade; Upgrade: websocket", "bypass")},
		{"another host", "", attack("GET /; Host: evil", "uri-miss")},
		{"another port", "", attack("GET /; Host: a:8080", "uri-miss")},
		{"another query", "", attack("GET /?", "uri-miss")},
		{"an encoded path", "", attack("GET /%2e/x", "uri-miss")},
		{"a key that is too long", "", attack("GET /?"+strings.Repeat("a", 5000), "bypass")},
		{"the whole query where its name is hidden", `key = ["host", "query:a"]`, attack("GET /?%61=evil", "uri-miss")},
		{"a semicolon in the query", `key = ["host", "query:a"]`, attack("GET /?utm=1;a=evil", "uri-miss")},
		{"the name in capitals", `key = ["host", "query:a"]`, attack("GET /?A=evil", "uri-miss")},
		{"a header of the key", `key = ["host", "header:X-A"]`, attack("GET /; X-A: evil", "uri-miss")},
		{"a header of the key that Connection removes", `key = ["host", "header:X-A"]`, confuse("GET /; Connection: X-A; X-A: b", "GET /; X-A: b")},
		{"a cookie of the key that Connection removes", `key = ["host", "cookie:a"]`, confuse("GET /; Connection: Cookie; Cookie: a=b", "GET /; Cookie: a=b")},
		{"a header of Vary that Connection removes", "", []step{
			{"GET /; X-A: z", "", "Vary: X-A; " + fresh, "z", "200 uri-miss z", ""},
			{"GET /; Connection: X-A; X-A: b", "", "Vary: X-A; " + fresh, "evil", "200 vary-miss evil", ""},
			{"GET /; X-A: b", "", "Vary: X-A; " + fresh, "good", "200 vary-miss good", ""}}},
		{"a language that Connection removes", "", []step{
			{"GET /; Accept-Language: z", "", "Vary: Accept-Language; " + fresh, "z", "200 uri-miss z", ""},
			{"GET /; Connection: Accept-Language; Accept-Language: de", "", "Vary: Accept-Language; " + fresh, "evil", "200 vary-miss evil", ""},
			{"GET /; Accept-Language: de", "", "Vary: Accept-Language; " + fresh, "good", "200 vary-miss good", ""}}},
		{"a language with a space in it", "", []step{
			{"GET /; Accept-Language: z", "", "Vary: Accept-Language; " + fresh, "z", "200 uri-miss z", ""},
			{"GET /; Accept-Language: d e", "", "Vary: Accept-Language; " + fresh, "evil", "200 vary-miss evil", ""},
			{"GET /; Accept-Language: de", "", "Vary: Accept-Language; " + fresh, "good", "200 vary-miss good", ""}}},
		{"a cookie within a string", `key = ["host", "cookie:a"]`, confuse(`GET /; Cookie: x="y;a=b"`, "GET /; Cookie: a=b")},
		{"a cookie behind a comma", `key = ["host", "cookie:a"]`, confuse("GET /; Cookie: x=y, a=b", "GET /; Cookie: x=y")},
		{"a cookie with an encoded name", `key = ["host", "cookie:a"]`, confuse("GET /; Cookie: %61=b", "GET /; Cookie: x=y")},
		{"the header twice", `key = ["host", "header:X-A"]`, []step{
			{"GET /; X-A: b; X-A: c", "", fresh, "evil", "200 uri-miss evil", ""}, {"GET /; X-A: b, c", "", fresh, "good", "200 uri-miss good", ""}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lb := start(t, cachedSite(tc.cache, o.Addr))
			defer lb.stop()
			for i := range tc.steps {
				tc.steps[i].ask(t, lb, o)
			}
		})
	}
	t.Run("spellings of a host share a response", func(t *testing.T) {
		lb := start(t, cachedSite("", o.Addr))
		for i, s := range []step{
			{"GET /; Host: Example.COM", "", fresh, "one", "200 uri-miss one", ""}, {"GET /; Host: example.com", "", "", "", "200 hit one", ""},
			{"GET /; Host: example.com:80", "", "", "", "200 hit one", ""}, {"GET /; Host: example.com:443", "", fresh, "two", "200 uri-miss two", ""},
		} {
			_ = i
			s.ask(t, lb, o)
		}
	})
	t.Run("parameters that are not in the key are ignored", func(t *testing.T) {
		lb := start(t, cachedSite(`key = ["host", "query:page"]`, o.Addr))
		for _, s := range []step{
			{"GET /?page=1&utm=x", "", fresh, "one", "200 uri-miss one", ""}, {"GET /?utm=y&page=1", "", "", "", "200 hit one", ""}, {"GET /?page=2", "", fresh, "two", "200 uri-miss two", ""},
		} {
			s.ask(t, lb, o)
		}
	})
	t.Run("a trusted proxy's X-Forwarded-Host", func(t *testing.T) {
		lb := start(t, "trusted_proxies = [\"127.0.0.0/8\"]\n"+cachedSite("", o.Addr))
		for _, s := range []step{
			{"GET /; X-Forwarded-Host: evil", "", fresh, "evil", "200 uri-miss evil", ""}, {"GET /", "", fresh, "good", "200 uri-miss good", ""},
			{"GET /; X-Forwarded-Proto: https", "", fresh, "https", "200 uri-miss https", ""}, {"GET /", "", "", "", "200 hit good", ""},
		} {
			s.ask(t, lb, o)
		}
	})
}

// TestCacheRanges: several ranges of a stored response are the parts of a multipart response, unless it has a coding.
func TestCacheRanges(t *testing.T) {
	o := newOrigin(t)
	body := strings.Repeat("0123456789", 100000)
	lb := start(t, "listen \"127.0.0.1:0\" {\n  http2 = true\n}\n"+strings.Replace(cachedSite("", o.Addr), "cache {", "compress = true\n    cache {", 1))
	o.set(func(head string) string {
		lines := fresh + "; Content-Type: text/plain; ETag: \"1\""
		if strings.HasPrefix(head, "GET /coded") {
			lines += "; Content-Encoding: gzip; Vary: Accept-Encoding"
		}
		return reply("200 OK", lines, body)
	})
	check := func(head, text string, field func(string) string) {
		t.Helper()
		media, parameters, err := mime.ParseMediaType(field("Content-Type"))
		if err != nil || media != "multipart/byteranges" || field("Content-Range") != "" || field("Content-Length") != fmt.Sprint(len(text)) {
			t.Fatalf("%v\n%s", err, head)
		}
		parts := multipart.NewReader(strings.NewReader(text), parameters["boundary"])
		for _, want := range [][2]string{{"bytes 0-4/1000000", "01234"}, {"bytes 100000-899999/1000000", body[100000:900000]}, {"bytes 999998-999999/1000000", "89"}} {
			p, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(p)
			if err != nil || string(got) != want[1] || p.Header.Get("Content-Range") != want[0] || p.Header.Get("Content-Type") != "text/plain" {
				t.Errorf("%d bytes, %v, %v", len(got), p.Header, err)
			}
		}
		if _, err := parts.NextPart(); err != io.EOF {
			t.Error(err)
		}
	}
	const several = "bytes=0-4,100000-899999,-2"
	lb.get("/")
	for _, line := range []string{"If-Range: \"1\"", "Accept-Encoding: gzip"} {
		if r := lb.get("/", "Range: "+several, line); r.Status() == 206 {
			check(r.Head, r.Body, r.Field)
		} else {
			t.Errorf("%s", r.Head)
		}
	}
	c := lbtest.DialHTTP2(t, lb.addr())
	c.Get(1, "/")
	c.Await(1)
	c.Get(3, "/", "range", several)
	if s := c.Await(3); s.Field(":status") == "206" {
		check(fmt.Sprint(s.Fields), string(s.Body), func(name string) string { return s.Field(strings.ToLower(name)) })
	} else {
		t.Errorf("%v", s.Fields)
	}
	if r := lb.get("/", "Range: "+several, "If-Range: \"2\""); r.Status() != 200 || r.Body != body {
		t.Errorf("%s", r.Head)
	}
	lb.get("/coded", "Accept-Encoding: gzip")
	if r := lb.get("/coded", "Accept-Encoding: gzip", "Range: "+several); r.Status() != 200 || r.Body != body || !strings.Contains(r.Field("Cache-Status"), "hit") {
		t.Errorf("%s", r.Head)
	}
}

// TestCacheStatus: the field as RFC 9211 spells it.
func TestCacheStatus(t *testing.T) {
	o := newOrigin(t)
	lb := start(t, cachedSite(`stale_if_error = "1h"`, o.Addr))
	for _, tc := range []struct{ path, status, lines, want string }{
		{"/", "200 OK", fresh, "lb; fwd=uri-miss; stored"},
		{"/", "", "", "lb; hit; ttl=60"},
		{"/up", "200 OK", fresh + "; Cache-Status: up;hit", "up;hit|lb; fwd=uri-miss; stored"},
		{"/up", "", "", "up;hit|lb; hit; ttl=60"},
		{"/no", "200 OK", "", "lb; fwd=uri-miss"},
		{"/old", "200 OK", "Age: 70; ETag: \"1\"; " + fresh, "lb; fwd=uri-miss; stored"},
		{"/old", "503 No", "", "lb; fwd=stale; fwd-status=503; detail=stale-if-error"},
		{"/even", "200 OK", "Age: 70; ETag: \"1\"; " + fresh, "lb; fwd=uri-miss; stored"},
		{"/even", "304 Not Modified", "", "lb; fwd=stale; fwd-status=304"},
	} {
		o.set(func(string) string { return reply(tc.status, tc.lines, "x") })
		if r := lb.get(tc.path); r.Field("Cache-Status") != tc.want {
			t.Errorf("%s: %q, want %q", tc.path, r.Field("Cache-Status"), tc.want)
		}
	}
}

// TestCacheOfUsers: what a service says about a client, which the backend gets, keeps its responses apart.
func TestCacheOfUsers(t *testing.T) {
	service := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			c.Send(reply("200 OK", "Remote-User: "+strings.Join(lbtest.Fields(head, "X-Login"), ""), ""))
		}
	})
	o := newOrigin(t)
	lb := start(t, strings.Replace(cachedSite(`ttl = "1m"`, o.Addr), "cache {", "forward_auth {\n      pool = \"auth\"\n      copy_headers = [\"Remote-User\"]\n    }\n    cache {", 1)+
		"pool \"auth\" {\n  backend \""+service.Addr+"\" {}\n}\n")
	for path, tc := range map[string]struct {
		lines  string // of the response
		shared bool   // between users
		stored bool
	}{
		"/ttl":    {"", false, false},
		"/fresh":  {fresh, false, false},
		"/vary":   {"Cache-Control: public, max-age=60; Vary: Remote-User", false, true},
		"/public": {"Cache-Control: public, max-age=60", true, true},
	} {
		o.set(func(head string) string {
			return reply("200 OK", tc.lines, strings.Join(lbtest.Fields(head, "Remote-User"), ""))
		})
		for i, user := range []string{"ann", "bob", "ann", "bob"} {
			r := lb.get(path, "X-Login: "+user, "Remote-User: ann")
			want := user
			if tc.shared {
				want = "ann"
			}
			if hit := strings.Contains(r.Field("Cache-Status"), "hit"); r.Body != want || hit != (tc.stored && (i > 1 || i > 0 && tc.shared)) {
				t.Errorf("%s: %s gets %q\n%s", path, user, r.Body, r.Head)
			}
		}
	}
}

// TestCacheHTTP2: clients of HTTP/2 and HTTP/1 share responses, and wait for each other.
func TestCacheHTTP2(t *testing.T) {
	g := newGate(t)
	lb := start(t, "listen \"127.0.0.1:0\" {\n  http2 = true\n}\n"+cachedSite("", g.Addr))
	body := strings.Repeat("0123456789abcdef", 1<<14) // 256 KiB, more than the window
	c := lbtest.DialHTTP2(t, lb.addr())
	for id := uint32(1); id <= 9; id += 2 {
		c.Get(id, "/x")
	}
	h := g.request(t)
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "5")
	h.whole(reply("200 OK", fresh, body))
	collapsed := 0
	for id := uint32(1); id <= 9; id += 2 {
		s := c.Await(id)
		if string(s.Body) != body || s.Field(":status") != "200" {
			t.Fatalf("stream %d: %d bytes, %v", id, len(s.Body), s.Fields)
		}
		if strings.Contains(s.Field("cache-status"), "collapsed") {
			collapsed++
		}
	}
	if collapsed != 4 {
		t.Errorf("%d collapsed", collapsed)
	}
	c.Get(11, "/x", "range", "bytes=0-4")
	if s := c.Await(11); string(s.Body) != "01234" || s.Field(":status") != "206" || s.Field("content-range") != fmt.Sprintf("bytes 0-4/%d", len(body)) {
		t.Errorf("%v", s.Fields)
	}
}
