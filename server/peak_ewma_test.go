package server_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestPeakEWMAFailingBackend: a backend that fails at once is the fastest and least busy one, and gets hardly any requests
// nevertheless.
func TestPeakEWMAFailingBackend(t *testing.T) {
	const unavailable = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
	var asked, ended atomic.Int64
	failing := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			asked.Add(1)
			c.Send(unavailable)
		}
	})
	ending := lbtest.NewBackend(t, func(c *lbtest.Conn) { // closes every connection instead of responding
		c.ReadRequest()
		ended.Add(1)
		c.Reset()
	})
	good := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	lb := start(t, proxyTo("  balance = \"peak_ewma\"\n  eject {\n    failures = 0\n  }\n  retry {\n    attempts = 0\n  }\n",
		failing.Addr, ending.Addr, good.Addr))
	served := 0
	for range 200 {
		if lb.get("/").Status() == 200 {
			served++
		}
	}
	if served < 190 || asked.Load() == 0 || ended.Load() == 0 {
		t.Errorf("%d of 200 served; %d requests to the backend that fails, %d to the one that resets",
			served, asked.Load(), ended.Load())
	}
}

// TestPeakEWMAStalledBackend: a backend that has stopped responding has no new latencies, and is avoided because of the requests
// that wait for it.
func TestPeakEWMAStalledBackend(t *testing.T) {
	release := make(chan struct{})
	var stalled atomic.Int64
	slow := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadRequest()
		stalled.Add(1)
		<-release
		c.Send(lbtest.OK("late"))
	})
	good := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	lb := start(t, proxyTo("  balance = \"peak_ewma\"\n", slow.Addr, good.Addr))
	var stuck *lbtest.Conn
	for sent := 1; stalled.Load() == 0; sent++ { // the first or the second request goes there, since it is new
		stuck = lb.dial()
		stuck.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		lbtest.Eventually(t, "either is asked", func() bool {
			return stalled.Load() == 1 || lb.metric(`lb_requests_total{site="s",code="200"}`) == strconv.Itoa(sent)
		})
	}
	for range 100 {
		if r := lb.get("/"); r.Body != "x" {
			t.Fatalf("%q", r.Body)
		}
	}
	if n := stalled.Load(); n != 1 {
		t.Errorf("%d requests went to the one that has stalled", n)
	}
	close(release)
	if r := stuck.ReadResponse("GET"); r.Body != "late" {
		t.Errorf("%q", r.Body)
	}
}

// TestPeakEWMASlowBackend: one slow response is enough to avoid a backend for a while, with equally few requests in flight
// everywhere.
func TestPeakEWMASlowBackend(t *testing.T) {
	var asked atomic.Int64
	slow := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			if asked.Add(1) == 1 {
				time.Sleep(500 * time.Millisecond) // the latency under test, not a wait
			}
			c.Send(lbtest.OK("x"))
		}
	})
	good := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	lb := start(t, proxyTo("  balance = \"peak_ewma\"\n", slow.Addr, good.Addr))
	for range 100 {
		if r := lb.get("/"); r.Status() != 200 {
			t.Fatalf("%d %q", r.Status(), r.Body)
		}
	}
	if n := asked.Load(); n < 1 || n > 3 {
		t.Errorf("the slow one got %d of 100", n)
	}
}
