package server_test

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// TestInterimFlood: endless interim responses neither delay other requests nor fill the memory, and end with the response timeout.
func TestInterimFlood(t *testing.T) {
	flood := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", 1000)
	var wrote atomic.Int64
	const most = 256 << 20
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if !strings.HasPrefix(head, "GET /flood") {
				if head == "" {
					return
				}
				c.Send(lbtest.OK("x"))
				continue
			}
			for wrote.Load() < most {
				n, err := io.WriteString(c.Conn, flood)
				wrote.Add(int64(n))
				if err != nil {
					return
				}
			}
		}
	})
	lb := start(t, plainHTTP2+proxyTo("  timeouts {\n    response = \"2s\"\n  }\n  eject {\n    failures = 0\n  }\n", b.Addr))
	for name, reads := range map[string]bool{"a client that reads": true, "a client that does not": false, "HTTP/2": false} {
		t.Run(name, func(t *testing.T) {
			wrote.Store(0)
			if name == "HTTP/2" {
				lb.dialHTTP2().Get(1, "/flood")
			} else {
				c := lb.dial()
				c.Send("GET /flood HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				if reads {
					go io.Copy(io.Discard, c)
				}
			}
			lbtest.Eventually(t, "the flood", func() bool { return wrote.Load() > 0 })
			for range 4 { // on both loops
				if r := lb.get("/"); r.Status() != 200 {
					t.Errorf("%d", r.Status())
				}
			}
			lbtest.Eventually(t, "the end of the flood", func() bool { return lb.metric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`) == "0" })
			if !reads && wrote.Load() >= most {
				t.Error("the flood was read though the client did not read")
			}
		})
	}
}
