//go:build e2e

package apps

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// slowCrowd is how many slow clients of each kind come, slowRate a second.
const slowCrowd, slowRate = 10_000, 2000

// slowKinds are clients of our own, as slowhttptest reaches no such numbers: each does what it does until
// lb ends the connection, and returns how long that was in coming after the last byte that moved.
var slowKinds = []struct {
	name    string
	receive int // bytes that the client's system takes for it; 0: as usual
	dwell   func(c net.Conn) time.Duration
}{
	{"heads", 0, func(c net.Conn) time.Duration { // more of it every two seconds: the time is that of the whole head
		begin := time.Now()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n")
		for {
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
			if n, err := c.Read(make([]byte, 512)); n > 0 || err != nil && !os.IsTimeout(err) {
				return time.Since(begin)
			}
			_, _ = io.WriteString(c, "X-More: y\r\n")
		}
	}},
	{"bodies", 0, func(c net.Conn) time.Duration {
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc")
		begin := time.Now()
		_, _ = c.Read(make([]byte, 512))
		return time.Since(begin)
	}},
	{"readers", 4 << 10, func(c net.Conn) time.Duration { // it reads nothing, and sees by the error of a write that it was cut
		_, _ = io.WriteString(c, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
		begin := time.Now()
		for time.Since(begin) < patience {
			time.Sleep(250 * time.Millisecond)
			if _, err := io.WriteString(c, "\r\n"); err != nil {
				break
			}
		}
		return time.Since(begin)
	}},
}

// TestSlowCrowd measures what ten thousand slow clients of a kind do to good ones beside them, and when they are cut.
func TestSlowCrowd(t *testing.T) {
	if os.Getenv("LB_LONG") == "" {
		t.Skip("LB_LONG is not set")
	}
	const timeout, perSecond = 10 * time.Second, 500
	lb := startHostile(t, strings.ReplaceAll(`limits {
  header_timeout    = "TIMEOUT"
  body_idle_timeout = "TIMEOUT"
}`, "TIMEOUT", timeout.String()))
	alone := startSteady(lb.url+"/api/time", 4, perSecond)
	eventually(t, "the good clients are served", func() bool { return alone.count() >= 15*perSecond })
	alone.report(t)
	before := lb.settledMemory(t, 0)
	t.Logf("%d MiB of memory before", before>>20)
	for _, kind := range slowKinds {
		t.Run(kind.name, func(t *testing.T) {
			good := startSteady(lb.url+"/api/time", 4, perSecond)
			eventually(t, "all of them are connected", func() bool { return good.count() >= perSecond })
			lives, peak, away := crowdOf(t, strings.TrimPrefix(lb.url, "http://"), kind.receive, timeout-slack/10, kind.dwell)
			good.report(t)
			last := len(lives) - 1
			t.Logf("%d at a time; %d turned away; cut after %v, half of them; 99 %%: %v; the last: %v", peak, away,
				lives[last/2].Round(time.Millisecond), lives[last*99/100].Round(time.Millisecond), lives[last].Round(time.Millisecond))
			if away > slowCrowd/50 {
				t.Errorf("%d were cut before their time", away)
			}
			eventually(t, "no connection is left", func() bool { open, _ := lb.connections(t); return open == 0 })
			// Go keeps what describes goroutines, of which a body needs two, and sockets for those to come.
			t.Logf("%d MiB of memory after", lb.settledMemory(t, before+before/5+slowCrowd<<12)>>20)
		})
	}
}

// crowdOf has slowCrowd clients come, and returns how long each stayed, the most there were at a time, and how
// many found no room, which is who was gone before the least time that others stay.
func crowdOf(t *testing.T, address string, receive int, least time.Duration, dwell func(net.Conn) time.Duration) (lives []time.Duration, peak, away int64) {
	t.Helper()
	var open, most, refused atomic.Int64
	var mu sync.Mutex
	var clients sync.WaitGroup
	start := time.Now()
	for i := range slowCrowd {
		time.Sleep(time.Until(start.Add(time.Second * time.Duration(i) / slowRate)))
		clients.Go(func() {
			// One address of loopback has too few ports for all of them and those of before.
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%4))}, Control: receiving(receive)}
			c, err := from.Dial("tcp", address)
			if err != nil {
				t.Error(fmt.Errorf("client %d: %w", i, err))
				return
			}
			defer c.Close()
			now := open.Add(1)
			defer open.Add(-1)
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			life := dwell(c)
			if life < least { // max_connections: each may need two descriptors
				refused.Add(1)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			lives = append(lives, life)
		})
	}
	clients.Wait()
	if len(lives) == 0 {
		t.Fatal("no slow client found room")
	}
	slices.Sort(lives)
	return lives, most.Load(), refused.Load()
}

// receiving limits what the system takes for a connection, before it tells the other side how much that may send.
func receiving(bytes int) func(_, _ string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) (err error) {
		if bytes == 0 {
			return nil
		}
		controlErr := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes) })
		return errors.Join(err, controlErr)
	}
}
