//go:build !race

package server_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestAllocations: in the steady state, small requests on a kept-alive connection allocate nothing: proxied, with a small body,
// from the static cache, and with response_headers. Neither do the client and the backend of the test.
func TestAllocations(t *testing.T) {
	response := []byte(lbtest.OK(strings.Repeat("x", 1000)))
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		buf := make([]byte, 8<<10)
		for {
			if _, err := c.Conn.Read(buf); err != nil { // each request is one small segment
				return
			}
			if _, err := c.Conn.Write(response); err != nil {
				return
			}
		}
	})
	t.Run("streamed", func(t *testing.T) { noAllocations(t, proxyTo("", b.Addr)) })
	t.Run("buffered", func(t *testing.T) { noAllocations(t, buffered(bufferings["directory"], "", b.Addr)) })
}

func noAllocations(t *testing.T, text string) {
	lb := start(t, strings.Replace(text, "site \"s\" {",
		"site \"s\" {\n  route \"/files/\" {\n    static {\n      root = \"$DIR\"\n      strip_prefix = true\n    }\n  }"+
			"\n  route \"/ruled/\" {\n    response_headers {\n      set = { \"Cache-Control\" = \"private\" }\n      remove = [\"ETag\"]\n    }"+
			"\n    static {\n      root = \"$DIR\"\n      strip_prefix = true\n    }\n  }", 1))
	lb.write("a.txt", strings.Repeat("y", 1000))
	allocateNothing(t, lb, "GET /", "GET /files/a.txt", "GET /ruled/a.txt", "POST /length", "POST /chunks")
}

// TestCacheAllocations: a stored response is sent without allocation, as a file is, from a variant and as 304 too.
func TestCacheAllocations(t *testing.T) {
	o := newOrigin(t)
	o.set(func(string) string {
		return reply("200 OK", "Cache-Control: max-age=3600; Vary: Accept, User-Agent; ETag: \"1\"", strings.Repeat("x", 1000))
	})
	lb := start(t, cachedSite("", o.Addr))
	lb.get("/", "Accept: */*", "User-Agent: test") // with another Host
	allocateNothing(t, lb, "GET /", "GET /?page=1")
	if n := len(o.asked()); n != 3 {
		t.Errorf("the backend got %d requests", n)
	}
}

func allocateNothing(t *testing.T, lb *running, targets ...string) {
	t.Helper()
	for _, target := range targets {
		c := lb.dial()
		request := []byte(target + " HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\nAccept: */*\r\n" + map[string]string{
			"POST /length": "Content-Length: 5\r\n\r\nhello",
			"POST /chunks": "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		}[target])
		if target[0] == 'G' {
			request = append(request, "\r\n"...)
		}
		c.Send(string(request))
		first := c.ReadResponse("GET")
		if first.Status() != 200 {
			t.Fatalf("%s: %d", target, first.Status())
		}
		reply := make([]byte, len(first.Head)+len(first.Body))
		exchange := func() {
			if _, err := c.Conn.Write(request); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c.Conn, reply); err != nil {
				t.Fatal(err)
			}
		}
		for range 200 {
			exchange()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const requests = 2000
		for range requests {
			exchange()
		}
		runtime.ReadMemStats(&after)
		// A file that has just been written is read again from time to time.
		if n := after.Mallocs - before.Mallocs; n > requests/4 {
			t.Errorf("%s: %d allocations in %d requests", target, n, requests)
		}
	}
}
