package server_test

import (
	"strings"
	"testing"

	"lb/admin"
	"lb/internal/lbtest"
)

// TestSlashIsAdded: a request for "/app" is redirected to the route "/app/" if only a shorter prefix matches it. The Location
// names no host, whatever the client sent. lb explain says the same.
func TestSlashIsAdded(t *testing.T) {
	app, rest := record(t, lbtest.OK("app")), record(t, lbtest.OK("rest"))
	const site = `
site "s" {
  route "/app/" {
    proxy {
      pool         = "app"
      strip_prefix = true
    }
  }
  route "/denied/" {
    deny = ["127.0.0.0/8"]
    response_headers {
      set = { "X-Route" = "denied" }
    }
    proxy {
      pool = "app"
    }
  }
  route "/reads/" {
    methods = ["GET"]
    response_headers {
      set = { "X-Route" = "reads" }
    }
    proxy {
      pool = "app"
    }
  }
  route "/v2/" {
    headers = { "X-Version" = "2" }
    proxy {
      pool = "app"
    }
  }
  route "/exact/" {
    proxy {
      pool = "app"
    }
  }
  route "= /exact" {
    respond {
      body = "exact"
    }
  }
  route "/both/" {
    proxy {
      pool = "app"
    }
  }
  route "/both" {
    respond {
      body = "both"
    }
  }
  route "/evil.example/" {
    proxy {
      pool = "app"
    }
  }
  route "/café x\\/" {
    respond {}
  }
  route "/files/" {
    static {
      root         = "$DIR"
      strip_prefix = true
    }
  }
  route "/old/" {
    redirect {
      to = "/new/{rest}"
    }
  }
REST}
site "other" {
  hosts = ["other"]
  route "/" {
    proxy {
      pool = "rest"
    }
  }
}
pool "app" {
  backend "APP" {}
}
pool "rest" {
  backend "REST" {}
}
`
	const everything = "  route \"/\" {\n    proxy {\n      pool = \"rest\"\n    }\n  }\n"
	type request struct {
		method, target, lines string
		status                int
		want                  string // the Location, or the body of a 200
		field                 string // X-Route
	}
	for where, requests := range map[string][]request{
		everything: {
			{method: "GET", target: "/apps", status: 200, want: "rest"},
			{method: "GET", target: "/v2", status: 200, want: "rest"},
			{method: "POST", target: "/reads", lines: "Content-Length: 0\r\n", status: 200, want: "rest"},
			{method: "GET", target: "/app", lines: "Host: other\r\n", status: 200, want: "rest"},
			{method: "GET", target: "/app;v=1", status: 400}, // without parameters it is "/app", which "/" does not serve
			{method: "GET", target: "/denied;v=1", status: 400},
		},
		"": {
			{method: "GET", target: "/apps", status: 404},
			{method: "GET", target: "/v2", status: 404},
			{method: "POST", target: "/reads", lines: "Content-Length: 0\r\n", status: 404},
			{method: "GET", target: "/denied;v=1", status: 404},
		},
	} {
		lb := start(t, strings.NewReplacer("APP", app.Addr, "\"REST\"", "\""+rest.Addr+"\"", "REST", where).Replace(site))
		for _, c := range append([]request{
			{method: "GET", target: "/app", status: 301, want: "/app/"},
			{method: "HEAD", target: "/app", status: 301, want: "/app/"},
			{method: "GET", target: "/app?a=b&c", status: 301, want: "/app/?a=b&c"},
			{method: "GET", target: "/app?", status: 301, want: "/app/?"},
			{method: "GET", target: "http://a/app", status: 301, want: "/app/"},
			{method: "POST", target: "/app?q", lines: "Content-Length: 5\r\n\r\nhello", status: 308, want: "/app/?q"},
			{method: "PUT", target: "/app", lines: "Transfer-Encoding: chunked\r\n\r\n0\r\n", status: 308, want: "/app/"},
			{method: "OPTIONS", target: "/app", status: 308, want: "/app/"},
			{method: "GET", target: "/%61pp", status: 301, want: "/app/"},
			{method: "GET", target: "//app", status: 301, want: "/app/"},
			{method: "GET", target: "/x/../app", status: 301, want: "/app/"},
			{method: "GET", target: "//evil.example", status: 301, want: "/evil.example/"},
			{method: "GET", target: "//evil.example?//evil.example", status: 301, want: "/evil.example/?//evil.example"},
			{method: "GET", target: "/.//evil.example", status: 301, want: "/evil.example/"},
			{method: "GET", target: "/%2f/evil.example", status: 301, want: "/evil.example/"},
			{method: "GET", target: "/caf%c3%a9%20x%5C", status: 301, want: "/caf%C3%A9%20x%5C/"},
			{method: "GET", target: "/app%0d%0aX:", status: map[string]int{everything: 200, "": 404}[where]},
			{method: "GET", target: "/app/", status: 200, want: "app"},
			{method: "GET", target: "/denied", status: 403, field: "denied"},
			{method: "GET", target: "/denied/", status: 403, field: "denied"},
			{method: "GET", target: "/reads", status: 301, want: "/reads/", field: "reads"},
			{method: "GET", target: "/v2", lines: "X-Version: 2\r\n", status: 301, want: "/v2/"},
			{method: "GET", target: "/exact", status: 200, want: "exact"},
			{method: "GET", target: "/both", status: 200, want: "both"},
			{method: "GET", target: "/both?q", status: 200, want: "both"},
			{method: "GET", target: "/files", status: 301, want: "/files/"},
			{method: "GET", target: "/old?q", status: 301, want: "/old/?q"},
			{method: "GET", target: "/", status: map[string]int{everything: 200, "": 404}[where]},
		}, requests...) {
			conn := lb.dial()
			host := ""
			if !strings.Contains(c.lines, "Host:") {
				host = "Host: a\r\n"
			}
			conn.Send(c.method + " " + c.target + " HTTP/1.1\r\n" + host + c.lines + "\r\n")
			r := conn.ReadResponse(c.method)
			got := r.Field("Location")
			if r.Status() == 200 {
				got = r.Body
			}
			if r.Status() != c.status || c.want != "" && got != c.want || r.Field("X-Route") != c.field {
				t.Errorf("%s %s: %d %q, X-Route %q, want %d %q %q", c.method, c.target, r.Status(), got, r.Field("X-Route"), c.status, c.want, c.field)
			}
			if strings.HasPrefix(c.target, "/") && c.lines == "" {
				e := lb.explain(admin.Question{Method: c.method, URL: "http://a:PORT" + c.target, Client: "127.0.0.1"})
				switch {
				case c.status == 200 && e.Response == nil: // a backend responds
				case e.Response == nil || e.Response.Status != c.status || c.status == 301 && e.Response.Location != c.want:
					t.Errorf("%s %s: explained as %+v", c.method, c.target, e.Response)
				}
			}
			conn.Close()
		}
		lb.stop()
	}
}

