package server_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestPeakEWMAIsNoBlackHole: a backend that fails at once is the quickest and least busy of all, and gets hardly
// anything nevertheless.
func TestPeakEWMAIsNoBlackHole(t *testing.T) {
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
	ending := lbtest.NewBackend(t, func(c *lbtest.Conn) { // ends every connection instead of an answer
		c.ReadRequest()
		ended.Add(1)
		c.Reset()
	})
	good := lbtest.NewBackend(t, lbtest.Answer(lbtest.OK("x")))
	lb := start(t, proxyTo("  balance = \"peak_ewma\"\n  eject {\n    failures = 0\n  }\n  retry {\n    attempts = 0\n  }\n",
		failing.Addr, ending.Addr, good.Addr))
	answered := 0
	for range 200 {
		if lb.get("/").Status() == 200 {
			answered++
		}
	}
	if answered < 190 || asked.Load() == 0 || ended.Load() == 0 {
		t.Errorf("%d of 200 answered; %d were asked of the one that fails, %d of the one that resets",
			answered, asked.Load(), ended.Load())
	}
}

// TestPeakEWMASeesTheStalled: a backend that has stopped answering has no slow answers to show, and is avoided
// for what waits on it.
func TestPeakEWMASeesTheStalled(t *testing.T) {
	release := make(chan struct{})
	var stalled atomic.Int64
	slow := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadRequest()
		stalled.Add(1)
		<-release
		c.Send(lbtest.OK("late"))
	})
	good := lbtest.NewBackend(t, lbtest.Answer(lbtest.OK("x")))
	lb := start(t, proxyTo("  balance = \"peak_ewma\"\n", slow.Addr, good.Addr))
	var stuck *lbtest.Conn
	for sent := 1; stalled.Load() == 0; sent++ { // the first or the second goes there, as it is fresh
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

// TestPeakEWMAAvoidsTheSlow: one slow answer is enough, for a while, though all others are in flight as little.
func TestPeakEWMAAvoidsTheSlow(t *testing.T) {
	var asked atomic.Int64
	slow := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			if asked.Add(1) == 1 {
				time.Sleep(500 * time.Millisecond) // what the test is about, not a wait for anything
			}
			c.Send(lbtest.OK("x"))
		}
	})
	good := lbtest.NewBackend(t, lbtest.Answer(lbtest.OK("x")))
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
