package server_test

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// streaming is the attribute of a pool with which every request body is streamed.
const streaming = "  retry {\n    body = \"0B\"\n  }\n"

// TestEcho: a response that starts while the request is still being sent is relayed concurrently.
func TestEcho(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		c.Send("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
		_, _ = io.CopyN(c.Conn, c, 40)
		c.ReadHead() // this side does not close
	})
	lb := start(t, proxyTo(streaming, b.Addr))
	c := lb.dial()
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n")
	if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		t.Fatalf("head %q", head)
	}
	for i := range 10 {
		piece := fmt.Sprintf("%04d", i)
		c.Send(piece)
		if !c.Expect(t, piece) {
			return
		}
	}
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
}

// TestSlowUpload: body timeouts restart with progress, so a body may take longer than each of them in total. The response timeout
// starts when the body has been sent.
func TestSlowUpload(t *testing.T) {
	const limit = 400 * time.Millisecond
	for _, framing := range []string{"Content-Length: 12", "Transfer-Encoding: chunked"} {
		b := record(t, lbtest.OK("x"))
		lb := start(t, fmt.Sprintf("limits {\n  body_idle_timeout = %q\n  header_timeout = %q\n}\n", limit, limit)+
			proxyTo(streaming+fmt.Sprintf("  timeouts {\n    response = %q\n    idle = %q\n  }\n", limit, limit), b.Addr))
		c := lb.dial()
		c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n\r\n")
		began := time.Now()
		for i := range 12 {
			if i%2 == 0 && framing[0] == 'T' {
				c.Send("2\r\n")
			}
			c.Send("x")
			time.Sleep(limit / 8) // the client's own pace
			if i%2 == 1 && framing[0] == 'T' {
				c.Send("\r\n")
			}
		}
		if took := time.Since(began); took < limit {
			t.Fatalf("the upload took %v, which shows nothing", took)
		}
		if framing[0] == 'T' {
			c.Send("0\r\n\r\n")
		}
		if r := c.ReadResponse("POST"); r.Status() != 200 {
			t.Errorf("%s: %d %q", framing, r.Status(), r.Body)
		}
		if _, body := b.last(); body != "xxxxxxxxxxxx" {
			t.Errorf("%s: the backend read %q", framing, body)
		}
		lb.stop()
	}
}

// TestClientStalls: a stalled body is the client's fault (408), however short the response timeout is. The backend's request is
// never completed.
func TestClientStalls(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "  retry {\n    body = \"64KiB\"\n  }\n"} {
		whole := make(chan bool, 1)
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) { head, _ := c.ReadRequest(); whole <- head != "" })
		lb := start(t, "limits {\n  body_idle_timeout = \"300ms\"\n}\n"+
			proxyTo(map[bool]string{true: streaming, false: body}[body == ""]+"  timeouts {\n    response = \"30ms\"\n  }\n", b.Addr))
		c := lb.dial()
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
		if r := c.ReadResponse("POST"); r.Status() != 408 || r.Field("Connection") != "close" {
			t.Errorf("%d %q", r.Status(), r.Body)
		}
		if body == "" && <-whole {
			t.Error("the backend read a whole request")
		}
		if got := lb.metric(`lb_backend_errors_total{pool="app",backend="` + b.Addr + `",reason="timeout"}`); got != "0" && got != "" {
			t.Errorf("the backend is charged with %s timeouts", got)
		}
		lb.wantMetric(`lb_requests_total{site="s",code="408"}`, "1")
		lb.stop()
	}
}

