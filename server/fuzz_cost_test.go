package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// costly is a balancer with all features that examine what clients and backends send. Its limits are higher than usual, so that
// non-linear costs become visible.
const costly = `
listen "unix:$DIR/lb.sock" {
  proxy_protocol = true
}
trusted_proxies = ["10.0.0.0/8", "192.168.0.0/16", "2001:db8::/32"]
limits {
  header_size   = "64KiB"
  header_fields = 1000
}
site "files" {
  hosts = ["files.example", WILDCARDS]
  error_page {
    status = [404]
    file   = "$DIR/page.html"
  }
  route "/" {
    static {
      root = "$DIR"
    }
  }
}
site "app" {
  route "/" {
    request_headers {
      set    = { "X-Set" = "1" }
      remove = ["X-One", "X-Two", "Cookie2"]
    }
    response_headers {
      set    = { "X-Set" = "1" }
      add    = { "Vary" = "X-Set" }
      remove = ["X-One", "X-Two", "Server"]
    }
    proxy {
      pool = "app"
    }
  }
  route "/closed/" {
    deny = ["0.0.0.0/0"]
    proxy {
      pool = "app"
    }
  }
  route "/closed/twice/" {
    deny = ["192.0.2.0/24"]
    proxy {
      pool = "app"
    }
  }
  route "/version/" {
    headers = { "X-Version" = "2", "X-Other" = "3" }
    methods = ["GET", "PATCH"]
    proxy {
      pool = "hashed"
    }
  }
  route "/hashed/" {
    proxy {
      pool         = "hashed"
      strip_prefix = true
    }
  }
  route "/rewritten/" {
    proxy {
      pool            = "app"
      rewrite         = "/x{path}/{rest}"
      buffer_request  = "1MiB"
      buffer_response = "1MiB"
    }
  }
  route "/old/" {
    redirect {
      to = "/new/{rest}"
    }
  }
  route "= /ping" {
    respond {
      body = "pong"
    }
  }
}
pool "hashed" {
  balance  = "hash"
  hash_key = "cookie:user"
  backend "BACKEND" {}
  eject {
    failures = 0
  }
}
pool "app" {
  backend "BACKEND" {}
  sticky {
    cookie = "lb"
    secret = "0123456789abcdef0123456789abcdef"
  }
  eject {
    failures = 0
  }
  retry {
    attempts = 1
    on       = ["connect", "reset", "503"]
  }
  response_header_size = "64KiB"
}
access_log {
  file = "/dev/null"
}
`

// startCostly starts the balancer before a backend that runs the script, with more configuration.
func startCostly(f *testing.F, script func(c *lbtest.Conn), more ...string) *running {
	dir := f.TempDir()
	backend := lbtest.NewBackendOn(f, "unix:"+filepath.Join(dir, "app.sock"), script)
	var names []string
	for i := range 20 { // each has a different number of labels and length
		names = append(names, fmt.Sprintf("%q", "*"+strings.Repeat(".a", i+1)+".example"))
	}
	text := strings.NewReplacer("BACKEND", backend.Addr, "WILDCARDS", strings.Join(names, ", "), "$DIR", dir).Replace(costly + strings.Join(more, ""))
	for name, size := range map[string]int{"file": 32 << 10, "page.html": 10} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("a"), size), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	lb := start(f, text)
	lb.dir = dir
	return lb
}

// stream sends bytes on a new connection, reads concurrently, and returns all that comes back.
func (r *running) stream(text []byte) []byte {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(r.dir, "lb.sock"), Net: "unix"})
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = c.Write(text)
		_ = c.CloseWrite()
	}()
	responses, _ := io.ReadAll(c) // a reset is as good an end as any
	<-sent
	return responses
}

