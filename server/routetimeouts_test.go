package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestRouteTimeouts: the timeouts of a route replace the pool's, for each request of a connection separately.
func TestRouteTimeouts(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			switch head := c.ReadHead(); {
			case head == "":
				return
			case strings.Contains(head, "/stalls"):
				c.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
				_, _ = c.Ended()
			case strings.Contains(head, "silent"):
				_, _ = c.Ended()
			default:
				c.Send(lbtest.OK("x"))
			}
		}
	})
	route := func(path, timeouts string) string {
		return fmt.Sprintf("  route %q {\n    proxy {\n      pool = \"app\"\n      timeouts {\n%s\n      }\n    }\n  }\n", path, timeouts)
	}
	lb := start(t, "site \"s\" {\n"+route("/response/", "response = \"150ms\"")+route("/idle/", "idle = \"150ms\"\nresponse = \"\"")+
		route("/", "")+"}\npool \"app\" {\n  backend \""+b.Addr+"\" {}\n  eject {\n    failures = 0\n  }\n}\n")
	for range 3 {
		lb.get("/")
		began := time.Now()
		if r := lb.get("/response/silent"); r.Status() != 504 || time.Since(began) < 150*time.Millisecond {
			t.Errorf("%d after %v", r.Status(), time.Since(began))
		}
		if r := lb.get("/idle/stalls"); r.Err == nil {
			t.Errorf("%q, as if whole", r.Head)
		}
	}
	// The pool's timeouts apply to the other route, on the connection that the first one has used.
	lb.get("/response/ok")
	c := lb.dial()
	c.Send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n")
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "1")
	time.Sleep(400 * time.Millisecond) // longer than the timeouts of the other routes
	if got := lb.metric(`lb_requests_in_flight{site="s"}`); got != "1" {
		t.Errorf("%s requests are in flight: the timeout of another route ended it", got)
	}
}
