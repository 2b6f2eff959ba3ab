package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestForwardAuthOddResponses: responses that no client may get, such as a switch of protocols, refuse the request in time.
func TestForwardAuthOddResponses(t *testing.T) {
	service := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		switch head, _ := c.ReadRequest(); {
		case strings.Contains(head, "/switch"):
			c.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			c.ReadRequest() // until lb closes the connection
		case strings.Contains(head, "/low"):
			c.Send("HTTP/1.1 010 Odd\r\nContent-Length: 0\r\n\r\n")
		case strings.Contains(head, "/high"):
			c.Send("HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n")
		case strings.Contains(head, "/name"):
			c.Send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nSet-Cookie : a=b\r\nOdd name: x\r\nGood: y\r\n\r\n")
		}
		c.Close()
	})
	r := start(t, `
site "s" {
  route "/" {
    forward_auth {
      pool = "auth"
    }
    respond {
      body = "page"
    }
  }
}
pool "auth" {
  backend "`+service.Addr+`" {}
  eject {
    failures = 1000
  }
}
`)
	for _, path := range []string{"/switch", "/low", "/high"} {
		if got := r.get(path); got.Status() != 503 || got.Body == "page" {
			t.Errorf("%s: %q", path, got.Head)
		}
	}
	if got := r.get("/name"); got.Status() != 401 || strings.Contains(got.Head, "Odd name") || strings.Contains(got.Head, "Cookie") || got.Field("Good") != "y" {
		t.Errorf("%q", got.Head)
	}
}

// TestForwardAuthPaths: the service decides about the path that is used. One that it could read in another way is refused unasked.
func TestForwardAuthPaths(t *testing.T) {
	service := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			if strings.Contains(head, "\r\nX-Forwarded-Uri: /public/") {
				c.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			} else {
				c.Send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
			}
		}
	})
	dir := writeFiles(t, map[string]string{"secret.html": "secret", "public/index.html": "public"})
	r := start(t, `
site "s" {
  route "/" {
    forward_auth {
      pool = "auth"
    }
    static {
      root = "`+dir+`"
    }
  }
}
pool "auth" {
  backend "`+service.Addr+`" {}
}
`)
	for path, want := range map[string]int{
		"/public/": 200, "/public/%69ndex.html": 200, "/secret.html": 403,
		"/public/../secret.html": 400, "/public/%2e%2e/secret.html": 400, "/public/..%2fsecret.html": 400, "/public/.%2E/secret.html": 400,
		"//secret.html": 400, "/public/./index.html": 400, "/public//index.html": 400,
	} {
		if got := r.get(path); got.Status() != want || got.Body == "secret" {
			t.Errorf("%s: %d %q, want %d", path, got.Status(), got.Body, want)
		}
	}
}

// TestForwardAuthTwoCredentials: of two Authorization fields, the service and the backend might believe different ones.
func TestForwardAuthTwoCredentials(t *testing.T) {
	service := record(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	r := start(t, `
site "s" {
  route "/" {
    forward_auth {
      pool = "auth"
    }
    respond {
      body = "page"
    }
  }
}
pool "auth" {
  backend "`+service.Addr+`" {}
}
`)
	if got := r.get("/", "Authorization: Bearer good"); got.Status() != 200 {
		t.Errorf("%q", got.Head)
	}
	if got := r.get("/", "Authorization: Bearer good", "authorization: Bearer forged"); got.Status() != 400 {
		t.Errorf("%q", got.Head)
	}
}
