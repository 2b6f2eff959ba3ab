package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// ruled is a site whose routes all have the same response_headers.
const ruled = `
static_cache {
  memory   = "64KiB"
  max_file = "1KiB"
}
site "s" {
  error_page {
    status = [403]
    file   = "$DIR/403.html"
  }
  route "/files/" {
    RULES
    static {
      root          = "$DIR/www"
      strip_prefix  = true
      cache_control = "max-age=60"
    }
  }
  route "/respond" {
    RULES
    respond {
      body = "hello"
    }
  }
  route "/empty" {
    RULES
    respond {
      status       = 204
      content_type = ""
    }
  }
  route "/redirect" {
    RULES
    redirect {
      to = "/respond"
    }
  }
  route "/denied" {
    RULES
    deny = ["127.0.0.0/8"]
    respond {}
  }
  route "/dead" {
    RULES
    proxy {
      pool = "dead"
    }
  }
  route "/garbage" {
    RULES
    proxy {
      pool = "garbage"
    }
  }
  route "/proxied" {
    RULES
    proxy {
      pool = "app"
    }
  }
  route "/ranges" {
    RULES
    proxy {
      pool = "ranges"
    }
  }
}
site "paged" {
  hosts = ["paged"]
  maintenance {
    page = "$DIR/down.html"
  }
  route "/dead" {
    RULES
    proxy {
      pool = "dead"
    }
  }
}
pool "dead" {
  backend "127.0.0.1:1" {}
  queue {
    while_down = "0s"
  }
}
`

