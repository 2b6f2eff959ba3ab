//go:build e2e

package apps

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// The applications respond with INSIDE if one of the usual ways to interpret the path leads below /admin/.
const (
	insideNode = `
const path = require('path');
const reads = [u => u, u => decodeURIComponent(u), u => path.posix.normalize(u), u => path.posix.normalize(decodeURIComponent(u)),
  u => new URL(u, 'http://a').pathname, u => decodeURIComponent(new URL(u, 'http://a').pathname), u => require('url').parse(u).pathname];
require('http').createServer((q, s) => {
  const inside = reads.some(f => { try { return f(q.url).startsWith('/admin/'); } catch { return false; } });
  s.end(inside ? 'INSIDE' : 'x');
}).listen(process.env.PORT, '127.0.0.1');`

	insideFlask = `
import os, flask, posixpath
app = flask.Flask("inside", static_folder=None)
@app.route("/admin/", defaults={"path": ""})
@app.route("/admin/<path:path>")
def admin(path):
    return "INSIDE"
@app.route("/", defaults={"path": ""})
@app.route("/<path:path>")
def page(path):
    return "INSIDE" if posixpath.normpath(flask.request.path).startswith("/admin/") else "x"
app.run(port=int(os.environ["PORT"]))`

	insideNginx = `
daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
events {}
http { access_log off;
  client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  keepalive_requests 1000000;
  server { listen ADDRESS; location / { return 200 'x'; } location /admin/ { return 200 'INSIDE'; } } }`
)

// TestPathsToApplications: no spelling of a path reaches the part of an application that lb denies, though many do
// without lb.
func TestPathsToApplications(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, address string) *process{
		"node": func(t *testing.T, address string) *process {
			return launch(t, []string{"PORT=" + port(address)}, need(t, "node"), "-e", insideNode)
		},
		"flask": func(t *testing.T, address string) *process {
			return launch(t, []string{"PORT=" + port(address)}, flaskPython(t), "-c", insideFlask)
		},
		"nginx": func(t *testing.T, address string) *process {
			nginx, dir := need(t, "nginx"), t.TempDir()
			write(t, dir, "nginx.conf", strings.NewReplacer("DIR", dir, "ADDRESS", address).Replace(insideNginx))
			return launch(t, nil, nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := freePorts(t, 1)[0]
			start(t, address)
			lb := startLB(t, t.TempDir(), `
listen "LISTEN" {}
admin {
  listen = "ADMIN"
}
log {
  level = "error"
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
  route "/admin/" {
    deny = ["127.0.0.0/8"]
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "`+address+`" {}
}
`)
			eventually(t, "the application responds", func() bool { status, _ := get(lb.url + "/ready"); return status == 200 })
			pieces := []string{"/", "/", "/", ".", "..", "../", "%2e", "%2F", "%5c", `\`, ";", "%3b", "%25", "2e", "2f", "admin", "admin/", "admin/", "%61dmin", "a", "x"}
			random := rand.New(rand.NewPCG(3, 4))
			inside, passed := 0, 0
			direct, through := lbtest.Dial(t, address), lbtest.Dial(t, strings.TrimPrefix(lb.url, "http://"))
			for range 3000 {
				target := "/"
				for range 1 + random.IntN(7) {
					target += pieces[random.IntN(len(pieces))]
				}
				request := "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n"
				ask := func(c **lbtest.Conn, address string) lbtest.Response {
					(*c).Send(request)
					r := (*c).ReadResponse("GET")
					if r.Err != nil || strings.EqualFold(r.Field("Connection"), "close") {
						(*c).Close()
						*c = lbtest.Dial(t, address)
					}
					return r
				}
				if ask(&direct, address).Body == "INSIDE" {
					inside++
				}
				r := ask(&through, strings.TrimPrefix(lb.url, "http://"))
				if r.Body == "INSIDE" {
					t.Errorf("%s is inside", target)
				}
				if r.Status() == 200 {
					passed++
				}
			}
			if inside < 100 || passed < 100 {
				t.Errorf("%d of the paths lead inside without lb, and %d pass it", inside, passed)
			}
		})
	}
}
