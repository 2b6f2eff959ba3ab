package server_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestHalfClosedCrowd: clients that half-close their connection after the request get the complete response whenever it comes.
// Most responses come while the balancer is about to check whether the client is still connected. Afterwards no request is in
// flight, and each has its log line.
func TestHalfClosedCrowd(t *testing.T) {
	const clients, each = 100, 30
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		random := rand.New(rand.NewPCG(1, uint64(c.N)))
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			time.Sleep(70*time.Millisecond + time.Duration(random.IntN(60_000))*time.Microsecond) // from the first check of a client to the last
			c.Send(lbtest.OK("whole"))
		}
	})
	lb := start(t, proxyTo("", b.Addr))
	var running sync.WaitGroup
	failed := make(chan string, clients*each)
	for range clients {
		running.Go(func() {
			for range each {
				nc := lbtest.TryDial(lb.addr())
				if nc == nil {
					failed <- "cannot connect"
					continue
				}
				_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
				fmt.Fprint(nc, "GET /half HTTP/1.1\r\nHost: a\r\n\r\n")
				_ = nc.(interface{ CloseWrite() error }).CloseWrite()
				if text, err := io.ReadAll(nc); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(string(text), "whole") {
					failed <- fmt.Sprintf("%v %q", err, text)
				}
				nc.Close()
			}
		})
	}
	running.Wait()
	if n := len(failed); n > 0 {
		t.Errorf("%d of %d clients did not get their response, the first: %s", n, clients*each, <-failed)
	}
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
	lb.wantMetric(`lb_requests_total{site="s",code="200"}`, fmt.Sprint(clients*each))
	lbtest.Eventually(t, "each request has its line in the log", func() bool {
		return strings.Count(lb.read("access.log"), `"target":"/half"`) == clients*each
	})
}
