//go:build e2e

package apps

import (
	"crypto/tls"
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

// slowCrowd is the number of slow clients of each kind; slowRate of them connect in a second, or slowRateTLS over TLS.
const slowCrowd, slowRate, slowRateTLS = 10_000, 2000, 1000

type slowKind struct {
	name    string
	receive int // the client's receive buffer, in bytes; 0: the default
	dwell   func(c net.Conn) time.Duration
}

// slowKinds are the kinds of clients; slowhttptest does not reach such numbers. Each runs until lb closes the connection,
// and returns how long that took after the last transferred byte.
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
	{"readers", 4 << 10, func(c net.Conn) time.Duration { // it reads nothing, and a failing write shows that lb has closed the connection
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

// TestSlowCrowd measures how ten thousand slow clients of a kind affect good ones, when lb closes their connections, and
// how much memory remains in use afterwards.
func TestSlowCrowd(t *testing.T) {
	if os.Getenv("LB_LONG") == "" {
		t.Skip("LB_LONG is not set")
	}
	for _, kind := range slowKinds {
		t.Run(kind.name, func(t *testing.T) { meetCrowd(t, kind.name, false) })
		t.Run(kind.name+" over TLS", func(t *testing.T) { meetCrowd(t, kind.name, true) })
	}
}

func meetCrowd(t *testing.T, kind string, overTLS bool) {
	const timeout, perSecond = 10 * time.Second, 500
	dir, secure := t.TempDir(), freePorts(t, 1)[0]
	certify(t, dir, "clock.test", 1)
	lb := startHostile(t, strings.NewReplacer("TIMEOUT", timeout.String(), "CERTIFICATES", dir, "SECURE", secure).Replace(`limits {
  header_timeout    = "TIMEOUT"
  body_idle_timeout = "TIMEOUT"
}
listen "SECURE" {
  tls {
    certificate {
      cert = "CERTIFICATES/clock.test.pem"
      key  = "CERTIFICATES/clock.test.key"
    }
  }
}
`))
	address := strings.TrimPrefix(lb.url, "http://")
	if overTLS {
		address = secure
	}
	alone := startSteady(lb.url+"/api/time", 4, perSecond)
	eventually(t, "the good clients are served", func() bool { return alone.count() >= 15*perSecond })
	before := memory(t, lb.Process.Pid, "VmRSS")
	alone.report(t)

	good := startSteady(lb.url+"/api/time", 4, perSecond)
	eventually(t, "all of them are connected", func() bool { return good.count() >= perSecond })
	crowd := sendCrowd(t, kind, address, overTLS, timeout-slack/10)
	eventually(t, "only their connections are left", func() bool { open, _ := lb.connections(t); return open <= 4 })
	most, after := before+before/2, int64(0)
	if overTLS {
		most = 2 * before // it has just begun to use TLS
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		if after = memory(t, lb.Process.Pid, "VmRSS"); after <= most || time.Now().After(end) {
			break
		}
	}
	good.report(t)
	peak := memory(t, lb.Process.Pid, "VmHWM")
	t.Logf("%.1f MiB of memory before, %.1f after, %.1f at most", mebibytes(before), mebibytes(after), mebibytes(peak))
	bound := int64(crowdPeak)
	if overTLS {
		bound = crowdPeakTLS
	}
	if peak > bound {
		t.Errorf("more than %.1f MiB at a time", mebibytes(bound))
	}
	if after > most {
		t.Errorf("more than %.1f MiB", mebibytes(most))
	}
	last := len(crowd.Lives) - 1
	t.Logf("%d at a time; %d turned away; cut after %v, half of them; 99 %%: %v; the last: %v", crowd.Peak, crowd.Away,
		crowd.Lives[last/2].Round(time.Millisecond), crowd.Lives[last*99/100].Round(time.Millisecond), crowd.Lives[last].Round(time.Millisecond))
	if crowd.Away > slowCrowd/50 {
		t.Errorf("%d were closed before their timeout", crowd.Away)
	}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// crowdPeak is the most memory that lb may need for slowCrowd clients, and crowdPeakTLS for those over TLS: each has the state of its
// connection, and one that does not read a record.
const crowdPeak, crowdPeakTLS = 100 << 20, 500 << 20

// crowdReport is the result of the slow clients.
type crowdReport struct {
	Lives  []time.Duration // how long each was connected, in ascending order
	Peak   int64           // the most there were at a time
	Away   int64           // closed at once, since the limit was reached
	Failed string          // the last error of connecting
}

// crowdVariable is an environment variable by which this program runs the slow clients: kind, address, least time, and whether they use TLS.
// In the process of the good clients, they would slow these down.
const crowdVariable = "LB_E2E_CROWD"

// sendCrowd runs slow clients of that kind.
func sendCrowd(t *testing.T, kind, address string, overTLS bool, least time.Duration) (c crowdReport) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %t", crowdVariable, kind, address, least, overTLS))
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

// beCrowd runs slowCrowd clients, and writes their report to stdout.
func beCrowd(order string) int {
	fields := strings.Fields(order)
	kind := slices.IndexFunc(slowKinds, func(k slowKind) bool { return k.name == fields[0] })
	least, err := time.ParseDuration(fields[2])
	if kind < 0 || err != nil {
		fmt.Fprintln(os.Stderr, "no such crowd:", order)
		return 2
	}
	if err := json.NewEncoder(os.Stdout).Encode(crowdOf(slowKinds[kind], fields[1], fields[3] == "true", least)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func crowdOf(kind slowKind, address string, overTLS bool, least time.Duration) (c crowdReport) {
	var mu sync.Mutex
	var open int64
	var clients sync.WaitGroup
	start, rate := time.Now(), time.Duration(slowRate)
	if overTLS {
		rate = slowRateTLS
	}
	for i := range slowCrowd {
		time.Sleep(time.Until(start.Add(time.Second * time.Duration(i) / rate)))
		clients.Go(func() {
			// One loopback address has too few ports for all of them and the previous ones.
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
			if overTLS {
				nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
				if err = nc.(*tls.Conn).Handshake(); err != nil {
					nc.Close() // lb has reached max_connections, and turns it away
				}
			}
			life := time.Duration(0)
			if err == nil {
				life = kind.dwell(nc)
			}
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

// receiving sets the receive buffer of a connection, before the window is announced.
func receiving(bytes int) func(_, _ string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) (err error) {
		if bytes == 0 {
			return nil
		}
		controlErr := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes) })
		return errors.Join(err, controlErr)
	}
}
