package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestEarlyHints: a browser that requests a page learns what it needs before the backend has responded, and other clients get no 103.
func TestEarlyHints(t *testing.T) {
	released := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			if strings.HasPrefix(head, "GET /slow") {
				lbtest.Wait(t, "the client has the 103", released)
			}
			c.Send(lbtest.OK("page"))
		}
	})
	lb := start(t, plainHTTP2+strings.Replace(proxyTo("", b.Addr), "    proxy {",
		"    hints = [\"/app.css\", \"/f.woff2?v=1\", \"https://cdn.example.com\"]\n    proxy {", 1))
	const links = "</app.css>; rel=preload; as=style|</f.woff2?v=1>; rel=preload; as=font; crossorigin|<https://cdn.example.com>; rel=preconnect"
	c := lb.dial()
	c.Send("GET /slow HTTP/1.1\r\nHost: a\r\nSec-Fetch-Mode: navigate\r\n\r\n")
	if r := c.ReadResponse("GET"); r.Status() != 103 || r.Field("Link") != links {
		t.Errorf("%s", r.Head)
	}
	released <- struct{}{}
	if r := c.ReadResponse("GET"); r.Status() != 200 || r.Body != "page" {
		t.Errorf("%s%s", r.Head, r.Body)
	}
	for request, want := range map[string]int{
		"GET / HTTP/1.1\r\nAccept: text/html,*/*\r\n":                         103,
		"GET / HTTP/1.1\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n": 103,
		"GET / HTTP/1.1\r\nAccept: text/html\r\nSec-Fetch-Mode: cors\r\n":     200,
		"GET / HTTP/1.1\r\nAccept: */*\r\n":                                   200,
		"GET / HTTP/1.1\r\n":                                                  200,
		"POST / HTTP/1.1\r\nContent-Length: 0\r\nAccept: text/html\r\n":       200,
		"GET / HTTP/1.0\r\nAccept: text/html\r\n":                             200,
	} {
		c := lb.dial()
		c.Send(request + "Host: a\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Status() != want {
			t.Errorf("%q: %s", request, r.Head)
		}
	}
	h := lb.dialHTTP2()
	h.Get(1, "/", "sec-fetch-mode", "navigate")
	if s := h.Await(1); s.Status != 200 || s.Body != "page" || strings.Join(s.Interim, " ") != "103" {
		t.Errorf("HTTP/2: %+v", s)
	}
	if text := lb.admin("GET", "/api/v1/explain?url=http://a/"); !strings.Contains(text, "as=style") {
		t.Errorf("%s", text)
	}
}
