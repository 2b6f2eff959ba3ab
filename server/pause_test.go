package server_test

import (
	"context"
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

// paused waits until the only request in flight of a site waits for its client or backend, so that the loops are idle.
func (r *running) paused(site string) {
	r.t.Helper()
	r.wantMetric(`lb_requests_in_flight{site="`+site+`"}`, "1")
	before, same := "", 0
	lbtest.Eventually(r.t, "the loops have nothing to do", func() bool {
		if now := r.metric("lb_loop_delay_seconds_count"); now == "" || now != before {
			before, same = now, 0
		} else {
			same++
		}
		return same == 2
	})
}

// bustle has other requests reuse the shared buffers.
func bustle(lb *running) {
	for range 20 {
		lb.get("/other/"+strings.Repeat("!", 300), "X-Filler: "+strings.Repeat("?", 300), "X-Request-Id: "+strings.Repeat("#", 30))
	}
}

// TestPausedUpload: each piece of a request body that arrives after a pause is forwarded at once, and no part of the request is
// lost meanwhile.
func TestPausedUpload(t *testing.T) {
	pieces := []string{"first", "second", "third"}
	for _, tc := range []struct{ name, fields, pieces string }{
		{"length", "Content-Length: 16\r\n", "%s"},
		{"chunks", "Transfer-Encoding: chunked\r\nTrailer: X-End\r\n", "%x\r\n%s\r\n"},
		{"expect", "Content-Length: 16\r\nExpect: 100-continue\r\n", "%s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chunked := tc.name == "chunks"
			came, whole := make(chan string, 8), make(chan string, 1)
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				head := c.ReadHead()
				switch {
				case strings.Contains(head, "/other/"):
					c.Send(lbtest.OK("o"))
					return
				case strings.Contains(head, "/next"): // the response was sent before the end of the upload
					whole <- head
					c.Send(lbtest.OK("next"))
					return
				}
				came <- head
				if tc.name == "expect" {
					c.Send("HTTP/1.1 100 Continue\r\n\r\n")
				}
				for _, piece := range pieces {
					want := piece
					if chunked {
						want = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
					}
					if !c.Expect(t, want) {
						return
					}
					came <- piece
				}
				if chunked && !c.Expect(t, "0\r\nX-End: e\r\n\r\n") {
					return
				}
				c.Send(lbtest.OK("done"))
				if next := c.ReadHead(); next != "" { // otherwise it uses another connection
					whole <- next
					c.Send(lbtest.OK("next"))
				}
			})
			lb := start(t, "access_log {\n  file = \"$DIR/access.log\"\n  format = \"json\"\n}\n"+proxyTo("", b.Addr))
			c := lb.dial()
			c.Send("POST /the/target?q HTTP/1.1\r\nHost: a.example\r\nUser-Agent: tester\r\nX-Own: own\r\n" + tc.fields + "\r\n")
			head, _ := lbtest.Wait(t, "the head", came)
			if !strings.HasPrefix(head, "POST /the/target?q HTTP/1.1\r\nHost: a.example\r\n") {
				t.Errorf("the backend read %q", head)
			}
			if tc.name == "expect" && !c.Expect(t, "HTTP/1.1 100 Continue\r\n\r\n") {
				return
			}
			for _, piece := range pieces {
				lb.paused("s")
				bustle(lb)
				if chunked {
					c.Send(fmt.Sprintf("%x\r\n", len(piece)))
				}
				c.Send(piece)
				if chunked {
					c.Send("\r\n")
				}
				if got, _ := lbtest.Wait(t, piece, came); got != piece {
					t.Fatalf("the backend got %q", got)
				}
			}
			if chunked {
				lb.paused("s")
				c.Send("0\r\nX-End: e\r\n\r\n")
			}
			if r := c.ReadResponse("POST"); r.Status() != 200 || r.Body != "done" {
				t.Errorf("%q %q", r.Head, r.Body)
			}
			c.Send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
			if r := c.ReadResponse("GET"); r.Body != "next" {
				t.Errorf("%q %q", r.Head, r.Body)
			}
			if head, _ := lbtest.Wait(t, "the next head", whole); !strings.HasPrefix(head, "GET /next ") {
				t.Errorf("the next request was %q", head)
			}
			lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
			lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
			lb.stop()
			for _, want := range []string{`"method":"POST"`, `"target":"/the/target?q"`, `"host":"a.example"`, `"user_agent":"tester"`, `"bytes_in":16`} {
				if log := lb.read("access.log"); !strings.Contains(log, want) {
					t.Errorf("the log lacks %s:\n%s", want, log)
				}
			}
		})
	}
}

