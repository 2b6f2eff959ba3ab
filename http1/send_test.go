package http1

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestLargeResponses: large bodies, from memory and from files, arrive complete and are counted.
func TestLargeResponses(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, secure := range []bool{false, true} {
		s := startServerOver(t, secure, Limits{})
		s.stable, s.file = data, file
		s.onLoops(func(*Worker) {}) // the loops see them from now on
		c := s.dial("")
		for target, body := range map[string]string{
			"/stable":                                string(data),
			fmt.Sprintf("/file/%d/0", len(data)):     string(data),
			"/file/1000000/112":                      string(data[112:1_000_112]),
			"/stream/1/5000000/1":                    strings.Repeat("a", 5_000_000),
			"/stream/3/2000000/1":                    strings.Repeat("c", 2_000_000) + strings.Repeat("b", 2_000_000) + strings.Repeat("a", 2_000_000),
			fmt.Sprintf("/file/%d/%d", 0, len(data)): "",
		} {
			ended := s.ended.Load()
			c.Send(request(target))
			r := want(t, c, "GET", 200, body)
			lbtest.Eventually(t, "the exchange ends", func() bool { return s.ended.Load() > ended })
			if n := s.lastSent.Load(); n != int64(len(r.Head)+len(body)) {
				t.Errorf("TLS %v, %s: %d bytes are counted, want %d", secure, target, n, len(r.Head)+len(body))
			}
		}
	}
}

// TestFileThatEndsEarly: a file that has become shorter than announced causes a visibly truncated response, which is not the
// client's fault.
func TestFileThatEndsEarly(t *testing.T) {
	for _, size := range []int{5, 8 << 20} {
		file, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := file.Truncate(int64(size)); err != nil {
			t.Fatal(err)
		}
		for _, secure := range []bool{false, true} {
			s := startServerOver(t, secure, Limits{})
			s.file = file
			s.onLoops(func(*Worker) {})
			c := s.dial(request(fmt.Sprintf("/file/%d/0", size+5)))
			if r := c.ReadResponse("GET"); r.Err == nil || len(r.Body) > size {
				t.Errorf("TLS %v: %d bytes of %d, %v", secure, len(r.Body), size, r.Err)
			}
			lbtest.Eventually(t, "the exchange ends", func() bool { return s.disconnects.Load() == 1 })
			if err := s.lastError.Load(); err != io.ErrUnexpectedEOF {
				t.Errorf("TLS %v, %d bytes: %v", secure, size, err)
			}
		}
	}
}

// TestSlowReaderThatReads: a client that reads slowly gets the complete response, and one that does not read is disconnected,
// whether the response is in memory or in a file.
func TestSlowReaderThatReads(t *testing.T) {
	const size, limit = 8 << 20, 500 * time.Millisecond
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{fmt.Sprintf("/stream/1/%d/1", size), fmt.Sprintf("/file/%d/0", size), "/stable"} {
		t.Run(strings.Split(target, "/")[1], func(t *testing.T) {
			t.Parallel()
			s := startServer(t, Limits{BodyIdleTimeout: limit})
			s.file, s.stable = file, make([]byte, size)
			s.onLoops(func(*Worker) {})
			c := s.dial(request(target))
			if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
				t.Fatalf("%q", head)
			}
			tick := time.NewTicker(limit / 10) // the pace of the client
			defer tick.Stop()
			for read, buf := 0, make([]byte, size/20); read < size; {
				<-tick.C
				n, err := io.ReadAtLeast(c, buf, min(len(buf), size-read))
				if read += n; err != nil {
					t.Fatalf("after %d bytes: %v", read, err)
				}
			}
			lbtest.Eventually(t, "the exchange ends", func() bool { return s.ended.Load() == 1 })
			if n := s.disconnects.Load(); n != 0 {
				t.Error("the client was cut")
			}
			c = s.dial("")
			if err := c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			c.Send(request(target))
			lbtest.Eventually(t, "a client that reads nothing is cut", func() bool { return s.disconnects.Load() == 1 })
			if err := s.lastError.Load(); err != ErrSlowClient {
				t.Error(err)
			}
		})
	}
}

// TestReaderBelowTheRate: a client that reads a little at a time, so that no single wait is long, is disconnected because of its
// rate.
func TestReaderBelowTheRate(t *testing.T) {
	s := startServer(t, Limits{BodyMinRate: 1 << 40, RateWindow: 50 * time.Millisecond})
	c := s.dial(request("/stream/1/16777216/1"))
	buf := make([]byte, 1<<10)
	tick := time.NewTicker(time.Millisecond) // the pace of the client
	defer tick.Stop()
	for {
		<-tick.C
		if _, err := c.Read(buf); err != nil {
			break
		}
	}
	lbtest.Eventually(t, "the exchange ends", func() bool { return s.disconnects.Load() == 1 })
	if err := s.lastError.Load(); err != ErrSlowClient {
		t.Error(err)
	}
}
