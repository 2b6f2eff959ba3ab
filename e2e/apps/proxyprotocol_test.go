//go:build e2e

package apps

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// proxiedNginx and proxiedHAProxy respond with what they read in the PROXY header of the connection: the client and where it connected to;
// HAProxy also with the server name and the unique ID of version 2.
const (
	proxiedNginx = `
daemon off; master_process off; pid DIR/pid; error_log stderr;
events {}
http {
  access_log off;
  server {
    listen ADDRESS proxy_protocol;
    location / {
      return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port";
    }
  }
}
`
	proxiedHAProxy = `
defaults
  mode http
  timeout client 9s
frontend f
  bind ADDRESS accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port] %[fc_pp_authority] %[fc_pp_unique_id]"
`
	proxyingConfig = `trusted_proxies = ["127.0.0.1"]
listen "LISTEN" {
  proxy_protocol = true
  tls {
    certificate {
      cert = "DIR/c.pem"
      key  = "DIR/c.key"
    }
  }
}
admin {
  listen = "ADMIN"
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
  proxy_protocol = "%s"
  health {
    interval = "100ms"
  }
}
`
)

// TestProxyProtocolToPrograms: nginx and HAProxy read the headers of both versions, of requests and of health checks.
func TestProxyProtocolToPrograms(t *testing.T) {
	openssl := need(t, "openssl")
	for kind, program := range map[string]func(t *testing.T, address string) *process{
		"nginx": func(t *testing.T, address string) *process {
			nginx, dir := need(t, "nginx"), t.TempDir()
			write(t, dir, "nginx.conf", strings.NewReplacer("DIR", dir, "ADDRESS", address).Replace(proxiedNginx))
			return launch(t, nil, nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
		},
		"haproxy": func(t *testing.T, address string) *process {
			haproxy, dir := need(t, "haproxy"), t.TempDir()
			write(t, dir, "haproxy.cfg", strings.ReplaceAll(proxiedHAProxy, "ADDRESS", address))
			return launch(t, nil, haproxy, "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
		},
	} {
		t.Run(kind, func(t *testing.T) {
			address := freePorts(t, 1)[0]
			program(t, address)
			for _, version := range []string{"v1", "v2"} {
				dir := t.TempDir()
				if out, err := exec.Command(openssl, "req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=clock.test", "-newkey", "ec",
					"-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", dir+"/c.key", "-out", dir+"/c.pem").CombinedOutput(); err != nil {
					t.Fatalf("openssl: %v %s", err, out)
				}
				lb := startLB(t, dir, fmt.Sprintf(proxyingConfig, address, version))
				eventually(t, "the health check passes", func() bool {
					_, text := get("http://" + lb.admin + "/api/v1/pools/app")
					return strings.Contains(text, `"active":"up"`)
				})
				for _, source := range []string{"203.0.113.7", "2001:db8::7"} {
					response, local, err := getBehindProxy(strings.TrimPrefix(lb.url, "http://"), source)
					if err != nil {
						t.Fatalf("%s, %s: %v", version, source, err)
					}
					id := response.Header.Get("X-Request-Id")
					b, _ := io.ReadAll(response.Body)
					want := source + ":4567 " + local
					if strings.Contains(source, ":") {
						want = source + ":4567 ::ffff:" + local
					}
					if version == "v2" && kind == "haproxy" {
						want += " clock.test " + id
					}
					got := strings.TrimSpace(string(b))
					if got != want {
						t.Errorf("%s: %q, want %q", version, got, want)
					}
				}
			}
		})
	}
}

// getBehindProxy sends a request through TLS on a connection whose PROXY header names the client. local is the address that it connected to.
func getBehindProxy(address, source string) (response *http.Response, local string, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, "", err
	}
	family := "TCP4 " + source + " 192.0.2.1"
	if strings.Contains(source, ":") {
		family = "TCP6 " + source + " 2001:db8::1"
	}
	if _, err := fmt.Fprintf(c, "PROXY %s 4567 443\r\n", family); err != nil {
		return nil, "", err
	}
	secure := tls.Client(c, &tls.Config{ServerName: "clock.test", InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if _, err := fmt.Fprint(secure, "GET / HTTP/1.1\r\nHost: clock.test\r\nConnection: close\r\n\r\n"); err != nil {
		return nil, "", err
	}
	response, err = http.ReadResponse(bufio.NewReader(secure), nil)
	return response, address, err
}
