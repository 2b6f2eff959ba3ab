package server_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// ownResponses is the configuration of a site with lb's own responses only, one path for each kind.
func ownResponses(root string) string {
	return `site "s" {
  route "/respond" {
    respond {
      body = "pong"
    }
  }
  route "/redirect" {
    redirect {
      to = "/respond"
    }
  }
  route "/static" {
    static {
      root = "` + root + `"
    }
  }
  route "/get" {
    methods = ["GET"]
    respond {
      body = "x"
    }
  }
  route "/down" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:1" {}
  queue {
    limit = 0
  }
}
`
}

// TestSmallBodyKeepsTheConnection: after one of lb's own responses the connection stays open if the request's small body has
// arrived.
func TestSmallBodyKeepsTheConnection(t *testing.T) {
	for _, secure := range []bool{false, true} {
		text := ownResponses(t.TempDir())
		if secure {
			text = tlsListen(t, t.TempDir()) + text
		}
		lb := start(t, text)
		for path, status := range map[string]int{"/respond": 200, "/redirect": 308, "/static": 405, "/get": 405, "/none": 404, "/down": 502} {
			for name, body := range map[string]string{
				"length": "Content-Length: 3\r\n\r\nabc", "chunks": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
				"long": "Content-Length: 10000\r\n\r\n" + strings.Repeat("x", 10_000), // three of them arrive at once
			} {
				if secure && name == "long" {
					continue // it comes in several records, and so perhaps in part
				}
				t.Run(fmt.Sprintf("TLS %v%s/%s", secure, path, name), func(t *testing.T) {
					c := lb.dial
					if secure {
						c = func() *lbtest.Conn { return lbtest.DialTLS(t, lb.addr(), &tls.Config{InsecureSkipVerify: true}) }
					}
					request := "POST " + path + " HTTP/1.1\r\nHost: a\r\n" + body
					one, many := c(), c()
					many.Send(strings.Repeat(request, 3)) // pipelined
					for range 3 {
						one.Send(request)
						for kind, c := range map[string]*lbtest.Conn{"alone": one, "pipelined": many} {
							r := c.ReadResponse("POST")
							if r.Status() != status && !(path == "/down" && r.Status() == 503) || r.Field("Connection") != "" || r.Err != nil {
								t.Fatalf("%s: %q %q %v", kind, r.Head, r.Body, r.Err)
							}
						}
					}
				})
			}
		}
	}
}

// TestMissingBodyEndsTheConnection: lb does not wait for a body that has not arrived, nor read a large one.
func TestMissingBodyEndsTheConnection(t *testing.T) {
	lb := start(t, ownResponses(t.TempDir()))
	for name, body := range map[string]string{
		"none of it": "Content-Length: 3\r\n\r\n", "a part": "Content-Length: 3\r\n\r\nab", "no last chunk": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"large": "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000), "expected": "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n",
		"malformed": "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd",
	} {
		c := lb.dial()
		c.Send("POST /respond HTTP/1.1\r\nHost: a\r\n" + body)
		if r := c.ReadResponse("POST"); r.Status() != 200 || r.Field("Connection") != "close" || r.Err != nil {
			t.Errorf("%s: %q %q %v", name, r.Head, r.Body, r.Err)
		}
		if rest, _ := c.Ended(); rest != "" {
			t.Errorf("%s: followed by %q", name, rest)
		}
	}
}
