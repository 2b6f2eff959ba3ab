package server_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"lb/internal/lbtest"
	"lb/server"
)

// gate is a backend whose requests the test responds to one by one.
type gate struct {
	*lbtest.Backend
	arrived chan *held
}

// held is a request that waits for its response.
type held struct {
	*lbtest.Conn
	head string
	next chan bool
}

func newGate(t *testing.T) *gate {
	g := &gate{arrived: make(chan *held, 2000)}
	g.Backend = lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			h := &held{c, head, make(chan bool, 1)}
			g.arrived <- h
			if goesOn, _ := lbtest.Wait(t, "the end of a response", h.next); !goesOn {
				return
			}
		}
	})
	return g
}

// request waits for the next request.
func (g *gate) request(t *testing.T) *held {
	t.Helper()
	h, ok := lbtest.Wait(t, "a request", g.arrived)
	if !ok {
		t.FailNow()
	}
	return h
}

// whole sends the rest of the response.
func (h *held) whole(text string) {
	h.Send(text)
	h.next <- true
}

// end sends a part of the response and closes the connection.
func (h *held) end(text string) {
	h.Send(text)
	h.next <- false
}

// TestCacheFlight: of many clients that request the same, one request goes to the backend.
func TestCacheFlight(t *testing.T) {
	g := newGate(t)
	lb := start(t, cachedSite("", g.Addr))
	const clients = 50
	got := make(chan lbtest.Response, clients)
	ask := func() {
		c := lb.dial()
		defer c.Close()
		c.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
		got <- c.ReadResponse("GET")
	}
	go ask()
	first := g.request(t)
	for range clients - 1 {
		go ask()
	}
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, fmt.Sprint(clients))
	first.whole(reply("200 OK", fresh, "one"))
	collapsed := 0
	for range clients {
		r, ok := lbtest.Wait(t, "a response", got)
		if !ok || r.Status() != 200 || r.Body != "one" {
			t.Fatalf("%d %q", r.Status(), r.Body)
		}
		if strings.Contains(r.Field("Cache-Status"), "collapsed") {
			collapsed++
		}
	}
	if n := len(g.arrived); n != 0 || collapsed < clients-1-clients/10 {
		t.Errorf("%d more requests, %d collapsed", n, collapsed)
	}
	lb.wantMetric(`lb_cache_requests_total{result="miss"}`, "1")
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
}

// TestCacheFlightOfPrivate: if the response may not be stored, those that wait are forwarded at once, by themselves.
func TestCacheFlightOfPrivate(t *testing.T) {
	g := newGate(t)
	lb := start(t, cachedSite("", g.Addr))
	const clients = 10
	got := make(chan lbtest.Response, clients)
	for range clients {
		go func() { got <- lb.get("/x") }()
	}
	requests := []*held{g.request(t)}
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, fmt.Sprint(clients))
	requests[0].Send("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 3\r\n\r\n") // and no body yet
	for range clients - 1 {
		requests = append(requests, g.request(t))
	}
	requests[0].whole("one")
	for _, h := range requests[1:] {
		h.whole(reply("200 OK", "Cache-Control: private", "two"))
	}
	for range clients {
		if r, _ := lbtest.Wait(t, "a response", got); r.Status() != 200 || strings.Contains(r.Field("Cache-Status"), "collapsed") {
			t.Errorf("%s", r.Head)
		}
	}
}

// TestCacheFlightWithTrailers: a response with trailers is not stored, and those that waited for it do not wait once more.
func TestCacheFlightWithTrailers(t *testing.T) {
	g := newGate(t)
	lb := start(t, cachedSite("", g.Addr))
	const clients = 5
	got := make(chan lbtest.Response, clients)
	for range clients {
		go func() { got <- lb.get("/x") }()
	}
	const trailed = "HTTP/1.1 200 OK\r\n" + fresh + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nX-T: 1\r\n\r\n"
	h := g.request(t)
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "5")
	h.whole(trailed)
	lb.wantMetric("lb_cache_responses", "1") // what says that requests do not wait
	var all []*held
	for range clients - 1 {
		all = append(all, g.request(t))
	}
	for _, h := range all {
		h.whole(trailed)
	}
	for range clients {
		if r, _ := lbtest.Wait(t, "a response", got); r.Body != "one" {
			t.Errorf("%q", r.Body)
		}
	}
}

