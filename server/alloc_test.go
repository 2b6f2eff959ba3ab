//go:build !race

package server_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestAllocations: a small kept-alive request through the whole balancer, proxied, with a small body too, or from the
// static cache, with response_headers too, allocates nothing in the long run. The client and the backend of the test do not either.
func TestAllocations(t *testing.T) {
	answer := []byte(lbtest.OK(strings.Repeat("x", 1000)))
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		buf := make([]byte, 8<<10)
		for {
			if _, err := c.Conn.Read(buf); err != nil { // each request is one small segment
				return
			}
			if _, err := c.Conn.Write(answer); err != nil {
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
	for _, target := range []string{"GET /", "GET /files/a.txt", "GET /ruled/a.txt", "POST /length", "POST /chunks"} {
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
