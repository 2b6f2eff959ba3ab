package server_test

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"lb/internal/lbtest"
)

// TestHTTP3DisconnectWithinDownloads: clients that disconnect while pieces of their downloads still come from the backend end nothing else.
func TestHTTP3DisconnectWithinDownloads(t *testing.T) {
	piece := "4000\r\n" + string(make([]byte, 0x4000)) + "\r\n"
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if head, _ := c.ReadRequest(); head == "" {
			return
		}
		_, err := io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for err == nil {
			_, err = io.WriteString(c.Conn, piece)
		}
	})
	lb := start(t, http3Listen(t, t.TempDir())+proxyTo("", b.Addr))
	for range 10 {
		c := lb.dialHTTP3()
		var running sync.WaitGroup
		for range 10 {
			running.Go(func() {
				r, err := c.RoundTrip(c.request("GET", "/", http.NoBody))
				if err != nil {
					return
				}
				defer r.Body.Close()
				if _, err := io.CopyN(io.Discard, r.Body, 100_000); err == nil {
					_ = c.CloseWithError(0x100, "")
				}
			})
		}
		running.Wait()
	}
	lb.wantMetric(`lb_connections{listener="127.0.0.1:0"}`, "0")
}