// TestCacheFlightFails: if the leader's client disconnects or the backend fails, those that wait are served by another request.
func TestCacheFlightFails(t *testing.T) {
	g := newGate(t)
	lb := start(t, cachedSite("", g.Addr))
	leader := lb.dial()
	leader.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	abandoned := g.request(t)
	got := make(chan lbtest.Response, 3)
	for range 3 {
		go func() { got <- lb.get("/x") }()
	}
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "4")
	leader.Reset()
	g.request(t).whole(reply("200 OK", fresh, "one"))
	abandoned.end("")
	for range 3 {
		if r, _ := lbtest.Wait(t, "a response", got); r.Body != "one" {
			t.Errorf("%q", r.Body)
		}
	}
	// Those that wait may leave.
	first := lb.dial()
	first.Send("GET /y HTTP/1.1\r\nHost: a\r\n\r\n")
	h := g.request(t)
	waits := lb.dial()
	waits.Send("GET /y HTTP/1.1\r\nHost: a\r\n\r\n")
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "2")
	waits.Reset()
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "1")
	h.whole(reply("200 OK", fresh, "two"))
	if r := first.ReadResponse("GET"); r.Body != "two" {
		t.Errorf("%q", r.Body)
	}
}

// TestCacheRefresh: a stale response is sent at once, and one request refreshes it.
func TestCacheRefresh(t *testing.T) {
	g := newGate(t)
	lb := start(t, cachedSite(`stale_while_revalidate = "10m"`, g.Addr))
	got := make(chan lbtest.Response, 1)
	go func() { got <- lb.get("/x") }()
	g.request(t).whole(reply("200 OK", "Age: 70; ETag: \"1\"; "+fresh, "one"))
	lbtest.Wait(t, "the response", got)
	for range 5 {
		if r := lb.get("/x"); r.Body != "one" || !strings.HasPrefix(r.Field("Cache-Status"), "lb; hit; ttl=-1") {
			t.Fatalf("%s%s", r.Head, r.Body)
		}
	}
	h := g.request(t)
	if !strings.Contains(h.head, `If-None-Match: "1"`) {
		t.Errorf("%s", h.head)
	}
	h.whole(reply("304 Not Modified", fresh+"; ETag: \"1\"", ""))
	lbtest.Eventually(t, "a fresh response", func() bool { return strings.Contains(lb.get("/x").Field("Cache-Status"), "ttl=60") })
	if len(g.arrived) != 0 {
		t.Error("more requests")
	}
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+g.Addr+`"}`, "0")
}

// TestCacheRefreshByHead: a HEAD request, too, has a stale response replaced.
func TestCacheRefreshByHead(t *testing.T) {
	g := newGate(t)
	lb := start(t, cachedSite("", g.Addr))
	first := make(chan lbtest.Response, 1)
	go func() { first <- lb.get("/x") }()
	g.request(t).whole(reply("200 OK", "Age: 70; Cache-Control: max-age=60, stale-while-revalidate=100", "one"))
	lbtest.Wait(t, "the response", first)
	c := lb.dial()
	defer c.Close()
	c.Send("HEAD /x HTTP/1.1\r\nHost: test\r\n\r\n")
	if r := c.ReadResponse("HEAD"); r.Status() != 200 || !strings.Contains(r.Field("Cache-Status"), "hit") {
		t.Errorf("%s", r.Head)
	}
	g.request(t).whole(reply("200 OK", fresh, "two"))
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+g.Addr+`"}`, "0")
	if r := lb.get("/x"); r.Body != "two" {
		t.Errorf("%q", r.Body)
	}
}

// TestCacheRefreshFails: after a failed refresh the backend is left alone for a moment, however many request the stale response.
func TestCacheRefreshFails(t *testing.T) {
	g := newGate(t)
	lb := start(t, cachedSite("", g.Addr))
	first := make(chan lbtest.Response, 1)
	go func() { first <- lb.get("/x") }()
	g.request(t).whole(reply("200 OK", "Age: 70; Cache-Control: max-age=60, stale-while-revalidate=100", "one"))
	lbtest.Wait(t, "the response", first)
	lb.get("/x")
	g.request(t).whole(reply("500 Oops", "", "no"))
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+g.Addr+`"}`, "0")
	for range 20 {
		if r := lb.get("/x"); r.Body != "one" {
			t.Fatalf("%q", r.Body)
		}
	}
	if n := len(g.arrived); n != 0 {
		t.Errorf("the backend got %d more requests", n)
	}
}

