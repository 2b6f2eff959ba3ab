package server_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// deadAddress returns an address that refuses connections and stays reserved until the test ends.
func deadAddress(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
}

// freeAddresses returns distinct addresses to listen on.
func freeAddresses(t testing.TB, n int) (addresses []string) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		addresses = append(addresses, ln.Addr().String())
	}
	return addresses
}

func TestRefusedConnectionIsRetried(t *testing.T) {
	b := record(t, lbtest.OK("alive"))
	lb := start(t, proxyTo("", deadAddress(t), b.Addr))
	for i := range 10 {
		c := lb.dial()
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		r := c.ReadResponse("POST")
		if _, body := b.last(); r.Status() != 200 || body != "abc" {
			t.Fatalf("request %d: %d, the backend read %q", i, r.Status(), body)
		}
		c.Close()
	}
	if lb.metric(`lb_retries_total{pool="app",reason="connect"}`) == "0" {
		t.Error("no retry was counted")
	}
}

// TestReset: a backend that closes the connection before it responds may have executed the request, so only idempotent requests
// are retried.
func TestReset(t *testing.T) {
	for _, tc := range []struct {
		request string
		want    int
		asked   int64 // of both backends
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 1},
		{"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 1},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 502, 0},
		{"POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: 1\r\n\r\nx", 200, 1},
	} {
		var served atomic.Int64
		bad := lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadRequest(); c.Reset() })
		good := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			for {
				if head, _ := c.ReadRequest(); head == "" {
					return
				}
				served.Add(1)
				c.Send(lbtest.OK("x"))
			}
		})
		lb := start(t, proxyTo("  balance = \"first\"\n", bad.Addr, good.Addr))
		c := lb.dial()
		c.Send(tc.request)
		if r := c.ReadResponse("GET"); r.Status() != tc.want || served.Load() != tc.asked {
			t.Errorf("%q: status %d, want %d; served by the other backend %d times, want %d",
				strings.SplitN(tc.request, "\r\n", 2)[0], r.Status(), tc.want, served.Load(), tc.asked)
		}
		lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+bad.Addr+`",reason="reset"}`, "1")
		lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+bad.Addr+`"}`, "0")
		lb.stop()
	}
}

// TestStaleConnections: when a backend has closed a kept-alive connection before the next request, that request still gets a
// response, whatever its method.
func TestStaleConnections(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if head, _ := c.ReadRequest(); head != "" {
			c.Send(lbtest.OK("x"))
		}
	})
	lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", b.Addr))
	const clients, requests = 8, 250
	var failed atomic.Int64
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			c := lb.dial()
			for range requests {
				c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if r := c.ReadResponse("GET"); r.Status() != 200 || r.Body != "x" {
					failed.Add(1)
					return
				}
			}
		})
	}
	group.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d clients met an error", failed.Load())
	}
	lb.wantMetric(`lb_requests_total{site="s",code="200"}`, fmt.Sprint(clients*requests))
}

func TestRetryOnStatus(t *testing.T) {
	busy := lbtest.NewBackend(t, lbtest.Respond("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nX-From: app\r\n\r\nbusy"))
	good := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("  balance = \"first\"\n", busy.Addr, good.Addr))
	if r := lb.get("/"); r.Status() != 200 {
		t.Errorf("with another backend: %d", r.Status())
	}
	c := lb.dial()
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	if r := c.ReadResponse("POST"); r.Status() != 503 || r.Body != "busy" {
		t.Errorf("a POST that got a response is not repeated: %d %q", r.Status(), r.Body)
	}
	if err := lb.reload(proxyTo("", busy.Addr)); err != nil {
		t.Fatal(err)
	}
	before := busy.Conns.Load()
	if r := lb.get("/"); r.Status() != 503 || r.Body != "busy" || r.Field("X-From") != "app" {
		t.Errorf("alone: %d %q, want the backend's own response", r.Status(), r.Body)
	}
	if n := busy.Conns.Load() - before; n > 1 {
		t.Errorf("the only backend was asked on %d new connections", n)
	}
}

// TestTruncatedResponses: a truncated response must not look complete, and nothing is appended to it.
func TestTruncatedResponses(t *testing.T) {
	for _, response := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
	} {
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadRequest(); c.Send(response) })
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		r := c.ReadResponse("GET")
		if r.Status() == 502 {
			lb.stop()
			continue // found out before a byte was passed on
		}
		if r.Err == nil || r.Body != "half" && r.Body != "" {
			t.Errorf("%q: the client read %q and took it for complete: %v", response, r.Body, r.Err)
		}
		lbtest.Eventually(t, "the reason in the log", func() bool {
			return strings.Contains(lb.read("access.log"), "did not finish")
		})
		lb.stop()
	}
}

