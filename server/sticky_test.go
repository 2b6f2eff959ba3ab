package server_test

import (
	"net/http"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// named returns backends that respond with their number.
func named(t testing.TB, n int) (addresses []string, backends []*lbtest.Backend) {
	for i := range n {
		b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK(string(rune('a'+i)))))
		addresses, backends = append(addresses, b.Addr), append(backends, b)
	}
	return addresses, backends
}

// cookie returns the name=value that a response sets, and its attributes.
func cookie(r lbtest.Response) (pair, attributes string) {
	pair, attributes, _ = strings.Cut(r.Field("Set-Cookie"), "; ")
	return pair, attributes
}

// TestSticky: a client with a cookie returns to its backend, even while that drains. When the backend fails, the client moves to
// another one once, without an error, and stays there.
func TestSticky(t *testing.T) {
	addresses, backends := named(t, 3)
	lb := start(t, proxyTo("  sticky {\n    cookie = \"lb\"\n    secret = \"0123456789abcdef0123456789abcdef\"\n    ttl = \"90s\"\n  }\n", addresses...))
	first := lb.get("/")
	pair, attributes := cookie(first)
	if attributes != "Path=/; HttpOnly; SameSite=Lax; Max-Age=90" || !strings.HasPrefix(pair, "lb=") {
		t.Fatalf("the first response sets %q; %q", pair, attributes)
	}
	for _, address := range addresses {
		if strings.Contains(pair, address) || strings.Contains(pair, strings.TrimPrefix(address, "127.0.0.1:")) {
			t.Errorf("the cookie %q shows an address", pair)
		}
	}
	own := int(first.Body[0] - 'a')
	returns := func(when string) {
		t.Helper()
		for range 7 {
			r := lb.get("/", "Cookie: x=1; "+pair+"; y=2")
			if r.Body != first.Body || r.Field("Set-Cookie") != "" {
				t.Fatalf("%s: %q sets %q, want %q", when, r.Body, r.Field("Set-Cookie"), first.Body)
			}
		}
	}
	returns("at first")
	if status := lb.put("/api/v1/pools/app/backends/"+addresses[own], `{"admin":"drain"}`); status != http.StatusOK {
		t.Fatalf("drain: %d", status)
	}
	returns("while it drains")
	for range 6 {
		if r := lb.get("/"); r.Body == first.Body {
			t.Error("a new client came to the draining backend")
		}
	}
	lb.put("/api/v1/pools/app/backends/"+addresses[own], `{"admin":"ready"}`)

	for what, forged := range map[string]string{"another value": "lb=AAAAAAAAAAAAAAAAAAAAAA", "cut": pair[:len(pair)-1], "an address": "lb=" + addresses[own]} {
		if got, _ := cookie(lb.get("/", "Cookie: "+forged)); !strings.HasPrefix(got, "lb=") {
			t.Errorf("%s: not assigned again", what)
		}
	}

	backends[own].Kill()
	moved := lb.get("/", "Cookie: "+pair)
	newPair, _ := cookie(moved)
	if moved.Status() != 200 || moved.Body == first.Body || !strings.HasPrefix(newPair, "lb=") || newPair == pair {
		t.Fatalf("after its backend failed: %d %q sets %q", moved.Status(), moved.Body, newPair)
	}
	pair, first = newPair, moved
	returns("at the new one")
}