// TestCacheStaleWithoutBackend: a stale response precedes the maintenance page.
func TestCacheStaleWithoutBackend(t *testing.T) {
	for name, end := range map[string]func(h *held){
		"refused": nil,
		"reset":   func(h *held) { h.end("") },
		"half":    func(h *held) { h.end("HTTP/1.1 200 OK\r\nCont") },
		"no HTTP": func(h *held) { h.end("what?\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			text := cachedSite(`stale_if_error = "10m"`, g.Addr)
			text = strings.Replace(text, "site \"s\" {", "site \"s\" {\n  maintenance {\n    page = \"$DIR/page\"\n  }", 1)
			text = strings.Replace(text, "pool \"app\" {", "pool \"app\" {\n  retry {\n    attempts = 0\n  }\n  queue {\n    while_down = \"0s\"\n  }\n", 1)
			dir := writeFiles(t, map[string]string{"page": "maintenance"})
			lb := startWith(t, dir, text, server.Options{})
			got := make(chan lbtest.Response, 1)
			get := func() { got <- lb.get("/x") }
			go get()
			g.request(t).whole(reply("200 OK", "Age: 70; "+fresh, "one"))
			lbtest.Wait(t, "the response", got)
			if end == nil {
				g.Kill()
			}
			go get()
			if end != nil {
				end(g.request(t))
			}
			if r, _ := lbtest.Wait(t, "the response", got); r.Status() != 200 || r.Body != "one" || !strings.Contains(r.Field("Cache-Status"), "stale-if-error") {
				t.Errorf("%s%s", r.Head, r.Body)
			}
			lb.wantMetric(`lb_cache_requests_total{result="stale"}`, "1")
			if end == nil {
				if r := lb.get("/other"); r.Status() != 503 || r.Body != "maintenance" {
					t.Errorf("%s%s", r.Head, r.Body)
				}
			}
		})
	}
}

// TestCacheLarge: large bodies of known and unknown length are stored whole, or not at all, while clients read slowly, disconnect or the
// backend breaks off.
func TestCacheLarge(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	chunked := func() string {
		var b strings.Builder
		b.WriteString("HTTP/1.1 200 OK\r\n" + fresh + "\r\nTransfer-Encoding: chunked\r\n\r\n")
		for i := 0; i < len(body); i += 1 << 14 {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", 1<<14, body[i:i+1<<14])
		}
		return b.String() + "0\r\n\r\n"
	}()
	for _, tc := range []struct {
		name, cache, response string
		stored                bool
	}{
		{"length", "", reply("200 OK", fresh, body), true},
		{"chunked", "", chunked, true},
		{"length, over max_object", `max_object = "1023KiB"`, reply("200 OK", fresh, body), false},
		{"chunked, over max_object", `max_object = "1023KiB"`, chunked, false},
		{"chunked, trailers", "", strings.TrimSuffix(chunked, "\r\n") + "X-Sum: 1\r\n\r\n", false},
		{"by the end of the connection", "", "HTTP/1.1 200 OK\r\n" + fresh + "\r\nConnection: close\r\n\r\n" + body, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			closes := strings.Contains(tc.response, "close\r\n")
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				for {
					if head, _ := c.ReadRequest(); head == "" {
						return
					}
					c.Send(tc.response)
					if closes {
						return
					}
				}
			})
			lb := start(t, cachedSite(tc.cache, b.Addr))
			for i := range 3 {
				r := lb.get("/x")
				if r.Body != body {
					t.Fatalf("%d: %d bytes", i, len(r.Body))
				}
				if hit := strings.Contains(r.Field("Cache-Status"), "hit"); hit != (tc.stored && i > 0) {
					t.Errorf("%d: %s", i, r.Field("Cache-Status"))
				}
				if i > 0 && tc.stored && r.Field("Content-Length") != fmt.Sprint(len(body)) {
					t.Errorf("%s", r.Head)
				}
			}
		})
	}
	t.Run("broken off", func(t *testing.T) {
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			if head, _ := c.ReadRequest(); head != "" {
				c.Send(reply("200 OK", fresh, body)[:1<<19])
			}
		})
		lb := start(t, cachedSite("", b.Addr))
		for range 2 {
			c := lb.dial()
			c.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
			if head := c.ReadHead(); !strings.Contains(head, "fwd=uri-miss") {
				t.Errorf("%s", head)
			}
			c.Close()
		}
	})
	t.Run("the client disconnects", func(t *testing.T) {
		g := newGate(t)
		lb := start(t, cachedSite("", g.Addr))
		c := lb.dial()
		c.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
		whole := reply("200 OK", fresh, body)
		first := g.request(t)
		first.Send(whole[:1<<19])
		c.ReadHead()
		c.Reset()
		lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
		first.end("")
		got := make(chan lbtest.Response, 1)
		go func() { got <- lb.get("/x") }()
		g.request(t).whole(whole)
		if r, _ := lbtest.Wait(t, "the response", got); !strings.Contains(r.Field("Cache-Status"), "fwd=uri-miss") || r.Body != body {
			t.Errorf("%s", r.Head)
		}
	})
}

