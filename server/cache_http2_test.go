package server_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// TestCacheHTTP2Backend: responses of backends that speak HTTP/2 are stored, confirmed, replaced and left alone as those of others.
func TestCacheHTTP2Backend(t *testing.T) {
	for _, protocol := range []string{"h2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			var asked atomic.Int64
			var failing atomic.Bool
			release := make(chan bool)
			b := startHTTP2Backend(t, protocol == "h2", func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				h := w.Header()
				h.Set("Cache-Control", "max-age=60")
				h.Set("ETag", `"1"`)
				switch {
				case failing.Load():
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				case r.Header.Get("If-None-Match") == `"1"`:
					w.WriteHeader(http.StatusNotModified)
					return
				}
				switch r.URL.Path {
				case "/stale":
					h.Set("Age", "70")
				case "/error":
					h.Set("Age", "70")
					h.Set("Cache-Control", "max-age=60, stale-if-error=100")
				case "/private":
					h.Set("Cache-Control", "private")
				case "/trailers":
					h.Set("Trailer", "X-T")
					defer h.Set("X-T", "1")
				case "/cut":
					_, _ = io.WriteString(w, "012")
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				case "/short":
					h.Set("Content-Length", "20")
				case "/slow":
					<-release
				}
				_, _ = io.WriteString(w, "0123456789")
			})
			more := "protocol = \"" + protocol + "\"\n"
			if protocol == "h2" {
				more += "tls {\n  verify = false\n}\n"
			}
			lb := start(t, plainHTTP2+strings.Replace(proxyTo(more, b.Listener.Addr().String()), "route \"/\" {", "route \"/\" {\n    cache {}", 1))
			for _, tc := range []struct {
				path, want string // Cache-Status of the second response
				asked      int64
				lines      []string
				body       string
			}{
				{"/", "lb; hit", 1, nil, "0123456789"},
				{"/range", "lb; hit", 1, []string{"Range: bytes=2-4"}, "234"},
				{"/condition", "lb; hit", 1, []string{`If-None-Match: "1"`}, ""},
				{"/stale", "lb; fwd=stale; fwd-status=304", 2, nil, "0123456789"},
				{"/private", "lb; fwd=uri-miss", 2, nil, "0123456789"},
				{"/trailers", "lb; fwd=uri-miss", 2, nil, "0123456789"},
			} {
				before := asked.Load()
				lb.get(tc.path)
				r := lb.get(tc.path, tc.lines...)
				if !strings.HasPrefix(r.Field("Cache-Status"), tc.want) || r.Body != tc.body || asked.Load()-before != tc.asked {
					t.Errorf("%s: %d requests\n%s%q", tc.path, asked.Load()-before, r.Head, r.Body)
				}
			}
			for _, path := range []string{"/cut", "/short"} {
				for range 2 {
					before := asked.Load()
					c := lb.dial()
					c.Send("GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
					_, _ = io.ReadAll(c)
					c.Close()
					if asked.Load() == before {
						t.Errorf("%s: an incomplete response is stored", path)
					}
				}
			}
			lb.get("/error")
			failing.Store(true)
			if r := lb.get("/error"); r.Status() != 200 || r.Body != "0123456789" || !strings.Contains(r.Field("Cache-Status"), "stale-if-error") {
				t.Errorf("%s", r.Head)
			}
			failing.Store(false)

			// A POST invalidates, and clients of HTTP/2 wait for one another.
			c := lb.dialHTTP2()
			c.Get(1, "/page")
			c.Await(1)
			c.Post(3, "/page")
			c.WriteData(3, true, []byte("x"))
			c.Await(3)
			c.Get(5, "/page")
			if s := c.Await(5); s.Field("cache-status") != "lb; fwd=uri-miss; stored" {
				t.Errorf("%v", s.Fields)
			}
			before := asked.Load()
			for id := uint32(7); id <= 15; id += 2 {
				c.Get(id, "/slow")
			}
			lbtest.Eventually(t, "the backend is asked", func() bool { return asked.Load() > before })
			lb.wantMetric(`lb_requests_in_flight{site="s"}`, "5")
			close(release)
			for id := uint32(7); id <= 15; id += 2 {
				if s := c.Await(id); s.Status != 200 || string(s.Body) != "0123456789" {
					t.Errorf("%v", s.Fields)
				}
			}
			if n := asked.Load() - before; n != 1 {
				t.Errorf("the backend got %d requests", n)
			}
		})
	}
}