// TestStickySplit: a client stays in the pool of a split that served it first.
func TestStickySplit(t *testing.T) {
	addresses, _ := named(t, 2)
	pools := ""
	for i, address := range addresses {
		pools += "pool \"p" + string(rune('0'+i)) + "\" {\n  backend \"" + address + "\" {}\n  sticky {}\n}\n"
	}
	lb := start(t, "site \"s\" {\n  route \"/\" {\n    proxy {\n      split = { \"p0\" = 50, \"p1\" = 50 }\n    }\n  }\n}\n"+pools)
	seen := map[string]bool{}
	for range 30 {
		r := lb.get("/")
		seen[r.Body] = true
		pair, _ := cookie(r)
		for range 3 {
			if again := lb.get("/", "Cookie: "+pair); again.Body != r.Body {
				t.Fatalf("%q went to %q", r.Body, again.Body)
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("thirty clients saw %v only", seen)
	}
}

// TestStickyBackendFull: a client whose backend stays full is served by another one after a wait.
func TestStickyBackendFull(t *testing.T) {
	release := make(chan struct{})
	var addresses []string
	for range 2 {
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			for {
				head, _ := c.ReadRequest()
				if head == "" {
					return
				}
				if strings.Contains(head, "/slow") {
					<-release
				}
				c.Send(lbtest.OK(c.LocalAddr().String()))
			}
		})
		addresses = append(addresses, b.Addr)
	}
	defer close(release)
	for _, queue := range []string{"timeout = \"50ms\"", "limit = 0"} {
		text := proxyTo("  sticky {}\n  queue {\n    "+queue+"\n  }\n", addresses...)
		lb := start(t, strings.ReplaceAll(text, "\" {}\n", "\" {\n    max_conns = 1\n  }\n"))
		first := lb.get("/")
		pair, _ := cookie(first)
		inFlight := `lb_backend_in_flight{pool="app",backend="` + first.Body + `"}`
		lb.wantMetric(inFlight, "0")
		slow := lb.dial()
		slow.Send("GET /slow HTTP/1.1\r\nHost: a\r\nCookie: " + pair + "\r\n\r\n")
		lb.wantMetric(inFlight, "1")
		r := lb.get("/", "Cookie: "+pair)
		if moved, _ := cookie(r); r.Status() != 200 || r.Body == first.Body || moved == "" {
			t.Errorf("%s: %d %q, sets %q", queue, r.Status(), r.Body, moved)
		}
		slow.Close()
	}
}

// TestNoQueueIsCounted: a request that is refused because all backends are full and the queue is disabled counts as rejected by
// the queue.
func TestNoQueueIsCounted(t *testing.T) {
	release := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) { c.ReadRequest(); <-release; c.Send(lbtest.OK("x")) })
	lb := start(t, strings.Replace(proxyTo("  queue {\n    limit = 0\n  }\n", b.Addr), "\" {}", "\" {\n    max_conns = 1\n  }", 1))
	defer close(release)
	lb.dial().Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "1")
	if r := lb.get("/"); r.Status() != 503 || r.Field("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", r.Status(), r.Field("Retry-After"))
	}
	lb.wantMetric(`lb_queue_rejected_total{pool="app"}`, "1")
}

// TestStickyWaitersDoNotBlockOthers: requests that wait for one sticky backend, however many, do not keep others from free
// backends.
func TestStickyWaitersDoNotBlockOthers(t *testing.T) {
	release := make(chan struct{})
	var addresses []string
	for i := range 3 {
		addresses = append(addresses, lbtest.NewBackend(t, func(c *lbtest.Conn) {
			for {
				head, _ := c.ReadRequest()
				if head == "" {
					return
				}
				if strings.HasPrefix(head, "GET /slow") {
					<-release
				}
				c.Send(lbtest.OK(string(rune('a' + i))))
			}
		}).Addr)
	}
	text := proxyTo("  sticky {}\n  queue {\n    limit   = 9\n    timeout = \"1h\"\n  }\n", addresses...)
	lb := start(t, strings.ReplaceAll(text, "\" {}", "\" {\n    max_conns = 1\n  }"))
	first := lb.get("/")
	pair, _ := cookie(first)
	slow := "GET /slow HTTP/1.1\r\nHost: a\r\nCookie: " + pair + "\r\n\r\n"
	holder := lb.dial()
	holder.Send(slow)
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+addresses[first.Body[0]-'a']+`"}`, "1")
	var crowd []*lbtest.Conn
	for range 3 { // their share of the queue
		c := lb.dial()
		c.Send(slow)
		crowd = append(crowd, c)
	}
	lb.wantMetric(`lb_queue_length{pool="app"}`, "3")
	for i := range 20 {
		if r := lb.get("/", "Cookie: "+pair); r.Status() != 200 || r.Body == first.Body {
			t.Errorf("request %d with the cookie, over its part of the queue: %d %q", i, r.Status(), r.Body)
		}
		if r := lb.get("/"); r.Status() != 200 || r.Body == first.Body {
			t.Errorf("request %d without a cookie: %d %q", i, r.Status(), r.Body)
		}
	}
	close(release)
	for i, c := range append(crowd, holder) {
		if r := c.ReadResponse("GET"); r.Status() != 200 || r.Body != first.Body {
			t.Errorf("client %d: %d %q", i, r.Status(), r.Body)
		}
	}
}
