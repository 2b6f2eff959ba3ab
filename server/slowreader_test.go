package server_test

import (
	"net"
	"runtime"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestSlowReadersOfFiles: clients that do not read a large file in memory cost no copies of it, whether the file has been in memory or
// is just read from disk.
func TestSlowReadersOfFiles(t *testing.T) {
	const size, clients = 8 << 20, 8
	for name, fields := range map[string]string{"whole": "", "ranges": "Range: bytes=0-4194303,4194304-\r\n"} {
		t.Run(name, func(t *testing.T) {
			dir := writeFiles(t, map[string]string{"big": strings.Repeat("0123456789abcdef", size/16)})
			lb := start(t, "site \"s\" {\n  route \"/\" {\n    static {\n      root = \""+dir+"\"\n    }\n  }\n}\n")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var readers []*lbtest.Conn
			for range 2 { // the second time it is in memory
				for range clients {
					c := lb.dial()
					_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
					c.Send("GET /big HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n")
					readers = append(readers, c)
				}
				for _, c := range readers[len(readers)-clients:] {
					if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 20") {
						t.Fatalf("the response is %q", head)
					}
				}
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 2*size+clients*2*(256<<10) {
				t.Errorf("%d KiB were allocated for %d clients", n>>10, 2*clients)
			}
			for _, c := range readers {
				c.Reset()
			}
		})
	}
}
