package server_test

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// volume is how many requests a test of integrity makes.
func volume() int {
	switch {
	case testing.Short():
		return 2_000
	case raceEnabled:
		return 20_000
	}
	return 100_000
}

// sane answers every request with what was asked for.
func sane(c *lbtest.Conn) {
	for {
		head, _ := c.ReadRequest()
		if head == "" {
			return
		}
		c.Send(answerTo(head))
	}
}

// answerTo is the answer to a request with that head. Its length varies, and its body says for whom it is.
func answerTo(head string) string {
	_, rest, _ := strings.Cut(head, " ")
	target, _, _ := strings.Cut(rest, " ")
	return lbtest.OK(bodyFor(target))
}

func bodyFor(target string) string { return strings.Repeat(target+"|", 1+len(target)*7%5) }

// tally counts the answers of a run of requests.
type tally struct{ whole, failed, wrong atomic.Int64 }

// askAll makes n requests by clients that keep their connections. An answer is whole if it is the one to
// its request, failed if it is a 502 that says so.
func askAll(lb *running, n int) *tally {
	const clients = 16
	var counts tally
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			c := lbtest.Dial(lb.t, lb.addr())
			defer c.Close()
			for i := client; i < n; i += clients {
				target := "/" + strconv.Itoa(client) + "/" + strconv.Itoa(i)
				_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // for each, not for all
				c.Send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
				switch r := c.ReadResponse("GET"); {
				case r.Err == nil && r.Status() == 200 && r.Body == bodyFor(target):
					counts.whole.Add(1)
				case r.Err == nil && r.Status() == 502:
					counts.failed.Add(1)
				default:
					if counts.wrong.Add(1) < 5 {
						lb.t.Errorf("%s: %q %.200q %v", target, r.Head, r.Body, r.Err)
					}
					return
				}
			}
		})
	}
	group.Wait()
	return &counts
}

// TestConnectionsEndUnannounced: backends that close kept connections when they like cost no client an answer,
// be it right after an answer, when the next request may be under way, or a little later.
func TestConnectionsEndUnannounced(t *testing.T) {
	for name, wait := range map[string]time.Duration{"at once": 0, "after 20 ms": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			n := volume()
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				if wait == 0 {
					if head, _ := c.ReadRequest(); head != "" {
						c.Send(answerTo(head))
					}
					return
				}
				for end := time.Now().Add(wait); ; {
					_ = c.SetReadDeadline(end)
					head, _ := c.ReadRequest()
					if head == "" {
						return
					}
					c.Send(answerTo(head))
				}
			})
			lb := start(t, proxyTo("", b.Addr))
			begun := time.Now()
			counts := askAll(lb, n)
			t.Logf("%d requests over %d connections in %v", n, b.Conns.Load(), time.Since(begun).Round(time.Millisecond))
			if whole := counts.whole.Load(); whole != int64(n) {
				t.Errorf("%d of %d were answered, %d by 502", whole, n, counts.failed.Load())
			}
			lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
		})
	}
}

// TestHeadsCutShort: a backend that ends its connection in the middle of a head leaves each request with a
// whole answer from elsewhere, or a 502, never with half of one.
func TestHeadsCutShort(t *testing.T) {
	n := volume() / 2
	var cuts atomic.Int64
	mad := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for kept := 0; ; kept++ {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			answer := answerTo(head)
			if kept == 3 {
				cuts.Add(1)
				c.Send(answer[:c.N%strings.Index(answer, "\r\n\r\n")])
				return
			}
			c.Send(answer)
		}
	})
	good := lbtest.NewBackend(t, sane)
	lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", mad.Addr, good.Addr))
	counts := askAll(lb, n)
	t.Logf("%d requests, %d heads cut: %d answered, %d by 502", n, cuts.Load(), counts.whole.Load(), counts.failed.Load())
	if failed := counts.failed.Load(); failed > cuts.Load() {
		t.Errorf("%d requests failed by %d heads", failed, cuts.Load())
	}
	if cuts.Load() == 0 || counts.whole.Load() == 0 {
		t.Error("nothing was tested")
	}
}