// TestPausedUploadEnds: whatever ends a request during a pause of its body is detected at once.
func TestPausedUploadEnds(t *testing.T) {
	t.Parallel()
	const noResponse = -1
	for _, tc := range []struct {
		name    string
		backend func(c *lbtest.Conn, paused <-chan struct{})
		client  func(c *lbtest.Conn)
		status  int
		code    string // that is counted
	}{
		{"refused", func(c *lbtest.Conn, paused <-chan struct{}) {
			<-paused
			c.Send("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
			c.ReadHead()
		}, nil, 413, "413"},
		{"backend disconnects", func(c *lbtest.Conn, paused <-chan struct{}) { <-paused }, nil, 502, "502"},
		{"backend reset", func(c *lbtest.Conn, paused <-chan struct{}) { <-paused; c.Reset() }, nil, 502, "502"},
		{"client disconnects", func(c *lbtest.Conn, _ <-chan struct{}) { c.ReadHead() }, func(c *lbtest.Conn) { c.Close() }, noResponse, "499"},
		{"client reset", func(c *lbtest.Conn, _ <-chan struct{}) { c.ReadHead() }, func(c *lbtest.Conn) { c.Reset() }, noResponse, "499"},
		{"client ended", func(c *lbtest.Conn, _ <-chan struct{}) { c.ReadHead() }, func(c *lbtest.Conn) { c.CloseWrite() }, 400, "400"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked, paused, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				c.ReadHead()
				close(asked)
				tc.backend(c, paused)
				if tc.client != nil {
					close(ended)
				}
			})
			lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", b.Addr))
			c := lb.dial()
			c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
			lbtest.Wait(t, "the backend is asked", asked)
			lb.paused("s")
			close(paused)
			if tc.client != nil {
				tc.client(c)
				lbtest.Wait(t, "the end of the backend's request", ended)
			}
			if tc.status != noResponse {
				if r := c.ReadResponse("POST"); r.Status() != tc.status {
					t.Errorf("%d %q %v, want %d", r.Status(), r.Body, r.Err, tc.status)
				}
			}
			lb.wantMetric(`lb_requests_total{site="s",code="`+tc.code+`"}`, "1")
			lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
		})
	}
}

// TestPausedUploadIsReplayed: the part of a body that is kept for a retry is also kept during a pause.
func TestPausedUploadIsReplayed(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 1)
	dead := lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadRequest(); c.Reset() })
	good := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		_, body := c.ReadRequest()
		bodies <- body
		c.Send(lbtest.OK("x"))
	})
	lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", dead.Addr, good.Addr))
	for range 2 { // one of them is first sent to the refusing one
		c := lb.dial()
		c.Send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
		lb.paused("s")
		c.Send("def")
		lb.paused("s")
		c.Send("ghi")
		if r := c.ReadResponse("PUT"); r.Status() != 200 {
			t.Errorf("%d %q", r.Status(), r.Body)
		}
		if body, _ := lbtest.Wait(t, "the body", bodies); body != "abcdefghi" {
			t.Errorf("the good backend read %q", body)
		}
	}
	if n := lb.metric(`lb_retries_total{pool="app",reason="reset"}`); n != "1" && n != "2" {
		t.Errorf("%s retries", n)
	}
}

