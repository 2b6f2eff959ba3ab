package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// bodyless are responses without a body to requests with that method. What a backend sends after one of them arrives late: most
// servers write a head and a body with two system calls.
var bodyless = []struct{ name, method, head string }{
	{"HEAD with a length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n"},
	{"HEAD in chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"HEAD without a length", "HEAD", "HTTP/1.1 200 OK\r\n\r\n"},
	{"HEAD of length 0", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"HEAD, 404", "HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 43\r\n\r\n"},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n"},
	{"204 of length 0", "PUT", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"},
	{"304", "GET", "HTTP/1.1 304 Not Modified\r\n\r\n"},
	{"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 43\r\n\r\n"},
	{"304 in chunks", "GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"},
}

const foreign = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nWRONG"

// lateBackend responds to /late with a head, and to each other target with its name. Some time after the head it sends foreign.
func lateBackend(head string, delay time.Duration, sent chan<- time.Duration) func(*lbtest.Conn) {
	return func(c *lbtest.Conn) {
		for {
			request, _ := c.ReadRequest()
			if request == "" {
				return
			}
			target := strings.Fields(request)[1]
			if target != "/late" {
				c.Send(lbtest.OK(target))
				continue
			}
			begin := time.Now()
			c.Send(head)
			time.Sleep(delay)
			c.Send(foreign)
			sent <- time.Since(begin)
		}
	}
}

// TestLateBytes: no client gets what a backend sends 1 to 50 ms after a response without a body.
func TestLateBytes(t *testing.T) {
	for _, tc := range bodyless {
		for _, delay := range []time.Duration{1, 2, 5, 10, 20, 50} {
			t.Run(fmt.Sprintf("%s/%dms", tc.name, delay), func(t *testing.T) {
				t.Parallel()
				for range 3 { // a longer delay than intended proves nothing
					if took := lateRound(t, tc.method, tc.head, delay*time.Millisecond); took < 80*time.Millisecond {
						return
					}
				}
				t.Log("the machine is too busy for this")
			})
		}
	}
}

// lateRound has other clients send requests until after the late bytes have arrived, and returns how late they were.
func lateRound(t *testing.T, method, head string, delay time.Duration) (took time.Duration) {
	sent := make(chan time.Duration, 1)
	backend := lbtest.NewBackend(t, lateBackend(head, delay, sent))
	lb := start(t, proxyTo("", backend.Addr))
	defer lb.stop()
	one, other := lb.dial(), lb.dial()
	var wrong []string
	for i := range 3 { // also connections that have served other requests
		one.Send(fmt.Sprintf("GET /warm%d HTTP/1.1\r\nHost: a\r\n\r\n", i))
		one.ReadResponse("GET")
	}
	one.Send(method + " /late HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	want, _, _ := strings.Cut(head, "\r\n")
	if r := one.ReadResponse(method); !strings.HasPrefix(r.Head, want) {
		t.Errorf("%q", r.Head)
	}
	for i, late := 0, 3; late > 0; i++ {
		target := fmt.Sprintf("/own%d", i)
		c := []*lbtest.Conn{one, other}[i%2]
		c.Send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Body != target {
			wrong = append(wrong, fmt.Sprintf("%s got %q %q", target, r.Head, r.Body))
			if r.Err != nil {
				break
			}
		}
		if took == 0 {
			select {
			case took = <-sent:
			default:
			}
		} else {
			late--
		}
	}
	if took == 0 {
		took = <-sent
	}
	if took < 80*time.Millisecond {
		for _, w := range wrong {
			t.Error(w)
		}
	}
	return took
}