// TestBackendFailsDuringUpload: a client that has not sent everything yet gets the right status.
func TestBackendFailsDuringUpload(t *testing.T) {
	for _, tc := range []struct {
		name   string
		script func(*lbtest.Conn)
		status int
		reason string
	}{
		{"reset", func(c *lbtest.Conn) { c.ReadHead(); c.Reset() }, 502, "reset"},
		{"closed", func(c *lbtest.Conn) { c.ReadHead() }, 502, "reset"},
		{"nonsense", func(c *lbtest.Conn) { c.ReadHead(); c.Send("nonsense\r\n\r\n"); c.ReadHead() }, 502, "protocol"},
	} {
		b := lbtest.NewBackend(t, tc.script)
		lb := start(t, proxyTo(streaming+"  eject {\n    failures = 0\n  }\n", b.Addr))
		for range 10 { // both sides end in a race
			c := lb.dial()
			c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
			if r := c.ReadResponse("POST"); r.Status() != tc.status {
				t.Errorf("%s: %d %q %v, want %d", tc.name, r.Status(), r.Body, r.Err, tc.status)
			}
			c.CloseWrite()
			if _, orderly := c.Ended(); !orderly {
				t.Errorf("%s: reset", tc.name)
			}
		}
		lb.wantMetric(fmt.Sprintf(`lb_requests_total{site="s",code="%d"}`, tc.status), "10")
		lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="`+tc.reason+`"}`, "10")
		lb.stop()
	}
}

// TestEarlyResponseToChunkedRequest: a refusal reaches a client that continues to send chunks, and the rest of the body is never
// taken for another request.
func TestEarlyResponseToChunkedRequest(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head := c.ReadHead()
			if head == "" {
				return
			}
			if strings.HasPrefix(head, "GET /smuggled") {
				t.Error("a body became a request")
			}
			c.Send("HTTP/1.1 401 Who\r\nContent-Length: 2\r\nWWW-Authenticate: Basic\r\n\r\nno")
		}
	})
	lb := start(t, proxyTo(streaming, b.Addr))
	c := lb.dial()
	c.Send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	r := c.ReadResponse("PUT")
	if r.Status() != 401 || r.Body != "no" || r.Field("Connection") != "close" || r.Field("WWW-Authenticate") != "Basic" {
		t.Errorf("%q %q %v", r.Head, r.Body, r.Err)
	}
	c.Send("28\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
	if rest, orderly := c.Ended(); rest != "" || !orderly {
		t.Errorf("after the response: %q, orderly %v", rest, orderly)
	}
	if lb.get("/").Status() != 401 || b.Conns.Load() != 2 {
		t.Errorf("the connection with half a request was used again: %d connections", b.Conns.Load())
	}
}

// TestUnrequestedUpgradeDuringUpload: a 101 that was not requested ends the upload before the exchange, which then serves other
// requests. The race detector would find anything that continues.
func TestUnrequestedUpgradeDuringUpload(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if c.ReadHead() != "" {
			c.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			_, _ = c.Ended()
		}
	})
	lb := start(t, proxyTo(streaming+"  eject {\n    failures = 0\n  }\n", b.Addr))
	for i := range 20 {
		c := lb.dial()
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome")
		if i%2 == 0 {
			c.Send(strings.Repeat("x", 96))
		}
		if r := c.ReadResponse("POST"); r.Status() != 502 || r.Err != nil {
			t.Fatalf("%d %v", r.Status(), r.Err)
		}
		c.Close()
	}
}

// TestEarlyResponseToStalledUpload: a refusal reaches a client whose body stalls because the backend does not read it. The
// connection is not reset while the client sends.
func TestEarlyResponseToStalledUpload(t *testing.T) {
	response := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		<-response
		c.Send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
		<-response
	})
	defer close(response)
	lb := start(t, proxyTo(streaming, b.Addr))
	c := lb.dial()
	var sent atomic.Int64
	ended := make(chan error, 1)
	const size = 64 << 20
	c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size))
	go func() {
		piece := make([]byte, 64<<10)
		for sent.Load() < size {
			n, err := c.Write(piece)
			sent.Add(int64(n))
			if err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	for last := int64(-1); last != sent.Load() || last == 0; { // until there is no more progress
		last = sent.Load()
		time.Sleep(200 * time.Millisecond)
	}
	response <- struct{}{}
	if r := c.ReadResponse("POST"); r.Status() != 413 || r.Body != "big" {
		t.Errorf("%q %q %v", r.Head, r.Body, r.Err)
	}
	if err, _ := lbtest.Wait(t, "the end of the body", ended); err != nil {
		t.Errorf("after %d bytes: %v", sent.Load(), err)
	}
	if rest, orderly := c.Ended(); rest != "" || !orderly {
		t.Errorf("then %q, orderly %v", rest, orderly)
	}
}
