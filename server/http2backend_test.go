package server_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"lb/admin"
	"lb/internal/lbtest"
)

// startHTTP2Backend starts a server of net/http that speaks nothing but HTTP/2, with TLS or without.
func startHTTP2Backend(t testing.TB, secure bool, serve http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(serve)
	s.Config.Protocols = &http.Protocols{}
	if secure {
		s.Config.Protocols.SetHTTP2(true)
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{NextProtos: []string{"h2"}}
		s.StartTLS()
	} else {
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// TestHTTP2ToBackends: requests of both versions reach a backend by HTTP/2, with TLS and without, and so do health checks.
func TestHTTP2ToBackends(t *testing.T) {
	for _, protocol := range []string{"h2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			var probes atomic.Int64
			b := startHTTP2Backend(t, protocol == "h2", func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.URL.Path == "/health" {
					if r.ProtoMajor == 2 && r.Header.Get("User-Agent") != "" {
						probes.Add(1)
					}
					_, _ = io.WriteString(w, "fine")
					return
				}
				fmt.Fprintf(w, "%s %s %s %s %s", r.Proto, r.Method, r.RequestURI, r.Host, body)
			})
			more := "protocol = \"" + protocol + "\"\nhealth {\n  path = \"/health\"\n  body = \"fine\"\n}\n"
			if protocol == "h2" {
				more += "tls {\n  verify = false\n}\n"
			}
			lb := start(t, plainHTTP2+proxyTo(more, b.Listener.Addr().String()))
			lbtest.Eventually(t, "the backend is up", func() bool {
				return lb.metric(`lb_backend_state{pool="app",backend="`+b.Listener.Addr().String()+`",state="up"}`) == "1"
			})
			if probes.Load() == 0 {
				t.Error("there was no probe by HTTP/2")
			}
			if r := lb.get("/a%2fb?c"); r.Status() != 200 || r.Body != "HTTP/2.0 GET /a%2fb?c test " {
				t.Errorf("%+v", r)
			}
			c := lb.dialHTTP2()
			c.Post(1, "/a", "cookie", "a=1")
			c.WriteData(1, true, []byte("body"))
			if r := c.Await(1); r.Status != 200 || r.Body != "HTTP/2.0 POST /a a.test body" || !r.Ended {
				t.Errorf("%+v", r)
			}
			if e := lb.explain(admin.Question{URL: "http://a.test:PORT/"}); len(e.Pools) != 1 || e.Pools[0].Protocol != protocol {
				t.Errorf("%+v", e)
			}
		})
	}
}

// TestHTTP2ToHTTP1Backend: a backend that does not speak HTTP/2 is a failed connection, of which the log tells the cause.
func TestHTTP2ToHTTP1Backend(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("protocol = \"h2c\"", b.Addr))
	if r := lb.get("/"); r.Status() != 502 {
		t.Errorf("%+v", r)
	}
	lbtest.Eventually(t, "the log tells why", func() bool { return strings.Contains(lb.read("access.log"), "HTTP/2") })
}
