package server_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"lb/internal/lbtest"
)

// bounded is the configuration of a site whose backends take one request at a time, and whose queue waits longer than any test.
func bounded(more string, backends ...string) string {
	return strings.ReplaceAll(proxyTo("  queue {\n    timeout = \"1h\"\n  }\n"+more, backends...), "\" {}", "\" {\n    max_conns = 1\n  }")
}

// TestRetryOfTheOnlyBackend: a failed request releases its slot before it waits for another.
func TestRetryOfTheOnlyBackend(t *testing.T) {
	var asked atomic.Int64
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadRequest()
		if asked.Add(1) == 1 {
			c.Reset()
			return
		}
		c.Send(lbtest.OK("x"))
	})
	lb := start(t, bounded("", b.Addr))
	if r := lb.get("/"); r.Status() != 200 || asked.Load() != 2 {
		t.Errorf("%d after %d attempts", r.Status(), asked.Load())
	}
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
}

// TestResponseIsNotHeldBack: a 503 whose retry would have to queue is relayed instead.
func TestResponseIsNotHeldBack(t *testing.T) {
	release := make(chan struct{})
	slow := lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadRequest(); <-release; c.Send(lbtest.OK("late")) })
	busy := lbtest.NewBackend(t, lbtest.Respond("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"))
	lb := start(t, bounded("  balance = \"first\"\n", slow.Addr, busy.Addr))
	c := lb.dial()
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+slow.Addr+`"}`, "1")
	if r := lb.get("/"); r.Status() != 503 || r.Body != "busy" {
		t.Errorf("%d %q", r.Status(), r.Body)
	}
	close(release)
	if r := c.ReadResponse("GET"); r.Body != "late" {
		t.Errorf("%q", r.Body)
	}
}

// TestRetryUsesAnotherBackend: a retry goes to a backend that the request has not been sent to, whatever the algorithm chooses.
func TestRetryUsesAnotherBackend(t *testing.T) {
	for _, balance := range []string{"round_robin", "least_conn", "p2c", "peak_ewma", "random", "hash", "first"} {
		var asked [3]atomic.Int64
		var addrs []string
		for i := range asked {
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				if request, _ := c.ReadRequest(); request != "" { // otherwise lb checks whether it accepts connections
					asked[i].Add(1)
				}
				c.Reset()
			})
			addrs = append(addrs, b.Addr)
		}
		lb := start(t, proxyTo("  balance = \""+balance+"\"\n  eject {\n    failures = 0\n  }\n  retry {\n    budget = 1\n  }\n", addrs...))
		total := int64(0)
		for i := range 20 {
			before := [3]int64{asked[0].Load(), asked[1].Load(), asked[2].Load()}
			if r := lb.get("/"); r.Status() != 502 {
				t.Fatalf("%s: %d", balance, r.Status())
			}
			for j := range asked {
				n := asked[j].Load() - before[j]
				if n > 1 {
					t.Errorf("%s: request %d came %d times to backend %d", balance, i, n, j)
				}
				total += n
			}
		}
		if total < 24 { // the first two are always retried
			t.Errorf("%s: %d attempts for 20 requests, so there were hardly any retries", balance, total)
		}
		lb.stop()
	}
}

// TestConnectTimeout: after the connect timeout a request of any method is retried on another backend, since nothing was sent.
// Without another backend, the response is 504.
func TestConnectTimeout(t *testing.T) {
	full := fullBacklog(t)
	good := record(t, lbtest.OK("x"))
	text := proxyTo("  balance = \"first\"\n  timeouts {\n    connect = \"100ms\"\n  }\n", full, good.Addr)
	lb := start(t, text)
	post := func() lbtest.Response {
		c := lb.dial()
		defer c.Close()
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
		return c.ReadResponse("POST")
	}
	if r := post(); r.Status() != 200 {
		t.Errorf("with another backend: %d %q", r.Status(), r.Body)
	}
	if err := lb.reload(strings.Replace(text, "  backend \""+good.Addr+"\" {}\n", "", 1)); err != nil {
		t.Fatal(err)
	}
	if r := post(); r.Status() != 504 {
		t.Errorf("alone: %d %q, want 504", r.Status(), r.Body)
	}
}

// fullBacklog returns the address of a listener with a full accept queue, so that further handshakes wait.
func fullBacklog(t *testing.T) string {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	lbtest.Dial(t, address) // takes the only place
	return address
}