// TestCacheSlowClient: a client that reads slowly delays no other that waits for the same response, and gets all of it.
func TestCacheSlowClient(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB, more than the buffers of sockets take
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
	head := "HTTP/1.1 200 OK\r\n" + fresh + "\r\nTransfer-Encoding: chunked\r\n"
	for _, tc := range []struct {
		name, response string
		stored         bool
		body           string // of the response; "": it is broken off
	}{
		{"length", reply("200 OK", fresh, body), true, body},
		{"chunked", head + "\r\n" + chunk + "0\r\n\r\n", true, body},
		{"too large", head + "\r\n" + chunk + chunk + chunk + "0\r\n\r\n", false, body + body + body},
		{"trailers", head + "Trailer: X-Sum\r\n\r\n" + chunk + "0\r\nX-Sum: 1\r\n\r\n", false, body},
		{"broken off", reply("200 OK", fresh, body)[:3<<20], false, ""},
		{"broken off in a chunk", head + "\r\n" + chunk[:3<<20], false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGate(t)
			lb := start(t, cachedSite("", g.Addr))
			slow := lb.dial()
			slow.Send("GET /x HTTP/1.1\r\nHost: test\r\n\r\n") // and reads nothing
			h := g.request(t)
			got := make(chan lbtest.Response, 1)
			go func() { got <- lb.get("/x") }()
			lb.wantMetric(`lb_requests_in_flight{site="s"}`, "2")
			go func() { // it may block
				if tc.body == "" {
					h.end(tc.response)
				} else {
					h.whole(tc.response)
				}
			}()
			if !tc.stored { // the other is forwarded by itself
				g.request(t).whole(reply("200 OK", fresh, body))
			}
			if r, _ := lbtest.Wait(t, "the response", got); r.Body != body || strings.Contains(r.Field("Cache-Status"), "collapsed") != tc.stored {
				t.Errorf("%s%d bytes", r.Head, len(r.Body))
			}
			if tc.body == "" {
				// Its end may be lost by the reset that tells the client.
				if rest, _ := slow.Ended(); len(rest) > len(tc.response)+1<<10 || strings.HasSuffix(rest, "0\r\n\r\n") {
					t.Errorf("%d bytes", len(rest))
				}
				return
			}
			if r := slow.ReadResponse("GET"); r.Body != tc.body {
				t.Errorf("the slow client got %d bytes", len(r.Body))
			}
			lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
		})
	}
}

