//go:build !portable

package transport

import (
	"crypto/tls"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"lb/internal/lbtest"
	"lb/netloop"
)

// TestUndelivered: a reused connection that the backend closes without a response gives an error with Sent unset only if the backend
// cannot have read any of the request.
func TestUndelivered(t *testing.T) {
	pair := lbtest.SelfSigned(t)
	l := startLoop(t)
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		for _, tc := range []struct {
			name string
			ends string // before the request, or after it was read
			unix bool
			sent bool
		}{
			{"closed before", "before", false, false},
			{"closed after it was read", "after", false, true},
			{"half closed after it was read", "half after", false, true},
			{"reset after it was read", "reset", false, true},
			{"unix, closed before", "before", true, false},
			{"unix, closed after it was read", "after", true, true},
		} {
			if version != 0 && tc.unix {
				continue
			}
			name := map[uint16]string{0: "plain ", tls.VersionTLS12: "TLS 1.2 ", tls.VersionTLS13: "TLS 1.3 "}[version] + tc.name
			t.Run(name, func(t *testing.T) {
				end := make(chan struct{})
				script := func(c *lbtest.Conn) {
					if c.N > 1 {
						return
					}
					for range 3 { // so that there are acknowledged bytes before the request
						c.ReadRequest()
						c.Send(lbtest.OK("x"))
					}
					if tc.ends == "before" {
						<-end
						return
					}
					c.ReadRequest()
					switch tc.ends {
					case "half after":
						c.CloseWrite()
						<-end
					case "reset":
						c.Reset()
					}
				}
				opt := Options{MaxIdle: 1, IdleTimeout: time.Minute}
				switch {
				case version != 0:
					opt.TLS = &tls.Config{InsecureSkipVerify: true}
					opt.Address = lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: version}, script).Addr
				case tc.unix:
					opt.Address = lbtest.NewBackendOn(t, "unix:"+filepath.Join(t.TempDir(), "app.sock"), script).Addr
				default:
					opt.Address = lbtest.NewBackend(t, script).Addr
				}
				defer close(end)
				s := New(opt, NewWorkers([]*netloop.Loop{l.loop}))
				const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
				for range 3 {
					if x := l.ask(s, post); x.err != nil {
						t.Fatal(x.err)
					}
				}
				x := &exchange{loop: l, request: post, done: make(chan struct{})}
				l.do(func() { x.conn, x.ready = s.Get(l.loop, x, false) })
				if !x.ready {
					t.Fatal("got a new connection")
				}
				if tc.ends == "before" {
					end <- struct{}{}
					lbtest.Eventually(t, "the end of the stream", func() (ended bool) {
						l.do(func() { ended = x.conn.HasHungUp() })
						return ended
					})
				}
				if s.RecentlyStale() {
					t.Error("RecentlyStale is true before the connection was closed")
				}
				l.do(x.send)
				lbtest.Wait(t, "the end", x.done)
				var e *Error
				if !errors.As(x.err, &e) || !e.StaleConn() || e.Sent != tc.sent {
					t.Errorf("%+v, want sent %v", e, tc.sent)
				}
				if !s.RecentlyStale() {
					t.Error("RecentlyStale is false after the connection was closed")
				}
				closeClient(l, s)
			})
		}
	}
}
