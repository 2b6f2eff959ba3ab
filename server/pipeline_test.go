package server_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestPipelineIsBounded: lb stops reading from a client that sends requests endlessly and reads no response. A connection can
// queue what the socket buffers hold and one head.
func TestPipelineIsBounded(t *testing.T) {
	t.Parallel()
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK(strings.Repeat("x", 1000))))
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	batch := []byte(strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1000))
	const bound = 64 << 20
	sent := 0
	for sent < bound {
		// A write that meets the deadline shows that lb has stopped reading.
		_ = c.SetWriteDeadline(time.Now().Add(2 * time.Second))
		n, err := c.Conn.Write(batch)
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if sent >= bound {
		t.Fatalf("lb took %d bytes of requests without a response being read", sent)
	}
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "1")
	// When the client reads, the responses come in order and the requests continue.
	for range 2000 {
		if r := c.ReadResponse("GET"); r.Status() != 200 || len(r.Body) != 1000 {
			t.Fatalf("response %q %v", r.Head, r.Err)
		}
	}
}