// TestCachePurge: responses go by URL, prefix and tag, by the API and from a reload's point of view, with their variants.
func TestCachePurge(t *testing.T) {
	o := newOrigin(t)
	text := cachedSite("", o.Addr)
	lb := start(t, text)
	o.set(func(head string) string {
		_, path, _ := strings.Cut(head, " ")
		path, _, _ = strings.Cut(path, " ")
		return reply("200 OK", fresh+"; Vary: X-A; Cache-Tag: all, path"+path+"; Surrogate-Key: a b", path)
	})
	paths := []string{"/a", "/a?x=1", "/a/b", "/c"}
	fill := func() {
		for _, p := range paths {
			lb.get(p)
			lb.get(p, "X-A: 2")
		}
	}
	for _, tc := range []struct {
		body    string
		removed string
		gone    string // paths
	}{
		{`{"url":"http://127.0.0.1/a"}`, "", ""}, // another port
		{`{"url":"/a"}`, "2", "/a"},
		{`{"url":"/a?x=1"}`, "2", "/a?x=1"},
		{`{"prefix":"/a"}`, "6", "/a /a?x=1 /a/b"},
		{`{"prefix":"/a/"}`, "2", "/a/b"},
		{`{"prefix":"http://$HOST/"}`, "8", "/a /a?x=1 /a/b /c"},
		{`{"prefix":"https://$HOST/c"}`, "2", "/c"},
		{`{"prefix":"$HOST/c"}`, "2", "/c"},
		{`{"tag":"path/c"}`, "2", "/c"},
		{`{"tag":"b"}`, "8", "/a /a?x=1 /a/b /c"},
		{`{"tag":"B"}`, "0", ""},
		{`{"tag":"none"}`, "0", ""},
	} {
		fill()
		status, body := lb.sendAdmin("POST", "/api/v1/purge", strings.NewReader(strings.ReplaceAll(tc.body, "$HOST", "test")))
		if tc.removed != "" && (status != 200 || strings.TrimSpace(body) != `{"removed":`+tc.removed+`}`) {
			t.Errorf("%s: %d %s", tc.body, status, body)
		}
		for _, p := range paths {
			gone := strings.Contains(lb.get(p).Field("Cache-Status"), "miss")
			if want := strings.Contains(" "+tc.gone+" ", " "+p+" "); gone != want {
				t.Errorf("%s: %s is gone: %v", tc.body, p, gone)
			}
		}
	}
	for _, body := range []string{"", "{}", `{"url":""}`, `{"url":"/a","tag":"b"}`, `{"uri":"/a"}`, `[]`, `{"url":1}`, `{"url":"/a"} x`} {
		if status, text := lb.sendAdmin("POST", "/api/v1/purge", strings.NewReader(body)); status != 400 || !strings.Contains(text, `"error"`) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	if status, _ := lb.sendAdmin("GET", "/api/v1/purge", nil); status != http.StatusMethodNotAllowed {
		t.Error(status)
	}
	t.Run("reload", func(t *testing.T) {
		fill()
		hit := func() bool { return strings.Contains(lb.get("/a").Field("Cache-Status"), "hit") }
		if err := lb.reload(strings.Replace(text, "cache {", "cache {\nttl = \"1m\"", 1)); err != nil || !hit() {
			t.Errorf("%v; the responses are lost", err)
		}
		if err := lb.reload(strings.Replace(text, "proxy {", "proxy {\nhost = \"b\"", 1)); err != nil || hit() {
			t.Errorf("%v; the route sends another Host, and its responses stay", err)
		}
	})
}

// TestCacheWhilePurged: a response that is being received during a purge or a POST is not stored.
func TestCacheWhilePurged(t *testing.T) {
	for name, change := range map[string]func(lb *running, g *gate){
		"purge": func(lb *running, _ *gate) { lb.sendAdmin("POST", "/api/v1/purge", strings.NewReader(`{"tag":"x"}`)) },
		"POST": func(lb *running, g *gate) {
			c := lb.dial()
			defer c.Close()
			c.Send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
			g.request(t).whole(reply("200 OK", "", "done"))
			c.ReadResponse("POST")
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			lb := start(t, cachedSite("", g.Addr))
			got := make(chan lbtest.Response, 1)
			get := func() {
				c := lb.dial()
				defer c.Close()
				c.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
				got <- c.ReadResponse("GET")
			}
			go get()
			h := g.request(t)
			change(lb, g)
			h.whole(reply("200 OK", fresh, "one"))
			lbtest.Wait(t, "the response", got)
			go get()
			g.request(t).whole(reply("200 OK", fresh, "two"))
			if r, _ := lbtest.Wait(t, "the response", got); r.Body != "two" {
				t.Errorf("%q", r.Body)
			}
		})
	}
}

