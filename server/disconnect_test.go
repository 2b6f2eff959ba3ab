package server_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// slow is a backend that reports each request and each cancellation, and responds when the test says so.
type slow struct {
	*lbtest.Backend
	asked     chan string
	cancelled chan bool
	response  chan string
}

func newSlow(t testing.TB) *slow {
	s := &slow{asked: make(chan string, 10), cancelled: make(chan bool, 10), response: make(chan string, 10)}
	s.Backend = lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			s.asked <- strings.Fields(head)[1]
			ended := make(chan bool)
			stop := make(chan bool)
			go func() {
				defer close(ended)
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
				if _, err := c.Conn.Read(make([]byte, 1)); err == io.EOF {
					select {
					case <-stop:
					default:
						s.cancelled <- true
					}
				}
			}()
			select {
			case text := <-s.response:
				close(stop)
				c.Send(text)
				_ = c.SetReadDeadline(time.Now())
				<-ended
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
			case <-ended:
				return
			}
		}
	})
	return s
}

// TestClientDisconnects: a disconnect while the backend is working is detected, the backend's request is cancelled, and the client
// is counted as its cause, not the backend.
func TestClientDisconnects(t *testing.T) {
	for _, how := range []string{"close", "reset", "tls", "unix", "http10"} {
		t.Run(how, func(t *testing.T) {
			b := newSlow(t)
			listen := ""
			switch how {
			case "tls":
				listen = "listen \"127.0.0.1:0\" {\n  tls {\n    certificate {\n      cert = \"$DIR/c.pem\"\n      key = \"$DIR/c.key\"\n    }\n  }\n}\n"
			case "unix":
				listen = "listen \"unix:$DIR/lb.sock\" {}\n"
			}
			dir := t.TempDir()
			writeCertificate(t, dir+"/c", 1, "a")
			lb := start(t, strings.ReplaceAll(listen, "$DIR/c", dir+"/c")+proxyTo("", b.Addr))
			var c net.Conn
			switch how {
			case "tls":
				secure, err := tls.Dial("tcp", lb.addr(), &tls.Config{InsecureSkipVerify: true})
				if err != nil {
					t.Fatal(err)
				}
				c = secure
			case "unix":
				c = lb.dialUnix("lb.sock").Conn
			default:
				c = lb.dial().Conn
			}
			version := "HTTP/1.1"
			if how == "http10" {
				version = "HTTP/1.0\r\nConnection: keep-alive"
			}
			fmt.Fprint(c, "GET /work "+version+"\r\nHost: a\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n")
			if _, ok := lbtest.Wait(t, "the backend is asked", b.asked); !ok {
				return
			}
			if tcp, ok := c.(*net.TCPConn); ok && how == "reset" {
				_ = tcp.SetLinger(0)
			}
			c.Close()
			began := time.Now()
			lbtest.Wait(t, "the backend's request is cancelled", b.cancelled)
			t.Logf("noticed after %v", time.Since(began).Round(time.Millisecond))
			lb.wantMetric(`lb_requests_total{site="s",code="499"}`, "1")
			lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="aborted"}`, "1")
			lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
			if log := lb.read("access.log"); strings.Contains(log, "/never") {
				t.Errorf("the request after it was executed: %s", log)
			}
			lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="timeout"}`, "0")
		})
	}
}

// TestHalfClosed: a client that has only closed its sending half gets its responses, however late they are, and not a byte more.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
		b := newSlow(t)
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		c.Send("GET /a " + version + "\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /b " + version + "\r\nHost: a\r\n\r\n")
		c.CloseWrite()
		sent := 0
		for _, target := range []string{"/a", "/b"} {
			if got, _ := lbtest.Wait(t, "the backend is asked", b.asked); got != target {
				t.Fatalf("%s: asked for %q, want %q", version, got, target)
			}
			select {
			case <-b.cancelled:
				t.Fatalf("%s: cancelled", version)
			case <-time.After(300 * time.Millisecond): // longer than it takes to detect a disconnect
			}
			b.response <- lbtest.OK(target)
			r := c.ReadResponse("GET")
			if r.Status() != 200 || r.Body != target {
				t.Errorf("%s: %d %q %v", version, r.Status(), r.Body, r.Err)
			}
			sent += len(r.Head) + len(r.Body)
		}
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("%s: then %q, orderly %v", version, rest, orderly)
		}
		lb.wantMetric(`lb_response_bytes_total{site="s"}`, fmt.Sprint(sent))
	}
}

// TestEventStreamDisconnect: a disconnect is also detected during an event stream without events. A client that has only
// half-closed its connection reads the stream unchanged.
func TestEventStreamDisconnect(t *testing.T) {
	t.Parallel()
	for _, half := range []bool{false, true} {
		ended, more := make(chan bool, 1), make(chan bool)
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			c.ReadRequest()
			c.Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata\n\n\r\n")
			go func() {
				_, _ = c.Conn.Read(make([]byte, 1))
				ended <- true
			}()
			if <-more {
				c.Send("5\r\nmore\n\r\n0\r\n\r\n")
			}
		})
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		c.ReadHead()
		if !c.Expect(t, "6\r\ndata\n\n\r\n") {
			return
		}
		if !half {
			c.Close()
			lbtest.Wait(t, "the backend's stream is ended", ended)
			more <- false
			lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="aborted"}`, "1")
			continue
		}
		c.CloseWrite()
		select {
		case <-ended:
			t.Fatal("the stream of a half-closed client was ended")
		case <-time.After(300 * time.Millisecond): // longer than it takes to detect a disconnect
		}
		more <- true
		// A probe is a leading zero of the next chunk's size.
		rest, orderly := c.Ended()
		if got := strings.TrimLeft(rest, "0"); got != "5\r\nmore\n\r\n0\r\n\r\n" || !orderly {
			t.Errorf("then %q, orderly %v", rest, orderly)
		}
	}
}

// TestQueuedClientDisconnects: a queued request leaves the queue when its client disconnects.
func TestQueuedClientDisconnects(t *testing.T) {
	b := newSlow(t)
	lb := start(t, "site \"s\" {\n  route \"/\" {\n    proxy {\n      pool = \"app\"\n    }\n  }\n}\npool \"app\" {\n  backend \""+b.Addr+"\" {\n    max_conns = 1\n  }\n}\n")
	first := lb.dial()
	first.Send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	lbtest.Wait(t, "the backend is asked", b.asked)
	second := lb.dial()
	second.Send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	lb.wantMetric(`lb_queue_length{pool="app"}`, "1")
	second.Close()
	lb.wantMetric(`lb_queue_length{pool="app"}`, "0")
	lb.wantMetric(`lb_requests_total{site="s",code="499"}`, "1")
	b.response <- lbtest.OK("one")
	if r := first.ReadResponse("GET"); r.Body != "one" {
		t.Errorf("the first got %q", r.Body)
	}
}
