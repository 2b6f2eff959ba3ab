//go:build e2e

package apps

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lb/internal/lbtest"
)

// TestForbiddenBodies: servers that send the body which a WSGI application returns for HEAD, 204 or 304 do so a moment
// after the head. It reaches no client, neither of such responses nor of others.
func TestForbiddenBodies(t *testing.T) {
	for _, server := range []string{"gunicorn", "waitress", "cheroot"} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			needModules(t, server)
			address := freePorts(t, 1)[0]
			host, number, _ := net.SplitHostPort(address)
			dir := filepath.Join(root, "e2e/apps/testdata/wsgi")
			launch(t, []string{"PYTHONPATH=" + dir, "PYTHONDONTWRITEBYTECODE=1"}, python, filepath.Join(dir, "bodies.py"), server, host, number)
			eventually(t, server+" responds", func() bool { status, _ := get("http://" + address + "/"); return status == 200 })
			lb := startLB(t, t.TempDir(), fmt.Sprintf(bodiesConfig, address))
			var clients sync.WaitGroup
			for i := range 4 {
				clients.Go(func() { askForNoBodies(t, lb) })
				clients.Go(func() { askForOwn(t, lb, i) })
			}
			clients.Wait()
		})
	}
}

// A backend that sends an invalid response must not be ejected here: other clients need it.
const bodiesConfig = `listen "LISTEN" {}
admin {
  listen = "ADMIN"
}
access_log {
  format = "off"
}
site "s" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "%s" {}
  eject {
    failures = 0
  }
}
`

const bodiesRequests = 600

func askForNoBodies(t *testing.T, lb *balancer) {
	c := lbtest.Dial(t, strings.TrimPrefix(lb.url, "http://"))
	requests := []struct {
		method, target string
		status         int
	}{{"HEAD", "/200", 200}, {"HEAD", "/chunked", 200}, {"GET", "/304", 304}, {"GET", "/204", 204}, {"HEAD", "/304", 304}}
	for i := range bodiesRequests {
		r := requests[i%len(requests)]
		c.Send(r.method + " " + r.target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		got := c.ReadResponse(r.method)
		if got.Status() == 502 { // a 204 with a length is one
			continue
		}
		if got.Status() != r.status || got.Field("Content-Length") == "7" {
			t.Errorf("%s %s: %q, %v", r.method, r.target, got.Head, got.Err)
			return
		}
	}
}

func askForOwn(t *testing.T, lb *balancer, number int) {
	c := lbtest.Dial(t, strings.TrimPrefix(lb.url, "http://"))
	for i := range bodiesRequests {
		target := fmt.Sprintf("/own-%d-%d", number, i)
		c.Send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Status() != 200 || r.Body != target {
			t.Errorf("%s: %q %q, %v", target, r.Head, r.Body, r.Err)
			return
		}
	}
}
