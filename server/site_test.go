package server_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

const sites = `
site "main" {
  hosts = ["main.example", "*.wild.example"]
  maintenance {
    page = "$DIR/down.html"
    file = "$DIR/maintenance"
  }
  error_page {
    status = [404]
    file   = "$DIR/404.html"
  }
  route "/files/" {
    static {
      root         = "$DIR/www"
      strip_prefix = true
    }
  }
  route "/get" {
    methods = ["GET", "HEAD"]
    respond {
      status = 200
      body   = "got"
    }
  }
  route "/denied" {
    deny = ["127.0.0.0/8"]
    respond {
      status = 200
    }
  }
  route "/allowed" {
    allow = ["10.0.0.0/8"]
    respond {
      status = 200
    }
  }
  route "/dead" {
    proxy {
      pool = "dead"
    }
  }
}
site "plain" {
  hosts = ["plain.example"]
  route "/" {
    proxy {
      pool = "dead"
    }
  }
}
pool "dead" {
  backend "DEAD" {}
  health {
    interval = "50ms"
    fast_interval = "50ms"
    timeout = "20ms"
  }
}
`

func startSites(t *testing.T) *running {
	t.Helper()
	dir := writeFiles(t, map[string]string{"down.html": "<p>back soon</p>", "404.html": "<p>not here</p>", "www/a.txt": "0123456789", "www/.secret": "no"})
	lb := start(t, strings.NewReplacer("DEAD", deadAddress(t), "$DIR", dir).Replace(sites))
	lb.dir = dir
	lb.wantMetric(`lb_pool_backends{pool="dead",state="down"}`, "1")
	return lb
}

func TestOwnResponses(t *testing.T) {
	t.Parallel()
	lb := startSites(t)
	for _, tc := range []struct {
		request string
		status  int
		fields  string // name=value that must be there
		body    string // a part
	}{
		{"GET /nowhere HTTP/1.1\r\nHost: main.example\r\n", 404, "Content-Type=text/html; charset=utf-8", "not here"},
		{"GET /x HTTP/1.1\r\nHost: other.example\r\n", 404, "Content-Type=text/plain; charset=utf-8", "no site"},
		{"POST /get HTTP/1.1\r\nHost: a.wild.example\r\nContent-Length: 0\r\n", 405, "Allow=GET, HEAD", ""},
		{"GET /get HTTP/1.1\r\nHost: MAIN.example:8080\r\n", 200, "", "got"},
		{"GET /denied HTTP/1.1\r\nHost: main.example\r\nAccept: application/json\r\n", 403, "Content-Type=application/json", `"status":403`},
		{"GET /allowed HTTP/1.1\r\nHost: main.example\r\nAccept: text/html\r\n", 403, "Content-Type=text/html; charset=utf-8", "<h1>403"},
		{"GET /dead HTTP/1.1\r\nHost: main.example\r\n", 503, "Retry-After=5", "back soon"},
		{"GET / HTTP/1.1\r\nHost: plain.example\r\nAccept: application/json\r\n", 503, "Retry-After=5", `"error":"no backend`},
		{"GET /files/a.txt HTTP/1.1\r\nHost: main.example\r\n", 200, "Content-Length=10", "0123456789"},
		{"GET /files/a.txt HTTP/1.1\r\nHost: main.example\r\nRange: bytes=2-4\r\n", 206, "Content-Range=bytes 2-4/10", "234"},
		{"GET /files/a.txt HTTP/1.1\r\nHost: main.example\r\nRange: bytes=0-1,8-\r\n", 206, "", "89"},
		{"GET /files/.secret HTTP/1.1\r\nHost: main.example\r\n", 404, "", "not here"},
		{"GET /files/..%2f404.html HTTP/1.1\r\nHost: main.example\r\n", 404, "", "not here"},
		{"GET /files/../../etc/passwd HTTP/1.1\r\nHost: main.example\r\n", 400, "", "root"},
		{"DELETE /files/a.txt HTTP/1.1\r\nHost: main.example\r\n", 405, "Allow=GET, HEAD", ""},
	} {
		c := lb.dial()
		c.Send(tc.request + "Connection: close\r\n\r\n")
		r := c.ReadResponse("GET")
		if r.Status() != tc.status || !strings.Contains(r.Body, tc.body) {
			t.Errorf("%q: %d %q, want %d with %q", tc.request, r.Status(), r.Body, tc.status, tc.body)
		}
		if name, value, ok := strings.Cut(tc.fields, "="); ok && r.Field(name) != value {
			t.Errorf("%q: %s is %q, want %q", tc.request, name, r.Field(name), value)
		}
		if id := r.Field("X-Request-Id"); len(id) != 32 {
			t.Errorf("%q: request id %q", tc.request, id)
		}
		if strings.Contains(tc.fields, "json") || strings.Contains(tc.body, `"error"`) {
			var body struct {
				Error     string `json:"error"`
				Status    int    `json:"status"`
				RequestID string `json:"request_id"`
			}
			if err := json.Unmarshal([]byte(r.Body), &body); err != nil || body.Status != tc.status || body.RequestID != r.Field("X-Request-Id") {
				t.Errorf("%q: body %q: %v", tc.request, r.Body, err)
			}
		}
	}
}

func TestMaintenanceSwitch(t *testing.T) {
	t.Parallel()
	lb := startSites(t)
	get := func() lbtest.Response { return lb.get("/get", "Host: main.example") }
	lb.write("maintenance", "")
	lbtest.Eventually(t, "maintenance", func() bool { r := get(); return r.Status() == 503 && strings.Contains(r.Body, "back soon") })
	if err := os.Remove(filepath.Join(lb.dir, "maintenance")); err != nil {
		t.Fatal(err)
	}
	lbtest.Eventually(t, "the end of it", func() bool { return get().Status() == 200 })
}