// TestCacheKeepsCompressed: what was compressed is stored with its response, within the memory of the cache, and goes with it.
func TestCacheKeepsCompressed(t *testing.T) {
	body := strings.Repeat("one two three four ", 1<<13)
	o := newOrigin(t)
	lb := start(t, strings.Replace(cachedSite("", o.Addr), "cache {", "compress = true\n    cache {", 1))
	const lines = "; Content-Type: text/plain; ETag: \"1\""
	respond := func(text, more string) {
		o.set(func(string) string { return reply("200 OK", more+lines, text) })
	}
	respond(body, "Age: 70; Cache-Control: max-age=60, stale-while-revalidate=0")
	lb.get("/x")
	o.set(func(string) string { return reply("304 Not Modified", fresh, "") })
	lb.get("/x")
	bytes := func() int {
		n, err := strconv.Atoi(lb.metric("lb_cache_bytes"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, coding := range []string{"gzip", "br", "zstd"} {
		before := bytes()
		first := lb.get("/x", "Accept-Encoding: "+coding)
		if first.Field("Content-Encoding") != coding || first.Field("Content-Length") != fmt.Sprint(len(first.Body)) || first.Field("Vary") != "Accept-Encoding" || first.Field("ETag") != "W/\"1\"" {
			t.Fatalf("%s", first.Head)
		}
		if n := bytes(); n != before+len(first.Body) {
			t.Errorf("%s: %d bytes more, and the body has %d", coding, n-before, len(first.Body))
		}
		again := lb.get("/x", "Accept-Encoding: "+coding)
		if again.Body != first.Body || again.Field("Content-Length") != first.Field("Content-Length") || again.Field("Vary") != "Accept-Encoding" || again.Field("ETag") != "W/\"1\"" {
			t.Errorf("%s", again.Head)
		}
		if n := bytes(); n != before+len(first.Body) {
			t.Errorf("%s: %d bytes more after the second request", coding, n-before)
		}
	}
	if r := lb.get("/x", "Accept-Encoding: gzip", "If-None-Match: W/\"1\""); r.Status() != 304 {
		t.Errorf("%s", r.Head)
	}
	if r := lb.get("/x", "Accept-Encoding: gzip", "Range: bytes=0-2,4-6"); r.Status() != 206 || r.Field("Content-Encoding") != "" || !strings.Contains(r.Body, "\r\n\r\none\r\n") {
		t.Errorf("%s", r.Head)
	}
	c := lb.dial()
	defer c.Close()
	c.Send("HEAD /x HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n")
	if r := c.ReadResponse("HEAD"); r.Field("Content-Encoding") != "gzip" || r.Field("Content-Length") == "" {
		t.Errorf("%s", r.Head)
	}
	text := make([]byte, 10000)
	for i := range text {
		text[i] = byte(rand.Uint32())
	}
	respond(string(text), fresh)
	lb.get("/random")
	before := bytes()
	if r := lb.get("/random", "Accept-Encoding: gzip"); bytes() != before || r.Field("Content-Encoding") != "gzip" {
		t.Errorf("%d bytes before, %d after a body that does not become smaller\n%s", before, bytes(), r.Head)
	}
	if lb.sendAdmin("POST", "/api/v1/purge", strings.NewReader(`{"prefix":"/"}`)); bytes() != 0 {
		t.Errorf("%d bytes after a purge", bytes())
	}
}

// TestCacheCompressed: with compress, stored responses are compressed for the clients that accept it.
func TestCacheCompressed(t *testing.T) {
	body := strings.Repeat("one two three four ", 1<<15) // 600 KiB
	o := newOrigin(t)
	o.set(func(string) string { return reply("200 OK", fresh+"; Content-Type: text/plain; ETag: \"1\"", body) })
	lb := start(t, strings.Replace(cachedSite("", o.Addr), "cache {", "compress = true\n    cache {", 1))
	for i, state := range []string{"lb; fwd=uri-miss; stored", "lb; hit; ttl=60", "lb; hit; ttl=60"} {
		r := lb.get("/x", "Accept-Encoding: gzip")
		z, err := gzip.NewReader(strings.NewReader(r.Body))
		if err != nil {
			t.Fatalf("%d: %v\n%s", i, err, r.Head)
		}
		text, err := io.ReadAll(z)
		if err != nil || string(text) != body || r.Field("Cache-Status") != state || r.Field("Vary") != "Accept-Encoding" || r.Field("ETag") != "W/\"1\"" {
			t.Errorf("%d: %d bytes, %v\n%s", i, len(text), err, r.Head)
		}
	}
	if r := lb.get("/x"); r.Body != body || r.Field("ETag") != "\"1\"" || r.Field("Vary") != "Accept-Encoding" {
		t.Errorf("%d bytes\n%s", len(r.Body), r.Head)
	}
	if r := lb.get("/x", "Accept-Encoding: gzip", "Range: bytes=0-2"); r.Status() != 206 || r.Body != "one" || r.Field("Content-Encoding") != "" {
		t.Errorf("%s", r.Head)
	}
	if r := lb.get("/x", "Accept-Encoding: gzip", "If-None-Match: W/\"1\""); r.Status() != 304 || r.Field("ETag") != "W/\"1\"" {
		t.Errorf("%s", r.Head)
	}
	if n := len(o.asked()); n != 1 {
		t.Errorf("the backend got %d requests", n)
	}
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
}