// TestResponseHeaders: set replaces and remove removes fields of lb's own responses as well as of backends'. The heads are
// compared completely, except for Date and X-Request-Id.
func TestResponseHeaders(t *testing.T) {
	const rules = `response_headers {
      set = {
        "content-type"  = "text/x-own"
        "Cache-Control" = "private"
        "Server"        = "own"
        "ETag"          = "\"own\""
      }
      add    = { "X-Add" = "a" }
      remove = ["last-modified", "Accept-Ranges", "X-Content-Type-Options", "retry-after", "X-Removed"]
    }`
	const (
		noType = "Cache-Control: private\r\nServer: own\r\nETag: \"own\"\r\nX-Add: a\r\n"
		own    = "content-type: text/x-own\r\n" + noType
		multi  = "multipart/byteranges; boundary="
	)
	app := record(t, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nServer: app\r\nServer: twice\r\nX-Removed: 1\r\nX-Add: b\r\nContent-Length: 2\r\n\r\nhi")
	ranges := record(t, "HTTP/1.1 206 Partial Content\r\nContent-Type: Multipart/byteranges; boundary=x\r\nServer: app\r\nContent-Length: 2\r\n\r\nhi")
	garbage := record(t, "garbage\r\n\r\n")
	text := strings.ReplaceAll(ruled, "RULES", rules)
	for name, b := range map[string]string{"app": app.Addr, "ranges": ranges.Addr, "garbage": garbage.Addr} {
		text += "pool \"" + name + "\" {\n  backend \"" + b + "\" {}\n}\n"
	}
	dir := writeFiles(t, map[string]string{
		"403.html": "forbidden", "down.html": "down", "www/a.txt": "0123456789", "www/sub/index.html": "index",
		"www/big.txt": strings.Repeat("0123456789", 1000), "www/none": "plain",
	})
	lb := start(t, strings.ReplaceAll(text, "$DIR", dir))
	for _, c := range []struct {
		name, method, target, lines string
		want                        string // the head but for what differs from run to run
		body                        string // "": not compared
	}{
		{"file", "GET", "/files/a.txt", "", "200 OK\r\nContent-Length: 10\r\n" + own, "0123456789"},
		{"file", "HEAD", "/files/a.txt", "", "200 OK\r\nContent-Length: 10\r\n" + own, ""},
		{"range", "GET", "/files/a.txt", "Range: bytes=1-2\r\n", "206 Partial Content\r\nContent-Range: bytes 1-2/10\r\nContent-Length: 2\r\n" + own, "12"},
		{"not modified", "GET", "/files/a.txt", "If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT\r\n", "304 Not Modified\r\n" + own, ""},
		{"not modified", "HEAD", "/files/a.txt", "If-None-Match: *\r\n", "304 Not Modified\r\n" + own, ""},
		{"unsatisfiable", "GET", "/files/a.txt", "Range: bytes=99-\r\n", "416 Requested Range Not Satisfiable\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n" + own, ""},
		{"precondition", "GET", "/files/a.txt", "If-Match: \"x\"\r\n", "412 Precondition Failed\r\nContent-Length: 0\r\n" + own, ""},
		{"streamed", "GET", "/files/big.txt", "", "200 OK\r\nContent-Length: 10000\r\n" + own, ""},
		{"streamed", "HEAD", "/files/big.txt", "", "200 OK\r\nContent-Length: 10000\r\n" + own, ""},
		{"streamed range", "GET", "/files/big.txt", "Range: bytes=9998-\r\n", "206 Partial Content\r\nContent-Range: bytes 9998-9999/10000\r\nContent-Length: 2\r\n" + own, "89"},
		{"streamed not modified", "GET", "/files/big.txt", "If-None-Match: *\r\n", "304 Not Modified\r\n" + own, ""},
		{"directory", "GET", "/files/sub", "", "301 Moved Permanently\r\nLocation: /files/sub/\r\nContent-Length: 0\r\n" + own, ""},
		{"index", "GET", "/files/sub/", "", "200 OK\r\nContent-Length: 5\r\n" + own, "index"},
		{"no file", "GET", "/files/none.txt", "", "404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: *\r\n" + noType, ""},
		{"no file", "HEAD", "/files/none.txt", "", "404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: *\r\n" + noType, ""},
		{"method", "DELETE", "/files/a.txt", "", "405 Method Not Allowed\r\nAllow: GET, HEAD\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: *\r\n" + noType, ""},
		{"respond", "GET", "/respond", "", "200 OK\r\nContent-Length: 5\r\n" + own, "hello"},
		{"respond", "HEAD", "/respond", "", "200 OK\r\nContent-Length: 5\r\n" + own, ""},
		{"no content", "GET", "/empty", "", "204 No Content\r\n" + own, ""},
		{"redirect", "GET", "/redirect", "", "308 Permanent Redirect\r\nLocation: /respond\r\nContent-Length: 0\r\n" + own, ""},
		{"error page", "GET", "/denied", "", "403 Forbidden\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 9\r\n" + noType, "forbidden"},
		{"unavailable", "GET", "/dead", "", "503 Service Unavailable\r\nCache-Control: no-store\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: *\r\n" +
			strings.Replace(noType, "Cache-Control: private\r\n", "", 1), ""},
		{"maintenance", "GET", "/dead", "Host: paged\r\n", "503 Service Unavailable\r\nCache-Control: no-store\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 4\r\n" +
			strings.Replace(noType, "Cache-Control: private\r\n", "", 1), "down"},
		{"bad gateway", "GET", "/garbage", "Accept: application/json\r\n", "502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: *\r\n" + noType, ""},
		{"proxied", "GET", "/proxied", "", "200 OK\r\nX-Add: b\r\nContent-Length: 2\r\n" + own, "hi"},
		{"proxied ranges", "GET", "/ranges", "", "206 Partial Content\r\nContent-Type: Multipart/byteranges; boundary=x\r\nContent-Length: 2\r\n" + noType, "hi"},
	} {
		conn := lb.dial()
		if !strings.Contains(c.lines, "Host:") {
			c.lines += "Host: a\r\n"
		}
		conn.Send(c.method + " " + c.target + " HTTP/1.1\r\n" + c.lines + "\r\n")
		r := conn.ReadResponse(c.method)
		got := without(r.Head, "Date", "X-Request-Id")
		if strings.Contains(c.want, "Content-Length: *") {
			c.want = strings.Replace(c.want, "*", r.Field("Content-Length"), 1)
		}
		if want := "HTTP/1.1 " + c.want + "\r\n"; got != want || c.body != "" && r.Body != c.body {
			t.Errorf("%s: %s %s: got\n%s%q\nwant\n%s%q", c.name, c.method, c.target, got, r.Body, want, c.body)
		}
		if len(lbtest.Fields(r.Head, "Date")) != 1 || len(lbtest.Fields(r.Head, "X-Request-Id")) != 1 {
			t.Errorf("%s: %s %s: without one Date and one X-Request-Id:\n%s", c.name, c.method, c.target, r.Head)
		}
		conn.Close()
	}
	for _, target := range []string{"/files/a.txt", "/files/big.txt"} {
		r := lb.get(target, "Range: bytes=0-1,4-5")
		kind, rest, _ := strings.Cut(r.Field("Content-Type"), "=")
		if r.Status() != 206 || kind+"=" != multi || r.Field("Server") != "own" || r.Field("Last-Modified") != "" ||
			!strings.HasPrefix(r.Body, "--"+rest+"\r\nContent-Type: text/x-own\r\nContent-Range: bytes 0-1/") {
			t.Errorf("several ranges of %s: %q %q", target, r.Head, r.Body)
		}
	}
}

// TestResponseHeadersRemove: removed fields are absent, Date included, and all others remain.
func TestResponseHeadersRemove(t *testing.T) {
	text := `
site "s" {
  route "/" {
    response_headers {
      remove = ["Content-Type", "date", "ETAG", "Cache-Control", "X-Content-Type-Options", "Allow"]
    }
    static {
      root          = "$DIR/www"
      cache_control = "max-age=60"
    }
  }
  route "= /respond" {
    response_headers {
      remove = ["content-type", "Date"]
    }
    respond {
      body = "hello"
    }
  }
}
`
	lb := start(t, strings.ReplaceAll(text, "$DIR", writeFiles(t, map[string]string{"www/a.txt": "0123456789"})))
	for target, want := range map[string]string{
		"GET /a.txt":   "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nAccept-Ranges: bytes\r\nLast-Modified: *\r\n",
		"HEAD /a.txt":  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nAccept-Ranges: bytes\r\nLast-Modified: *\r\n",
		"POST /a.txt":  "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 47\r\n",
		"GET /respond": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
	} {
		conn := lb.dial()
		conn.Send(target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		r := conn.ReadResponse(strings.Fields(target)[0])
		want = strings.Replace(want, "*", r.Field("Last-Modified"), 1)
		if got := without(r.Head, "X-Request-Id"); got != want+"\r\n" {
			t.Errorf("%s: got\n%swant\n%s", target, got, want)
		}
		conn.Close()
	}
}
