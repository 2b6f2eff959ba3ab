//go:build e2e

package apps

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// slowCrowd is how many slow clients of each kind come, slowRate a second.
const slowCrowd, slowRate = 10_000, 2000

type slowKind struct {
	name    string
	receive int // bytes that the client's system takes for it; 0: as usual
	dwell   func(c net.Conn) time.Duration
}

// slowKinds are clients of our own, as slowhttptest reaches no such numbers: each does what it does until
// lb ends the connection, and returns how long that was in coming after the last byte that moved.
var slowKinds = []slowKind{
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

// TestSlowCrowd measures what ten thousand slow clients of a kind do to good ones beside them, when they are cut, and
// what memory they leave taken.
func TestSlowCrowd(t *testing.T) {
	if os.Getenv("LB_LONG") == "" {
		t.Skip("LB_LONG is not set")
	}
	for _, kind := range slowKinds {
		t.Run(kind.name, func(t *testing.T) { meetCrowd(t, kind.name) })
	}
}

func meetCrowd(t *testing.T, kind string) {
	const timeout, perSecond = 10 * time.Second, 500
	lb := startHostile(t, strings.ReplaceAll(`limits {
  header_timeout    = "TIMEOUT"
  body_idle_timeout = "TIMEOUT"
}`, "TIMEOUT", timeout.String()))
	alone := startSteady(lb.url+"/api/time", 4, perSecond)
	eventually(t, "the good clients are served", func() bool { return alone.count() >= 15*perSecond })
	before := memory(t, lb.Process.Pid, "VmRSS")
	alone.report(t)

	good := startSteady(lb.url+"/api/time", 4, perSecond)
	eventually(t, "all of them are connected", func() bool { return good.count() >= perSecond })
	crowd := sendCrowd(t, kind, strings.TrimPrefix(lb.url, "http://"), timeout-slack/10)
	eventually(t, "no connection is left but theirs", func() bool { open, _ := lb.connections(t); return open <= 4 })
	most, after := before+before/5, int64(0)
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		if after = memory(t, lb.Process.Pid, "VmRSS"); after <= most || time.Now().After(end) {
			break
		}
	}
	good.report(t)
	t.Logf("%.1f MiB of memory before, %.1f after, %.1f at most", mebibytes(before), mebibytes(after), mebibytes(memory(t, lb.Process.Pid, "VmHWM")))
	if after > most {
		t.Errorf("more than %.1f MiB", mebibytes(most))
	}
	last := len(crowd.Lives) - 1
	t.Logf("%d at a time; %d turned away; cut after %v, half of them; 99 %%: %v; the last: %v", crowd.Peak, crowd.Away,
		crowd.Lives[last/2].Round(time.Millisecond), crowd.Lives[last*99/100].Round(time.Millisecond), crowd.Lives[last].Round(time.Millisecond))
	if crowd.Away > slowCrowd/50 {
		t.Errorf("%d were cut before their time", crowd.Away)
	}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// crowdReport is what became of slow clients.
type crowdReport struct {
	Lives  []time.Duration // how long each stayed, the shortest first
	Peak   int64           // the most there were at a time
	Away   int64           // found no room: gone before the least time that others stay
	Failed string          // the last that could not connect, and why
}

// crowdOrder is an environment variable by which this program becomes a crowd: kind, address and least time. Among the
// threads of the good clients, a crowd would be in their way.
const crowdOrder = "LB_E2E_CROWD"

// sendCrowd has a crowd of that kind come.
func sendCrowd(t *testing.T, kind, address string, least time.Duration) (c crowdReport) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", crowdOrder, kind, address, least))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &c)
	}
	switch {
	case err != nil:
		t.Fatal(err)
	case c.Failed != "":
		t.Error(c.Failed)
	case len(c.Lives) == 0:
		t.Fatal("no slow client found room")
	}
	return c
}

// beCrowd has slowCrowd clients come, and writes to stdout what became of them.
func beCrowd(order string) int {
	fields := strings.Fields(order)
	kind := slices.IndexFunc(slowKinds, func(k slowKind) bool { return k.name == fields[0] })
	least, err := time.ParseDuration(fields[2])
	if kind < 0 || err != nil {
		fmt.Fprintln(os.Stderr, "no such crowd:", order)
		return 2
	}
	if err := json.NewEncoder(os.Stdout).Encode(crowdOf(slowKinds[kind], fields[1], least)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func crowdOf(kind slowKind, address string, least time.Duration) (c crowdReport) {
	var mu sync.Mutex
	var open int64
	var clients sync.WaitGroup
	start := time.Now()
	for i := range slowCrowd {
		time.Sleep(time.Until(start.Add(time.Second * time.Duration(i) / slowRate)))
		clients.Go(func() {
			// One address of loopback has too few ports for all of them and those of before.
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%4))}, Control: receiving(kind.receive)}
			nc, err := from.Dial("tcp", address)
			mu.Lock()
			if err != nil {
				c.Failed = fmt.Sprintf("client %d: %v", i, err)
				mu.Unlock()
				return
			}
			open++
			c.Peak = max(c.Peak, open)
			mu.Unlock()
			life := kind.dwell(nc)
			nc.Close()
			mu.Lock()
			defer mu.Unlock()
			open--
			if life < least { // max_connections: each may need two descriptors
				c.Away++
			} else {
				c.Lives = append(c.Lives, life)
			}
		})
	}
	clients.Wait()
	slices.Sort(c.Lives)
	return c
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
