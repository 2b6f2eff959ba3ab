package server_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lb/internal/lbtest"
)

// TestBufferDirIsFull: if the disk fills up in the middle of a body, nothing is lost: what was written is sent, and the rest is
// streamed.
func TestBufferDirIsFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("lb", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	const size = 12 << 20
	large, small := pattern(size), pattern(1_000_000)
	for _, framing := range []string{"length", "chunks", "close"} {
		t.Run(framing, func(t *testing.T) {
			bodies := make(chan string, 1)
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				for {
					head, body := c.ReadRequest()
					if head == "" {
						return
					}
					bodies <- body
					c.Send(framed(framing, large))
					if framing == "close" {
						return
					}
				}
			})
			text := strings.ReplaceAll(strings.ReplaceAll(bufferings["directory"], "$DIR", dir), "1MiB", "16MiB")
			lb := start(t, buffered(text, "", b.Addr))
			c := lb.dialSlow()
			for range 2 {
				body, fields := small, "Content-Length: 1000000"
				if framing == "chunks" {
					body, fields = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), "Transfer-Encoding: chunked"
				}
				c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n\r\n" + body)
				if got, _ := lbtest.Wait(t, "the body", bodies); got != small {
					t.Errorf("the backend read %d bytes", len(got))
				}
				lb.paused("s") // the client reads nothing yet
				if r := c.ReadResponse("POST"); r.Status() != 200 || r.Body != large {
					t.Fatalf("%q, %d bytes, %v", r.Head, len(r.Body), r.Err)
				}
			}
			wantNoFiles(t)
			lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
			lb.stop()
			if n := strings.Count(lb.read("lb.log"), "cannot buffer bodies"); n != 1 {
				t.Errorf("%d lines in the log:\n%s", n, lb.read("lb.log"))
			}
		})
	}
}
