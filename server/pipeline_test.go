package server_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestPipelineIsBounded: a client that sends requests for ever and reads no answer is not read on: what one
// connection can queue is what the sockets hold and one head.
func TestPipelineIsBounded(t *testing.T) {
	t.Parallel()
	b := lbtest.NewBackend(t, lbtest.Answer(lbtest.OK(strings.Repeat("x", 1000))))
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	batch := []byte(strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1000))
	const bound = 64 << 20
	sent := 0
	for sent < bound {
		// The write that meets the deadline shows that lb has stopped reading.
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
		t.Fatalf("lb took %d bytes of requests without an answer being read", sent)
	}
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "1")
	// Read now, the answers come in order and the requests go on.
	for range 2000 {
		if r := c.ReadResponse("GET"); r.Status() != 200 || len(r.Body) != 1000 {
			t.Fatalf("answer %q %v", r.Head, r.Err)
		}
	}
}