// TestPausedReader: a response whose client does not read for a while arrives complete, and so does the next one.
func TestPausedReader(t *testing.T) {
	const size = 24 << 20
	pattern := strings.Repeat("0123456789abcdef!", size/17+1)[:size]
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head := c.ReadHead()
			switch {
			case head == "":
				return
			case strings.HasPrefix(head, "GET /length"):
				c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, pattern))
			case strings.HasPrefix(head, "GET /chunks"):
				c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				for rest := pattern; rest != ""; rest = rest[min(len(rest), 100_000):] {
					piece := rest[:min(len(rest), 100_000)]
					c.Send(fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece))
				}
				c.Send("0\r\n\r\n")
			case strings.HasPrefix(head, "GET /close"):
				c.Send("HTTP/1.1 200 OK\r\n\r\n" + pattern)
				return
			default:
				c.Send(lbtest.OK("o"))
			}
		}
	})
	files := t.TempDir()
	for name, text := range map[string]string{"kept": pattern, "streamed": pattern + pattern} {
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lb := start(t, strings.ReplaceAll(`static_cache {
  memory   = "64MiB"
  max_file = "32MiB"
}
site "s" {
  route "/kept" {
    static {
      root = "FILES"
    }
  }
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
site "disk" {
  hosts = ["disk"]
  route "/" {
    static {
      root = "FILES"
    }
  }
}
pool "app" {
  backend "`+b.Addr+`" {}
}
`, "FILES", files))
	for _, path := range []string{"/length", "/chunks", "/close", "/kept", "/streamed"} {
		t.Run(path[1:], func(t *testing.T) {
			site, host, want := "s", "a", pattern
			if path == "/streamed" {
				site, host, want = "disk", "disk", pattern+pattern
			}
			c := lb.dial()
			_ = c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
			c.Send("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n")
			lb.paused(site)
			bustle(lb)
			_ = c.Conn.(*net.TCPConn).SetReadBuffer(256 << 10)
			part := make([]byte, 1<<20)
			head := c.ReadHead()
			if strings.Contains(head, "Content-Length") {
				if _, err := io.ReadFull(c, part); err != nil || string(part) != want[:len(part)] {
					t.Fatalf("the first part is not as it should be (%v)", err)
				}
				lb.paused(site)
				bustle(lb)
				rest := make([]byte, len(want)-len(part))
				if _, err := io.ReadFull(c, rest); err != nil || string(rest) != want[len(part):] {
					t.Fatalf("the rest is not as it should be (%v)", err)
				}
			} else if body, err := c.ReadBody(head); err != nil || body != want {
				t.Fatalf("the body is not as it should be (%v)", err)
			}
			if r := c.ReadResponse("GET"); r.Body != "o" {
				t.Errorf("followed by %q %q", r.Head, r.Body)
			}
		})
	}
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
}

// TestPausedReaderIsCut: a client that does not read is disconnected after the timeout. A disconnect by the client is detected at
// once.
func TestPausedReaderIsCut(t *testing.T) {
	t.Parallel()
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		c.Send("HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + strings.Repeat("x", 30_000_000))
	})
	for _, leaves := range []bool{false, true} {
		limit := time.Second
		if leaves {
			limit = time.Hour
		}
		lb := start(t, "access_log {\n  file = \"$DIR/access.log\"\n  format = \"json\"\n}\nlimits {\n  body_idle_timeout = \""+limit.String()+"\"\n}\n"+proxyTo("", b.Addr))
		c := lb.dial()
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		began := time.Now()
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		lb.paused("s")
		if leaves {
			c.Reset()
		}
		lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
		if took := time.Since(began); !leaves && took < limit {
			t.Errorf("it went after %v", took)
		}
		lb.stop()
		if log := lb.read("access.log"); !strings.Contains(log, "cannot send the response: ") && !(leaves && strings.Contains(log, "the client disconnected")) {
			t.Errorf("leaves %v: the log says %s", leaves, log)
		}
	}
}

// TestPausedAtShutdown: shutdown treats a request whose body pauses like any other: it waits, then closes the connection.
func TestPausedAtShutdown(t *testing.T) {
	for _, completes := range []bool{true, false} {
		b := record(t, lbtest.OK("x"))
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
		lb.paused("s")
		hurry, cut := context.WithCancel(context.Background())
		defer cut()
		stopped := make(chan error, 1)
		go func() { stopped <- lb.Stop(hurry) }()
		lbtest.Eventually(t, "no connection is accepted any more", func() bool {
			nc, err := net.Dial("tcp", lb.addr())
			if err == nil {
				nc.Close()
			}
			return err != nil
		})
		if completes {
			c.Send("def")
			if r := c.ReadResponse("POST"); r.Status() != 200 || r.Field("Connection") != "close" {
				t.Errorf("%q", r.Head)
			}
		} else {
			cut()
		}
		lbtest.Wait(t, "the end", stopped)
		if !completes {
			if r := c.ReadResponse("POST"); r.Status() != 0 {
				t.Errorf("%q", r.Head)
			}
		}
	}
}
