//go:build !race && !portable

package proxy

import (
	"bytes"
	"net"
	"runtime"
	"testing"

	"lb/internal/lbtest"
)

// TestAllocations: neither a small proxied request nor lb's own response allocates.
func TestAllocations(t *testing.T) {
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		response := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello")
		buf := make([]byte, 4096)
		for n := 0; ; {
			k, err := c.Conn.Read(buf[n:])
			if err != nil {
				return
			}
			if n += k; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
				n = 0
				if _, err := c.Conn.Write(response); err != nil {
					return
				}
			}
		}
	})
	b := start(t, options{}, back.Addr)
	c, err := net.Dial("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := []byte(get("/some/path?query", "User-Agent: test", "Accept: */*", "Accept-Encoding: gzip"))
	buf := make([]byte, 4096)
	ask := func(times int) {
		for range times {
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			for n := 0; !bytes.HasSuffix(buf[:n], []byte("hello")); {
				k, err := c.Read(buf[n:])
				if err != nil {
					t.Fatal(err)
				}
				n += k
			}
		}
	}
	ask(200)
	const times = 2000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ask(times)
	runtime.ReadMemStats(&after)
	if each := float64(after.Mallocs-before.Mallocs) / times; each > 0.1 {
		t.Errorf("%.2f allocations for each request", each)
	}
}
