package server_test

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// volume is the number of requests of an integrity test; LB_LONG=1 increases it.
func volume() int {
	switch {
	case testing.Short():
		return 2_000
	case os.Getenv("LB_LONG") == "":
		return 20_000
	}
	return 100_000
}

// sane responds to every request correctly.
func sane(c *lbtest.Conn) {
	for {
		head, _ := c.ReadRequest()
		if head == "" {
			return
		}
		c.Send(responseTo(head))
	}
}

// responseTo is the response to a request with that head. Its length varies, and its body names the request.
func responseTo(head string) string {
	_, rest, _ := strings.Cut(head, " ")
	target, _, _ := strings.Cut(rest, " ")
	return lbtest.OK(bodyFor(target))
}

func bodyFor(target string) string { return strings.Repeat(target+"|", 1+len(target)*7%5) }

// tally counts the responses of a run of requests.
type tally struct {
	whole, wrong atomic.Int64
	failed       atomic.Int64 // of those that may be repeated
	posts        atomic.Int64 // POSTs that failed
}

// askAll makes n requests, a third of them each GET, PUT and POST, by clients that keep their connections. A response counts as
// whole if it belongs to its request, and as failed if it is lb's own 502.
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
				method := [...]string{"GET", "PUT", "POST"}[i/clients%3]
				request := method + " " + target + " HTTP/1.1\r\nHost: a\r\n"
				if method == "GET" {
					request += "\r\n"
				} else {
					request += "Content-Length: " + strconv.Itoa(len(target)) + "\r\n\r\n" + target
				}
				_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // for each request
				c.Send(request)
				switch r := c.ReadResponse(method); {
				case r.Err == nil && r.Status() == 200 && r.Body == bodyFor(target):
					counts.whole.Add(1)
				case r.Err == nil && r.Status() == 502 && method == "POST":
					counts.posts.Add(1)
				case r.Err == nil && r.Status() == 502:
					counts.failed.Add(1)
				default:
					if counts.wrong.Add(1) < 5 {
						lb.t.Errorf("%s %s: %q %.200q %v", method, target, r.Head, r.Body, r.Err)
					}
					return
				}
			}
		})
	}
	group.Wait()
	return &counts
}

// TestConnectionsEndUnannounced: backends that close kept-alive connections at any time cost no client a response: right after a
// response, when the next request may be on its way, a little later, or in the middle of every third head. In the last case,
// requests that cannot be retried may fail, but are never sent twice.
func TestConnectionsEndUnannounced(t *testing.T) {
	for _, tc := range []struct {
		name  string
		wait  time.Duration // from the first response; 0: at once
		heads bool
	}{
		{name: "at once"}, {name: "after 20 ms", wait: 20 * time.Millisecond}, {name: "in the third head", heads: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := volume()
			var posts sync.Map
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				for i := 1; ; i++ {
					head, body := c.ReadRequest()
					if head == "" {
						return
					}
					_, target, _ := strings.Cut(head[:strings.Index(head, " HTTP")], " ")
					if strings.HasPrefix(head, "POST") {
						if _, twice := posts.LoadOrStore(target, true); twice {
							t.Errorf("POST %s came twice", target)
						}
					}
					response := responseTo(head)
					if body != "" && body != target {
						response = lbtest.OK("wrong body " + body)
					}
					if tc.heads {
						if i == 3 {
							c.Send(response[:c.N%strings.Index(response, "\r\n\r\n")])
							return
						}
						c.Send(response)
						continue
					}
					c.Send(response)
					if tc.wait == 0 {
						return
					}
					if i == 1 {
						_ = c.SetReadDeadline(time.Now().Add(tc.wait))
					}
				}
			})
			lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", b.Addr))
			if !tc.heads { // lb protects POSTs after the backend has closed a connection once
				lb.get("/0")
				b.WaitIdle(t)
				lb.get("/0")
			}
			begun := time.Now()
			counts := askAll(lb, n)
			t.Logf("%d requests over %d connections in %v; %d POSTs failed", n, b.Conns.Load(),
				time.Since(begun).Round(time.Millisecond), counts.posts.Load())
			if failed := counts.failed.Load(); failed > 0 || counts.wrong.Load() > 0 {
				t.Errorf("%d that could be repeated failed", failed)
			}
			if posts := counts.posts.Load(); posts > 0 && !tc.heads {
				t.Errorf("%d POSTs failed", posts)
			}
			lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
		})
	}
}

// TestHeadsCutShort: when a backend closes its connections in the middle of a head, each request gets a complete response of
// another backend or a 502, never half a response.
func TestHeadsCutShort(t *testing.T) {
	n := volume() / 2
	var cuts atomic.Int64
	mad := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for kept := 0; ; kept++ {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			response := responseTo(head)
			if kept == 3 {
				cuts.Add(1)
				c.Send(response[:c.N%strings.Index(response, "\r\n\r\n")])
				return
			}
			c.Send(response)
		}
	})
	good := lbtest.NewBackend(t, sane)
	lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", mad.Addr, good.Addr))
	counts := askAll(lb, n)
	t.Logf("%d requests, %d heads cut: %d served, %d by 502", n, cuts.Load(), counts.whole.Load(), counts.posts.Load())
	if posts := counts.posts.Load(); posts > cuts.Load() || counts.failed.Load() > 0 {
		t.Errorf("%d POSTs failed by %d heads, and %d others", posts, cuts.Load(), counts.failed.Load())
	}
	if cuts.Load() == 0 || counts.whole.Load() == 0 {
		t.Error("nothing was tested")
	}
}
