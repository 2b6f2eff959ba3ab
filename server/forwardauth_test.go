package server_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// TestForwardAuth: what a service says about requests, and what backend and client get of it.
func TestForwardAuth(t *testing.T) {
	back := record(t, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")
	var conns atomic.Int64
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		for name, want := range map[string]string{
			"X-Forwarded-Method": "POST", "X-Forwarded-Uri": "/a%2fb?c=d", "X-Forwarded-Host": "app.example", "X-Forwarded-Proto": "http",
			"X-Forwarded-For": "127.0.0.1", "If-None-Match": "", "Content-Length": "", "Connection": "", "Expect": "", "User-Agent": "",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if r.Host != "app.example" || r.Method != "GET" || r.URL.String() != "/verify?x=%2F" || r.ContentLength != 0 {
			t.Errorf("%s %s %s, %d bytes", r.Host, r.Method, r.URL, r.ContentLength)
		}
		switch h.Get("Cookie") {
		case "session=good":
			w.Header().Set("Remote-User", "ann")
			w.Header().Add("Remote-Groups", "a")
			w.Header().Add("Remote-Groups", "b")
			w.Header().Set("Other", "x")
		case "session=odd":
			w.Header().Set("Connection", "Other")
			w.Header().Set("Other", "x")
			w.Header().Set("Set-Cookie", "session=; Max-Age=0")
			w.WriteHeader(401)
			_, _ = w.Write([]byte(strings.Repeat("no", 5000)))
		case "session=huge":
			w.WriteHeader(401)
			_, _ = w.Write(make([]byte, 1<<20))
		default:
			w.Header().Set("Location", "https://login.example/?rd="+h.Get("X-Forwarded-Uri"))
			w.WriteHeader(302)
		}
	}))
	service.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	service.Start()
	t.Cleanup(service.Close)
	text := `
site "s" {
  route "/" {
    forward_auth {
      pool         = "auth"
      path         = "/verify?x=%2F"
      copy_headers = ["Remote-User", "Remote-Groups", "Remote-Email"]
    }
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "` + back.Addr + `" {}
}
pool "auth" {
  backend "` + service.Listener.Addr().String() + `" {}
}
`
	r := start(t, text)
	ask := func(lines ...string) lbtest.Response {
		c := r.dial()
		defer c.Close()
		c.Send("POST /a%2fb?c=d HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\nIf-None-Match: x\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\nbody")
		return c.ReadResponse("POST")
	}
	if got := ask(); got.Status() != 302 || got.Field("Location") != "https://login.example/?rd=/a%2fb?c=d" || got.Body != "" {
		t.Errorf("%q", got.Head)
	}
	forged := []string{"Cookie: session=good", "remote-user: root", "Remote_User: root", "Remote.User: root", "Remote-Email: root@x", "X-Forwarded-Uri: /public"}
	for range 5 {
		if got := ask(forged...); got.Status() != 200 || got.Body != "page" || got.Field("Remote-User") != "" {
			t.Errorf("%q", got.Head)
		}
	}
	head, body := back.last()
	if !strings.Contains(head, "\r\nRemote-User: ann\r\n") || strings.Count(head, "Remote-Groups: ") != 2 || strings.Contains(head, "root") || strings.Contains(head, "Other") || body != "body" {
		t.Errorf("%q", head)
	}
	if got := ask("Cookie: session=odd"); got.Status() != 401 || len(got.Body) != 10000 || got.Field("Set-Cookie") == "" || got.Field("Other") != "" {
		t.Errorf("%q", got.Head)
	}
	if got := ask("Cookie: session=huge"); got.Status() != 503 || len(got.Body) > 1000 {
		t.Errorf("%q", got.Head)
	}
	if n := conns.Load(); n > 3 { // one, and one more after each body that was not read to its end
		t.Errorf("%d connections", n)
	}
	r.wantMetric(`lb_backend_requests_total{pool="auth",backend="`+service.Listener.Addr().String()+`",code="200"}`, "5")
	if err := r.reload(strings.Replace(text, service.Listener.Addr().String(), "127.0.0.1:1", 1)); err != nil {
		t.Fatal(err)
	}
	if got := ask("Cookie: session=good"); got.Status() != 503 {
		t.Errorf("%q", got.Head)
	}
}

// TestForwardAuthFailures: nothing passes without the service's consent, and a client that disconnects ends the question.
func TestForwardAuthFailures(t *testing.T) {
	back := record(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	asked, cancelled := make(chan bool, 10), make(chan bool, 10)
	service := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		head, _ := c.ReadRequest()
		switch {
		case strings.Contains(head, "/garbage"):
			c.Send("SSH-2.0-OpenSSH\r\n")
		case strings.Contains(head, "/head"):
			c.Send("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n")
		case strings.Contains(head, "/cut"):
			c.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		case strings.Contains(head, "/failing"):
			c.Send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
		case strings.Contains(head, "/odd"):
			c.Send("HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n")
		case strings.Contains(head, "/silent"):
			asked <- true
			c.ReadRequest() // until lb closes the connection
			cancelled <- true
		}
		c.Close()
	})
	r := start(t, `
site "s" {
  route "/" {
    forward_auth {
      pool = "auth"
    }
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "`+back.Addr+`" {}
}
pool "auth" {
  backend "`+service.Addr+`" {}
  eject {
    failures = 1000
  }
}
`)
	for path, want := range map[string]int{"/garbage": 503, "/head": 503, "/cut": 503, "/failing": 503, "/odd": 200} {
		if got := r.get(path); got.Status() != want {
			t.Errorf("%s: %q", path, got.Head)
		}
	}
	c := r.dial()
	c.Send("GET /silent HTTP/1.1\r\nHost: x\r\n\r\n")
	lbtest.Wait(t, "the question", asked)
	c.Close()
	lbtest.Wait(t, "its end", cancelled)
}
