//go:build e2e

package apps

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"lb/internal/lbtest"
)

// The applications write these lines for each request and each invalid request that they read.
const (
	witnessNode = `
const server = require('http').createServer((q, s) => {
  console.log('READ', q.url, q.headers['x-request-id']);
  q.resume().on('end', () => s.end('x'));
});
server.on('clientError', (e, c) => { if (e.bytesParsed !== undefined) console.log('BROKEN', e.code); c.destroy(); });
server.listen(process.env.PORT, '127.0.0.1');`

	witnessFlask = `
import os, flask
app = flask.Flask("witness")
@app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
@app.route("/<path:path>", methods=["GET", "POST"])
def page(path):
    os.write(1, f"READ {flask.request.path} {flask.request.headers.get('X-Request-Id')}\n".encode())
    flask.request.get_data()
    return "x"
app.run(port=int(os.environ["PORT"]))`

	witnessNginx = `
daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
events {}
http { log_format witness 'READ $request_uri $http_x_request_id $status'; access_log /dev/stdout witness;
  client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  keepalive_requests 1000000;
  server { listen ADDRESS; location / { return 200 'x'; } } }`
)

// TestSmugglingToApplications sends every known mutation of the framing fields to real servers behind lb: none reads a
// request that lb has not read and marked, and none reads one twice.
func TestSmugglingToApplications(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, address string) *process{
		"node": func(t *testing.T, address string) *process {
			return launch(t, []string{"PORT=" + port(address)}, need(t, "node"), "-e", witnessNode)
		},
		"flask": func(t *testing.T, address string) *process {
			return launch(t, []string{"PORT=" + port(address)}, flaskPython(t), "-c", witnessFlask)
		},
		"nginx": func(t *testing.T, address string) *process {
			nginx, dir := need(t, "nginx"), t.TempDir()
			write(t, dir, "nginx.conf", strings.NewReplacer("DIR", dir, "ADDRESS", address).Replace(witnessNginx))
			return launch(t, nil, nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := freePorts(t, 1)[0]
			witness := start(t, address)
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
}
pool "app" {
  backend "`+address+`" {}
}
`)
			eventually(t, "the application responds", func() bool { status, _ := get(lb.url + "/ready"); return status == 200 })
			attacks := lbtest.Attacks()
			relayed := attackAll(t, strings.TrimPrefix(lb.url, "http://"), attacks)
			_ = lb.Process.Signal(os.Interrupt) // its connections end
			lb.exits(t)
			witness.kill()
			judge(t, witness.out.String(), attacks, relayed)
		})
	}
}

// attackAll sends the attacks and returns which ones the application responded to, by their number.
func attackAll(t *testing.T, address string, attacks []lbtest.Attack) []bool {
	const clients = 16
	relayed := make([]bool, len(attacks))
	var sending sync.WaitGroup
	for client := range clients {
		sending.Go(func() {
			for i := client; i < len(attacks); i += clients {
				c := lbtest.Dial(t, address)
				c.Send(attacks[i].Raw("/p/" + strconv.Itoa(i)))
				r := c.ReadResponse("POST")
				relayed[i] = r.Status() == 200
				if r.Err != nil || r.Status() != 200 && (r.Status() < 400 || r.Status() >= 500) {
					t.Errorf("%s: response %d, %v", attacks[i].Name, r.Status(), r.Err)
				}
				c.Close()
			}
		})
	}
	sending.Wait()
	return relayed
}

// judge checks an application's lines.
func judge(t *testing.T, lines string, attacks []lbtest.Attack, relayed []bool) {
	read := make([]int, len(attacks))
	for line := range strings.Lines(lines) {
		if strings.Contains(line, "BROKEN") || strings.Contains(line, " code 400,") {
			t.Errorf("the application received an invalid request: %s", line)
		}
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "READ" || fields[1] == "/ready" {
			continue
		}
		number, attack := strings.CutPrefix(fields[1], "/p/")
		i, err := strconv.Atoi(number)
		marked := len(fields[2]) == 32
		switch {
		case !marked, !attack && fields[1] != lbtest.SmuggledPath, attack && (err != nil || i >= len(read)):
			t.Errorf("the application read %q", line)
		case attack:
			read[i]++
		}
	}
	count := 0
	for i, a := range attacks {
		if read[i] > 1 || relayed[i] && read[i] != 1 {
			t.Errorf("%s: the application read it %d times", a.Name, read[i])
		}
		count += read[i]
	}
	if count == 0 {
		t.Error("the application read none")
	}
	t.Logf("%d attacks, %d read by the application as one request", len(attacks), count)
}