func TestBackendComesBack(t *testing.T) {
	address := freeAddresses(t, 1)[0]
	lb := start(t, proxyTo("  health {\n    interval = \"20ms\"\n    fast_interval = \"10ms\"\n    timeout = \"1s\"\n  }\n", address))
	lb.wantMetric(`lb_backend_up{pool="app",backend="`+address+`"}`, "0")
	if r := lb.get("/"); r.Status() != 503 {
		t.Errorf("down: %d", r.Status())
	}
	b := lbtest.NewBackendOn(t, address, lbtest.Respond(lbtest.OK("x")))
	lbtest.Eventually(t, "a response from the backend", func() bool { return lb.get("/").Status() == 200 })
	b.Kill()
	lb.wantMetric(`lb_backend_up{pool="app",backend="`+address+`"}`, "0")
	// The log follows the metrics.
	lbtest.Eventually(t, "the last change in the log", func() bool { return strings.Contains(lb.read("lb.log"), "from=up to=down") })
	log := lb.read("lb.log")
	for _, line := range []string{"from=absent to=down", "from=down to=up", "from=up to=down"} {
		if strings.Count(log, line) != 1 {
			t.Errorf("%q is logged %d times, want once:\n%s", line, strings.Count(log, line), log)
		}
	}
}

func TestRedirectHTTPS(t *testing.T) {
	lb := start(t, "listen \"127.0.0.1:0\" {\n  redirect_https = true\n}\n"+sitesOK)
	r := lb.get("/a%2Fb?c=d", "Host: shop.example:8080")
	if r.Status() != 308 || r.Field("Location") != "https://shop.example/a%2Fb?c=d" {
		t.Errorf("%q", r.Head)
	}
}

// TestRedirectHTTPSPort: the redirect leads to the port of the TLS listener, also after a reload that changes it. If a device in
// front of lb maps ports, it names none.
func TestRedirectHTTPSPort(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir+"/c", 1, "shop.example")
	secure := func(address string) string {
		return "listen \"" + address + "\" {\n  tls {\n    certificate {\n      cert = \"" + dir + "/c.pem\"\n      key = \"" + dir + "/c.key\"\n    }\n  }\n}\n"
	}
	const plain = "listen \"127.0.0.1:0\" {\n  redirect_https = true\n}\n"
	lb := start(t, plain+secure(freeAddresses(t, 1)[0])+sitesOK)
	expect := func(host, want string) {
		t.Helper()
		if r := lb.get("/a?b", "Host: "+host); r.Status() != 308 || r.Field("Location") != want {
			t.Errorf("Host %s: %q, want %s", host, r.Head, want)
		}
	}
	port := func(i int) string {
		_, port, _ := net.SplitHostPort(lb.Addrs()[i].String())
		return port
	}
	for range 2 {
		expect("shop.example:"+port(0), "https://shop.example:"+port(1)+"/a?b")
		expect("[::1]:"+port(0), "https://[::1]:"+port(1)+"/a?b")
		expect("shop.example", "https://shop.example/a?b")
		expect("[::1]", "https://[::1]/a?b")
		if err := lb.reload(plain + secure(freeAddresses(t, 1)[0]) + sitesOK); err != nil {
			t.Fatal(err)
		}
	}
	if err := lb.reload(plain + sitesOK); err != nil {
		t.Fatal(err)
	}
	expect("shop.example:"+port(0), "https://shop.example/a?b")
}

const sitesOK = "site \"s\" {\n  route \"/\" {\n    respond {\n      status = 200\n      body = \"ok\"\n    }\n  }\n}\n"

func TestSplit(t *testing.T) {
	a, b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("a"))), lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("b")))
	lb := start(t, strings.NewReplacer("AAA", a.Addr, "BBB", b.Addr).Replace(`
site "s" {
  route "/" {
    proxy {
      split = { "one" = 3, "two" = 1, "none" = 0 }
    }
  }
}
pool "one" {
  backend "AAA" {}
}
pool "two" {
  backend "BBB" {}
}
pool "none" {
  backend "127.0.0.1:1" {}
}`))
	seen := map[string]int{}
	c := lb.dial()
	for range 400 {
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		seen[c.ReadResponse("GET").Body]++
	}
	if seen["a"]+seen["b"] != 400 || seen["a"] < 240 || seen["b"] < 50 {
		t.Errorf("shares %v of 400, want about 300 and 100", seen)
	}
}

// TestRefusedHeads: an invalid head is counted and logged like any other request.
func TestRefusedHeads(t *testing.T) {
	lb := start(t, sitesOK)
	for i, request := range []string{
		"GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
	} {
		c := lb.dial()
		c.Send(request)
		if r := c.ReadResponse("GET"); r.Status() != 400 || r.Field("Connection") != "close" || r.Field("X-Request-Id") == "" {
			t.Errorf("%q: %q", request, r.Head)
		}
		if rest, _ := c.Ended(); rest != "" {
			t.Errorf("%q: the connection continues with %q", request, rest)
		}
		lb.wantMetric(`lb_requests_total{site="",code="400"}`, fmt.Sprint(i+1))
	}
	lbtest.Eventually(t, "five lines in the log", func() bool { return strings.Count(lb.read("access.log"), `"status":400`) == 5 })
}
