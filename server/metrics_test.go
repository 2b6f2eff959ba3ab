package server_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestMetricsAreTrue: after each scenario the gauges match the actual state and the counters what has happened.
func TestMetricsAreTrue(t *testing.T) {
	endless := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			target, _, _ := strings.Cut(strings.TrimPrefix(head[strings.Index(head, " ")+1:], "/"), " ")
			switch target {
			case "endless":
				c.Send(endless)
				for {
					if _, err := io.WriteString(c.Conn, "8000\r\n"+strings.Repeat("x", 0x8000)+"\r\n"); err != nil {
						return
					}
				}
			case "cut":
				c.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
				return
			case "reset":
				c.Reset()
				return
			case "last":
				c.Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
				return
			case "":
				if head == "" {
					return
				}
				fallthrough
			default:
				c.Send(lbtest.OK("x"))
			}
		}
	})
	lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", b.Addr))
	backend := func(family, more string) string {
		return family + `{pool="app",backend="` + b.Addr + `"` + more + `}`
	}
	var c *lbtest.Conn
	opened, requests := 0, map[string]int{}
	for _, step := range []struct {
		target       string
		code         string
		opens, keeps int
		errors       string // the reason that is counted
	}{
		{"/", "200", 1, 1, ""},
		{"/", "200", 0, 1, ""},
		{"/last", "200", 0, 0, ""},
		{"/", "200", 1, 1, ""},
		{"/reset", "502", 2, 0, "reset"}, // on the kept-alive connection; two retries on new ones
		{"/", "200", 1, 1, ""},
		{"/cut", "200", 0, 0, "reset"},
		{"/", "200", 1, 1, ""},
		{"/endless", "200", 0, 0, "aborted"},
		{"/", "200", 1, 1, ""},
	} {
		before := ""
		if step.errors != "" {
			before = lb.metric(backend("lb_backend_errors_total", `,reason="`+step.errors+`"`))
		}
		if c == nil { // one connection as long as it lives: each loop keeps its own connections to backends
			c = lb.dial()
		}
		c.Send("GET " + step.target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if step.target == "/endless" {
			c.ReadHead()
			lb.wantMetric(backend("lb_backend_in_flight", ""), "1")
			lb.wantMetric(backend("lb_backend_connections", `,state="active"`), "1")
			lb.wantMetric(`lb_requests_in_flight{site="s"}`, "1")
			c.Reset()
			c = nil
		} else if r := c.ReadResponse("GET"); r.Err != nil {
			c.Close()
			c = nil
		}
		opened += step.opens
		requests[step.code]++
		lb.wantMetric(fmt.Sprintf(`lb_requests_total{site="s",code=%q}`, step.code), fmt.Sprint(requests[step.code]))
		for series, want := range map[string]int{
			backend("lb_backend_in_flight", ""):                         0,
			backend("lb_backend_connections", `,state="active"`):        0,
			backend("lb_backend_connections", `,state="idle"`):          step.keeps,
			backend("lb_backend_connections_total", `,result="opened"`): opened,
			`lb_requests_in_flight{site="s"}`:                           0,
		} {
			lb.wantMetric(series, fmt.Sprint(want))
		}
		if int(b.Conns.Load()) != opened {
			t.Fatalf("%s: the backend saw %d connections, %d are counted", step.target, b.Conns.Load(), opened)
		}
		if step.errors != "" {
			after := lb.metric(backend("lb_backend_errors_total", `,reason="`+step.errors+`"`))
			if after == before {
				t.Errorf("%s: errors by %s stay at %q", step.target, step.errors, after)
			}
		}
	}
}

// TestLoopDelay: the delays of the event loops are also measured without requests.
func TestLoopDelay(t *testing.T) {
	lb := start(t, proxyTo("", apply(t, fine).Addr))
	const count = "lb_loop_delay_seconds_count"
	lb.get("/")
	before := lb.metric(count)
	lbtest.Eventually(t, "a sample of an idle loop", func() bool { now := lb.metric(count); return now != before && now != "0" })
}
