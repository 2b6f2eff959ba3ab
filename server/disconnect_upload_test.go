package server_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestClientResetWhileUploadStalls: a client's reset is detected even while its backend reads no more of the body, so that lb does
// not read from the client.
func TestClientResetWhileUploadStalls(t *testing.T) {
	t.Parallel()
	asked, over := make(chan bool, 1), make(chan bool)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		asked <- true
		<-over // without reading the body
	})
	lb := start(t, proxyTo(streaming, b.Addr))
	c := lb.dial()
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
	lbtest.Wait(t, "the backend is asked", asked)
	for piece := make([]byte, 1<<20); ; {
		// A write that meets the deadline shows that all buffers in between are full.
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.Conn.Write(piece); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	c.Reset()
	lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="aborted"}`, "1")
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
	close(over)
}