// TestSlashKeepsTheConnection: after the redirect of a request with a complete body the connection serves the next request.
func TestSlashKeepsTheConnection(t *testing.T) {
	app := record(t, lbtest.OK("app"))
	lb := start(t, strings.Replace(proxyTo("", app.Addr), `route "/"`, `route "/app/"`, 1))
	conn := lb.dial()
	conn.Send("POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	if r := conn.ReadResponse("POST"); r.Status() != 308 || r.Field("Location") != "/app/" {
		t.Fatalf("%q", r.Head)
	}
	conn.Send("POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	if r := conn.ReadResponse("POST"); r.Status() != 200 || r.Body != "app" {
		t.Fatalf("%q", r.Head)
	}
	if head, body := app.last(); !strings.HasPrefix(head, "POST /app/ ") || body != "hello" {
		t.Errorf("the backend got %q %q", head, body)
	}
}

// TestLocations: the Location of a backend passes unchanged, whatever the route removes or rewrites. A directory without an index
// file gets 404.
func TestLocations(t *testing.T) {
	const location = "../x y?a=b#\xc3\xa9"
	b := record(t, "HTTP/1.1 302 Found\r\nlocation:  "+location+" \r\nContent-Length: 0\r\n\r\n")
	dir := writeFiles(t, map[string]string{"sub/a.txt": "a"})
	text := strings.Replace(proxyTo("", b.Addr), "      pool =", "      strip_prefix = true\n      pool =", 1)
	text = strings.Replace(text, `route "/"`, "route \"/files/\" {\n    static {\n      root = \""+dir+"\"\n      strip_prefix = true\n    }\n  }\n  route \"/app/\"", 1)
	lb := start(t, text)
	if r := lb.get("/app/"); !strings.Contains(r.Head, "\r\nlocation:  "+location+" \r\n") {
		t.Errorf("%q", r.Head)
	}
	for target, want := range map[string]string{"/files/sub/": "404 ", "/files/": "404 ", "/files/sub": "301 /files/sub/", "/files/sub/a.txt": "200 "} {
		r := lb.get(target)
		if got := r.Head[len("HTTP/1.1 "):len("HTTP/1.1 200 ")] + r.Field("Location"); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}