// TestTimeoutIsRetried: with "timeout" in retry.on, an idempotent request without a response is retried on another backend.
func TestTimeoutIsRetried(t *testing.T) {
	silent := lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadRequest(); c.ReadHead() })
	good := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("  balance = \"first\"\n  timeouts {\n    response = \"50ms\"\n  }\n  retry {\n    on = [\"timeout\"]\n  }\n", silent.Addr, good.Addr))
	for request, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                        200,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx": 504,
	} {
		c := lb.dial()
		c.Send(request)
		if r := c.ReadResponse("GET"); r.Status() != want {
			t.Errorf("%.4s: %d, want %d", request, r.Status(), want)
		}
	}
	lb.wantMetric(`lb_retries_total{pool="app",reason="timeout"}`, "1")
}

// TestStalePost: a request that cannot be repeated is not sent on a connection that the backend has closed.
func TestStalePost(t *testing.T) {
	ended := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if head, _ := c.ReadRequest(); head != "" {
			c.Send(lbtest.OK("x"))
		}
		c.Close()
		ended <- struct{}{}
	})
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	for i := range 50 {
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
		if r := c.ReadResponse("POST"); r.Status() != 200 {
			t.Fatalf("request %d: %d", i, r.Status())
		}
		<-ended
	}
}

// backups marks backends of a pool as backups.
func backups(text string, addresses ...string) string {
	for _, a := range addresses {
		text = strings.Replace(text, "backend \""+a+"\" {}", "backend \""+a+"\" {\n    backup = true\n  }", 1)
	}
	return text
}

// TestRetryOnABackup: when the only primary fails, in whatever way, the backup responds.
func TestRetryOnABackup(t *testing.T) {
	const get, post = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
	backup, _ := named(t, 1)
	for what, primary := range map[string]string{
		"refuses": deadAddress(t),
		"resets":  lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadRequest(); c.Reset() }).Addr,
		"is busy": lbtest.NewBackend(t, lbtest.Respond("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")).Addr,
	} {
		lb := start(t, backups(proxyTo("  eject {\n    failures = 0\n  }\n", primary, backup[0]), backup[0]))
		requests := []string{get}
		if what == "refuses" {
			requests = append(requests, post)
		}
		for _, request := range requests {
			c := lb.dial()
			c.Send(request)
			if r := c.ReadResponse("GET"); r.Status() != 200 || r.Body != "a" {
				t.Errorf("the primary %s: %.4s got %d %q", what, request, r.Status(), r.Body)
			}
		}
		lb.wantMetric(`lb_backend_requests_total{pool="app",backend="`+backup[0]+`",code="200"}`, strconv.Itoa(len(requests)))
		lb.stop()
	}
}

// TestTwoPrimariesRefuse: with the defaults, a backup serves every request while two primaries refuse connections.
func TestTwoPrimariesRefuse(t *testing.T) {
	backup, _ := named(t, 1)
	lb := start(t, backups(proxyTo("", deadAddress(t), deadAddress(t), backup[0]), backup[0]))
	for i := range 60 {
		if r := lb.get("/"); r.Status() != 200 {
			t.Fatalf("request %d: %d %q", i, r.Status(), r.Body)
		}
	}
}

// TestLargeBodyAfterRefusal: a body of which more was received than is kept for retries can still go to another backend as long as
// none of it has been sent.
func TestLargeBodyAfterRefusal(t *testing.T) {
	var got atomic.Int64
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, body := c.ReadRequest()
			if head == "" {
				return
			}
			got.Store(int64(len(body)))
			c.Send(lbtest.OK("x"))
		}
	})
	for name, route := range map[string]string{"streamed": "", "buffered": "      buffer_request = \"100KiB\"\n"} {
		for _, chunked := range []bool{true, false} {
			for _, method := range []string{"POST", "PUT"} {
				text := proxyTo("  balance = \"first\"\n", deadAddress(t), b.Addr)
				lb := start(t, strings.Replace(text, "pool = \"app\"\n", "pool = \"app\"\n"+route, 1))
				for _, size := range []int{70_000, 110_000, 300_000} {
					request := fmt.Sprintf("%s / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", method, size, strings.Repeat("x", size))
					if chunked {
						request = fmt.Sprintf("%s / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", method, size, strings.Repeat("x", size))
					}
					c := lb.dial()
					c.Send(request)
					if r := c.ReadResponse(method); r.Status() != 200 || got.Load() != int64(size) {
						t.Errorf("%s, chunked %v, %s of %d: %d %q, the backend got %d", name, chunked, method, size, r.Status(), r.Body, got.Load())
					}
				}
				lb.stop()
			}
		}
	}
}