// harmless returns a stream of that size with that many requests.
func harmless(size, requests int) []byte {
	var stream []byte
	requests = max(1, requests)
	for i := range requests {
		room := max(0, (size-len(stream))/(requests-i)-len("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n"))
		stream = fmt.Appendf(stream, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", room, strings.Repeat("a", room))
	}
	return stream
}

// proxyLine is the PROXY header of a trusted client, or of another.
func proxyLine(trusted bool) string {
	if trusted {
		return "PROXY TCP4 10.0.0.1 192.0.2.200 1 2\r\n"
	}
	return "PROXY TCP4 192.0.2.1 192.0.2.200 1 2\r\n"
}

// FuzzCostOfRequests: no byte stream costs the balancer and its backend much more CPU time than as many harmless requests of the
// same total size: heads, paths, bodies, trailers, cookies, ranges, conditions, PROXY headers.
func FuzzCostOfRequests(f *testing.F) {
	response := []byte(lbtest.OK("abc"))
	lb := startCostly(f, func(c *lbtest.Conn) {
		for {
			head := c.ReadHead()
			if strings.Contains(head, "\r\nExpect: ") {
				c.Send("HTTP/1.1 100 Continue\r\n\r\n") // otherwise the balancer waits for it
			}
			if _, err := c.ReadBody(head); head == "" || err != nil {
				return
			}
			_, _ = c.Write(response)
		}
	})
	for _, seed := range costlyRequests {
		f.Add([]byte(seed.pattern), seed.size, byte(0))
		f.Add([]byte(seed.pattern), seed.size, byte(1))
	}
	for _, seed := range costlyStarts {
		f.Add([]byte(seed), uint16(6000), byte(2))
	}
	f.Fuzz(func(t *testing.T, pattern []byte, size uint16, client byte) {
		stream := lbtest.Stretch(pattern, int(size))
		if len(stream) > 128<<10 {
			return
		}
		if client%3 < 2 { // otherwise the PROXY header is part of the pattern
			stream = append([]byte(proxyLine(client%3 == 1)), stream...)
		}
		var usual []byte
		lbtest.CheckCost(t, lbtest.OfProcess, func() {
			responses := lb.stream(stream)
			if usual == nil {
				usual = append([]byte(proxyLine(false)), harmless(len(stream), bytes.Count(responses, []byte("\r\nX-Request-Id: ")))...)
			}
		}, func() { lb.stream(usual) })
	})
}

// costlySeed is a pattern and the size to which it is repeated.
type costlySeed struct {
	pattern string
	size    uint16
}

// costlyRequests are streams that were once too expensive in some program, or might be.
var costlyRequests = []costlySeed{
	{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 100},
	{"«GET / HTTP/1.1\r\nHost: a\r\n\r\n»", 3000},
	{"«GET /ping HTTP/1.1\r\nHost: a\r\n\r\n»", 6000},
	{"GET / HTTP/1.1\r\nHost: a\r\nConnection: «,»\r\n«900*A:b\r\n»\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: a\r\nConnection: «15*abcdefgh,»\r\n«abcdefgi: b\r\n»\r\n", 14_000},
	{"GET / HTTP/1.1\r\nHost: a\r\n«Connection: x\r\n»\r\n", 14_000},
	{"GET / HTTP/1.1\r\nHost: a\r\n«A: b\r\n»\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: a\r\nA: «b»\r\n\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: «a.»example\r\n\r\n", 300},
	{"GET / HTTP/1.1\r\nHost: «a.»example\r\n\r\n", 60_000},
	{"GET http://«a.»example/ HTTP/1.1\r\nHost: «a.»example\r\n\r\n", 500},
	{"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nB:«\t»x\r\n\r\n", 60_000},
	// The balancer's own responses
	{"GET /closed/ HTTP/1.1\r\nHost: a\r\nAccept: «a/b;q=0.1,»text/html;q=0.001\r\n\r\n", 60_000},
	{"GET /closed/ HTTP/1.1\r\nHost: a\r\n«900*Accept: */*;q=0.00001\r\n»\r\n", 60_000},
	{"GET\t/ HTTP/1.1\r\nHost: a\r\n«Accept: «*/*;q=0.00001,»\r\n»\r\n", 60_000},
	{"GET\t/ HTTP/1.1\r\nHost: a\r\nAccept: «*/*;q=0.1,»\r\n\r\n", 60_000},
	{"«GET /closed/ HTTP/1.1\r\nHost: a\r\nAccept: text/*;q=0.1,text/html;q=0.2\r\n\r\n»", 6000},
	{"GET /closed/ HTTP/1.1\r\nHost: a\r\nAccept: «*/*;q=4e-320,»\r\n\r\n", 60_000},
	{"GET\t/ HTTP/1.1\r\nHost: a\r\nAccept: «text/*;q=4e-320,»\r\n\r\n", 60_000},
	{"GET /old/«a%20» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"PUT /version/ HTTP/1.1\r\nHost: a\r\n«900*X-Version: 2\r\n»X-Other: 3\r\n\r\n", 60_000},
	// Fields that the balancer reads
	{"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: «10.0.0.1,»\r\n\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: a\r\n«900*X-Forwarded-For: 10.0.0.1,,2001:db8::1,x\r\n»\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: «,»\r\nForwarded: «for=10.0.0.1;»\r\n«100*X-Forwarded-Prefix: /a//\r\n»\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: «a»\r\nX-Forwarded-Proto: «https,»\r\nX-Forwarded-Host: «a.»\r\n\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: a\r\nCDN-Loop: «lb-0123456789abcdef,»\r\n«900*CDN-Loop: ,\r\n»\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: a\r\nCookie: «lb=a; »\r\n\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: a\r\nCookie: lb=«a»\r\n«400*Cookie: l=; lb; Lb=x;;\r\n»\r\n", 60_000},
	{"GET /hashed/ HTTP/1.1\r\nHost: a\r\n«900*Cookie: use=; user\r\n»Cookie: «;»user=«x»\r\n\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, upgrade\r\nUpgrade: «h2c,»\r\n\r\n", 60_000},
	{"GET / HTTP/1.1\r\nHost: a\r\n«900*Upgrade: a\r\n»Connection: upgrade\r\n\r\n", 60_000},
	{"POST / HTTP/1.1\r\nHost: a\r\n«Transfer-Encoding: chunked\r\n»\r\n", 14_000},
	// Paths
	{"GET /«a/../» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET /«a/»«../» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET «/» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET /«%2f» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET /«a%2f» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET /closed/«a%2fb;c/d%252f» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET /«..;/» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET /«%25» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET /hashed/«%252e%25%35%63;» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET //«a//» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET /rewritten/«%c3%a9;a» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET /?«%2f;..//» HTTP/1.1\r\nHost: a\r\n\r\n", 60_000},
	{"GET /«a/»«../»file HTTP/1.1\r\nHost: files.example\r\n\r\n", 60_000},
	{"GET /file/«a/» HTTP/1.1\r\nHost: files.example\r\n\r\n", 60_000},
	{"GET /«a» HTTP/1.1\r\nHost: files.example\r\n\r\n", 60_000},
	{"«GET /«a» HTTP/1.1\r\nHost: files.example\r\n\r\n", 60_000},
	{"«GET /nothing HTTP/1.1\r\nHost: files.example\r\n\r\n»", 4000},
	// Bodies
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n«1\r\na\r\n»0\r\n\r\n", 60_000},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n«1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n»0\r\n\r\n", 60_000},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n«000000000000001\r\na\r\n»0\r\n\r\n", 60_000},
	{"POST /rewritten/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n«1\r\na\r\n»0\r\n\r\n", 60_000},
	{"POST /closed/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n«1\r\na\r\n»0\r\n\r\n", 60_000},
	{"«POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n»", 5000},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n«A: b\r\n»\r\n", 6000},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: «15*a,»\r\n\r\n0\r\n«900*b: b\r\n»\r\n", 7000},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: «a,»\r\n\r\n0\r\nA: «b»\r\n\r\n", 16_000},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n«a»\r\n\r\n", 16_000},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: «,»\r\n«500*Trailer: a, b\r\n»\r\n0\r\n\r\n", 60_000},
	{"«PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na»", 5000},
	// Files
	{"GET /file HTTP/1.1\r\nHost: files.example\r\nRange: bytes=«0-0,»\r\n\r\n", 60_000},
	{"GET /file HTTP/1.1\r\nHost: files.example\r\nRange: bytes=«16*0-1000,»\r\n\r\n", 300},
	{"«GET /file HTTP/1.1\r\nHost: files.example\r\nRange: bytes=0-1,3-4,6-7,9-9,-1\r\n\r\n»", 6000},
	{"GET /file HTTP/1.1\r\nHost: files.example\r\nRange: bytes=«,»\r\n«900*Range: bytes=1-1\r\n»\r\n", 60_000},
	{"GET /file HTTP/1.1\r\nHost: files.example\r\nRange: bytes=«9»-\r\n\r\n", 60_000},
	{"GET /file HTTP/1.1\r\nHost: files.example\r\nIf-None-Match: «W/\"a\", »\r\n\r\n", 60_000},
	{"GET /file HTTP/1.1\r\nHost: files.example\r\n«900*If-None-Match: \"a\"\r\n»\r\n", 60_000},
	{"GET /file HTTP/1.1\r\nHost: files.example\r\nIf-Match: «,»\r\nIf-None-Match: «,»\"\r\n\r\n", 60_000},
	{"GET /file HTTP/1.1\r\nHost: files.example\r\nIf-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT«0»\r\nIf-Range: «M»\r\n\r\n", 60_000},
	{"GET /file HTTP/1.1\r\nHost: files.example\r\nIf-Modified-Since: Monday, 02-Jan-06«,» 15:04:05 GMT\r\nIf-Unmodified-Since: Mon Jan  2«0»\r\n\r\n", 60_000},
	{"GET /file HTTP/1.1\r\nHost: files.example\r\nAccept-Encoding: «gzip;q=0.1,»\r\n«500*Accept-Encoding: br\r\n»\r\n", 60_000},
}

// costlyStarts replace the PROXY header, with what follows.
var costlyStarts = []string{
	"PROXY TCP4 «1» 192.0.2.200 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"PROXY TCP4 «1 »\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"PROXY TCP6 «:1» :: 1 «2»\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"PROXY UNKNOWN«a»\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x50\x00\x50«GET / HTTP/1.1\r\nHost: a\r\n\r\n»",
	"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x0f\xa0\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x50\x00\x50«\x03\x00\x00»",
	"«\r\n\r\n\x00\r\nQUIT\n»",
}
