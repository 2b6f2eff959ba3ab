package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestMaintenancePageDuringOutage: whatever a backend does instead of responding, visitors of a site with a maintenance page get
// that page with 503, from the first request on, and the page's images remain available. Without a page, and where the backend
// itself responds with such a status, nothing is replaced.
func TestMaintenancePageDuringOutage(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"page.html": "back soon", "error.html": "an error", "images/a.svg": "picture"})
	site := func(more string, text string) string {
		more = "site \"s\" {\n" + more + "  route \"/images/\" {\n    static {\n      root = \"$PAGES\"\n    }\n  }\n"
		return strings.ReplaceAll(strings.Replace(text, "site \"s\" {\n", more, 1), "$PAGES", dir)
	}
	const page = "  maintenance {\n    page = \"$PAGES/page.html\"\n  }\n"
	const errorPage = "  error_page {\n    status = [502, 504]\n    file   = \"$PAGES/error.html\"\n  }\n"

	type fault struct {
		script func(c *lbtest.Conn)
		status int // without a page
		reason string
	}
	const unasked = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
	for name, f := range map[string]fault{
		"refuses":           {nil, 503, "connection refused"},
		"resets":            {func(c *lbtest.Conn) { c.ReadRequest(); c.Reset() }, 502, "closed the connection without a response"},
		"closes":            {func(c *lbtest.Conn) { c.ReadRequest() }, 502, "closed the connection without a response"},
		"is silent":         {func(c *lbtest.Conn) { c.ReadRequest(); c.ReadHead() }, 504, "did not respond in time"},
		"sends no HTTP":     {lbtest.Respond("HELLO\r\n\r\n"), 502, "sent an invalid HTTP response"},
		"sends a huge head": {lbtest.Respond("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64<<10) + "\r\nContent-Length: 0\r\n\r\n"), 502, "too large"},
		"switches unasked":  {lbtest.Respond(unasked), 502, ""},
	} {
		address := deadAddress(t)
		if f.script != nil {
			address = lbtest.NewBackend(t, f.script).Addr
		}
		text := proxyTo("  queue {\n    while_down = \"50ms\"\n  }\n  timeouts {\n    response = \"100ms\"\n  }\n", address)
		lb, paged := start(t, site(errorPage, text)), start(t, site(page+errorPage, text))
		for _, request := range []string{getRequest, postRequest} {
			method, _, _ := strings.Cut(request, " ")
			c := lb.dial()
			c.Send(request)
			if r := c.ReadResponse(method); r.Status() != f.status || strings.Contains(r.Body, "back soon") {
				t.Errorf("%s: %s without a page: %d %q, want %d", name, method, r.Status(), r.Body, f.status)
			}
			c = paged.dial()
			c.Send(request)
			r := c.ReadResponse(method)
			if r.Status() != 503 || r.Body != "back soon" || r.Field("Retry-After") == "" || r.Field("Cache-Control") != "no-store" {
				t.Errorf("%s: %s: %s%q", name, method, r.Head, r.Body)
			}
			if r := paged.get("/images/a.svg"); r.Status() != 200 || r.Body != "picture" {
				t.Errorf("%s: picture: %d %q", name, r.Status(), r.Body)
			}
		}
		lb.stop()
		paged.stop()
		if log := paged.read("access.log"); !strings.Contains(log, f.reason) {
			t.Errorf("%s: the log does not say %q:\n%s", name, f.reason, log)
		}
	}

	for _, status := range []string{"502", "503", "504"} {
		b := lbtest.NewBackend(t, lbtest.Respond("HTTP/1.1 "+status+" No\r\nContent-Length: 3\r\n\r\nown"))
		lb := start(t, site(page, proxyTo("", b.Addr)))
		if r := lb.get("/"); r.Body != "own" {
			t.Errorf("a %s of the backend's own: %d %q", status, r.Status(), r.Body)
		}
		lb.stop()
	}
}