// TestInvalidResponses: a response that two parsers could read differently is rejected.
func TestInvalidResponses(t *testing.T) {
	for _, response := range []string{
		"SSH-2.0-OpenSSH_9.6\r\n", "hello\n", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 200 OK\r\nBad Name: a\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n",
	} {
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			for {
				if head, _ := c.ReadRequest(); head == "" {
					return
				}
				c.Send(response)
			}
		})
		lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", b.Addr))
		for range 2 {
			if r := lb.get("/"); r.Status() != 502 || r.Err != nil {
				t.Errorf("%.60q: %d, %v, want 502", response, r.Status(), r.Err)
			}
		}
		if n := b.Conns.Load(); n != 2 {
			t.Errorf("%.60q: the connection was used again (%d connections for 2 requests)", response, n)
		}
		lb.stop()
	}
}

// TestBytesAfterResponse: bytes after a response never become the start of another client's response.
func TestBytesAfterResponse(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			c.Send(lbtest.OK("right") + lbtest.OK("WRONG"))
		}
	})
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	for i := range 50 {
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Body != "right" {
			t.Fatalf("request %d read %q", i, r.Body)
		}
	}
}

func TestTimeouts(t *testing.T) {
	silent := lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadRequest(); c.ReadHead() })
	lb := start(t, proxyTo("  timeouts {\n    response = \"50ms\"\n  }\n", silent.Addr))
	if r := lb.get("/"); r.Status() != 504 {
		t.Errorf("no response in time: %d, want 504", r.Status())
	}
	lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+silent.Addr+`",reason="timeout"}`, "1")
	if n := silent.Conns.Load(); n != 1 {
		t.Errorf("a request that timed out was repeated: %d connections", n)
	}
}

// TestRetryBudget: when every backend fails, the number of tries stays close to the number of requests.
func TestRetryBudget(t *testing.T) {
	var asked atomic.Int64
	script := func(c *lbtest.Conn) {
		if request, _ := c.ReadRequest(); request != "" { // otherwise lb checks whether it accepts connections
			asked.Add(1)
		}
		c.Reset()
	}
	a, b := lbtest.NewBackend(t, script), lbtest.NewBackend(t, script)
	lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", a.Addr, b.Addr))
	const requests = 400
	c := lb.dial()
	for range requests {
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Status() != 502 {
			t.Fatalf("status %d", r.Status())
		}
	}
	// A tenth, and at least three a second for as long as this may take.
	if n := asked.Load(); n > requests*3/2 {
		t.Errorf("%d attempts for %d requests", n, requests)
	}
	if lb.metric(`lb_retry_budget_exhausted_total{pool="app"}`) == "0" {
		t.Error("the budget was never exhausted")
	}
}

// TestRetryBudgetAfterGoodTimes: thousands of successful requests before the failure do not increase the budget.
func TestRetryBudgetAfterGoodTimes(t *testing.T) {
	var failing atomic.Bool
	var asked atomic.Int64
	script := func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			if failing.Load() {
				asked.Add(1)
				c.Send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
				continue
			}
			c.Send(lbtest.OK("x"))
		}
	}
	var addrs []string
	for range 3 {
		addrs = append(addrs, lbtest.NewBackend(t, script).Addr)
	}
	lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", addrs...))
	c := lb.dial()
	send := func(requests, want int) {
		for range requests {
			c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if r := c.ReadResponse("GET"); r.Status() != want {
				t.Fatalf("status %d", r.Status())
			}
		}
	}
	send(3000, 200)
	failing.Store(true)
	began := time.Now()
	const requests = 300
	send(requests, 503)
	const atFirst = 50 // until the budget knows, at thousands of requests a second; 300 had been saved
	if n, most := asked.Load(), 1.10*requests+3*time.Since(began).Seconds()+atFirst; float64(n) > most || n == requests {
		t.Errorf("%d attempts for %d requests, at most %.0f were expected", n, requests, most)
	}
}

func TestMaxConnsIsHeld(t *testing.T) {
	var now, most atomic.Int64
	release := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-release
			now.Add(-1)
			c.Send(lbtest.OK("x"))
		}
	})
	lb := start(t, strings.Replace(proxyTo("  queue {\n    limit = 3\n  }\n", b.Addr), "\" {}", "\" {\n    max_conns = 2\n  }", 1))
	var group sync.WaitGroup
	var ok, refused atomic.Int64
	for range 8 {
		c := lb.dial()
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		group.Go(func() {
			switch r := c.ReadResponse("GET"); {
			case r.Status() == 200:
				ok.Add(1)
			case r.Status() == 503 && r.Field("Retry-After") != "":
				refused.Add(1)
			}
		})
	}
	lb.wantMetric(`lb_queue_length{pool="app"}`, "3")
	lbtest.Eventually(t, "three refusals", func() bool { return refused.Load() == 3 })
	close(release)
	group.Wait()
	if ok.Load() != 5 || most.Load() != 2 {
		t.Errorf("%d responses, want 5; %d in flight, want 2", ok.Load(), most.Load())
	}
}
