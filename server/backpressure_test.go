package server_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lb/internal/lbtest"
)

const (
	floodSize = 64 << 20
	// heldUp is the most of an unread flood that system and balancer may buffer, in addition to receiveBuffer: the other
	// buffers of the balancer's two sockets, which the system lets grow to some megabytes each, those of the test's
	// sockets, and little more.
	heldUp = 18 << 20
	// grown is the most by which the memory of the process may grow meanwhile. The balancer uses some tens of
	// kilobytes of it.
	grown = 16 << 20
)

// flood writes n bytes and counts what the system has accepted.
func flood(c *lbtest.Conn, n int, taken *atomic.Int64) {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(64 << 10)
	}
	piece := []byte(strings.Repeat("0123456789abcdef", 1<<10))
	for n > 0 {
		done, err := c.Write(piece[:min(len(piece), n)])
		n -= done
		taken.Add(int64(done))
		if err != nil {
			return
		}
	}
}

// receiveBuffer is the maximal size, in bytes, of the receive buffer of the socket from which the balancer reads the flood. Some
// systems allow six megabytes, others more than thirty.
func receiveBuffer(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_rmem")
	if err != nil {
		t.Skip(err)
	}
	sizes := strings.Fields(string(text)) // minimum, initial, maximum
	most, err := strconv.ParseInt(sizes[len(sizes)-1], 10, 64)
	if err != nil || heldUp+most >= floodSize {
		t.Skipf("a receive buffer of %d bytes, %v, takes the whole flood", most, err)
	}
	return most
}

// heldAt waits until no more bytes have been accepted for a while and returns their number.
func heldAt(t *testing.T, taken *atomic.Int64) int64 {
	t.Helper()
	last, since := int64(0), time.Now()
	lbtest.Eventually(t, "the writer is held up", func() bool {
		if now := taken.Load(); now != last {
			last, since = now, time.Now()
		}
		return last > 0 && time.Since(since) > 300*time.Millisecond
	})
	return last
}

// resident is the resident memory of this process in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc to read the memory from")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestBackPressure: a sender whose receiver does not read is held up, in bodies and in tunnels, after as much as the system's
// buffers hold. Everything arrives when the receiver reads.
func TestBackPressure(t *testing.T) {
	for _, tc := range []struct{ name, request, response string }{
		{"download", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", floodSize)},
		{"upload", fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", floodSize), ""},
		{"download in a tunnel", strings.ReplaceAll(askWebSocket, "websocket", "x"), strings.ReplaceAll(goWebSocket, "websocket", "x")},
		{"upload in a tunnel", strings.ReplaceAll(askWebSocket, "websocket", "x"), strings.ReplaceAll(goWebSocket, "websocket", "x")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var taken atomic.Int64
			up := strings.HasPrefix(tc.name, "upload")
			read, got := make(chan struct{}), make(chan int64, 1)
			drain := func(c *lbtest.Conn) {
				n, _ := io.CopyN(io.Discard, c, floodSize)
				got <- n
			}
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				c.ReadHead()
				c.Send(tc.response)
				if !up {
					flood(c, floodSize, &taken)
					return
				}
				lbtest.Wait(t, "leave to read", read)
				drain(c)
			})
			lb := start(t, proxyTo("", b.Addr))
			c := lb.dial()
			before := resident(t)
			c.Send(tc.request)
			if tc.response != "" {
				c.ReadHead()
			}
			if up {
				go flood(c, floodSize, &taken)
			}
			held, growth := heldAt(t, &taken), resident(t)-before
			if held > heldUp+receiveBuffer(t) || growth > grown {
				t.Errorf("%d KiB were accepted and memory grew by %d KiB without a reader", held>>10, growth>>10)
			} else {
				t.Logf("%d KiB were accepted and memory grew by %d KiB without a reader", held>>10, growth>>10)
			}
			close(read)
			if !up {
				go drain(c)
			}
			if n, _ := lbtest.Wait(t, "all of it", got); n != floodSize {
				t.Errorf("%d bytes arrived of %d", n, floodSize)
			}
		})
	}
}
