package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestRefusedUpgrade: a 426 carries the protocols to upgrade to (RFC 9110 section 15.5.22). In other responses Upgrade is about
// the backend's connection and is removed.
func TestRefusedUpgrade(t *testing.T) {
	for _, tc := range []struct{ name, version, fields, response, want string }{
		{"426", "1.1", "", "HTTP/1.1 426 No\r\nUpgrade: websocket, x/2\r\nA: b\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno",
			"HTTP/1.1 426 No\r\nA: b\r\nContent-Length: 2\r\nUpgrade: websocket, x/2\r\nConnection: upgrade\r\n\r\n"},
		{"several fields, and the backend closes", "1.1", "", "HTTP/1.1 426 No\r\nUpgrade: a\r\nupgrade:b\r\nConnection: close, upgrade\r\nContent-Length: 2\r\n\r\nno",
			"HTTP/1.1 426 No\r\nContent-Length: 2\r\nUpgrade: a\r\nupgrade:b\r\nConnection: upgrade\r\n\r\n"},
		{"not named by Connection", "1.1", "", "HTTP/1.1 426 No\r\nUpgrade: a\r\nContent-Length: 2\r\n\r\nno",
			"HTTP/1.1 426 No\r\nContent-Length: 2\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n"},
		{"the client closes", "1.1", "Connection: close\r\n", "HTTP/1.1 426 No\r\nUpgrade: a\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
			"HTTP/1.1 426 No\r\nUpgrade: a\r\nTransfer-Encoding: chunked\r\nConnection: upgrade, close\r\n\r\n"},
		{"HTTP/1.0", "1.0", "Connection: keep-alive\r\n", "HTTP/1.1 426 No\r\nUpgrade: a\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nno",
			"HTTP/1.1 426 No\r\nContent-Length: 2\r\nUpgrade: a\r\nConnection: upgrade, keep-alive\r\n\r\n"},
		{"no field", "1.1", "", "HTTP/1.1 426 No\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 426 No\r\nContent-Length: 2\r\n\r\n"},
		{"403", "1.1", "", "HTTP/1.1 403 No\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n"},
		{"cut before its body", "1.1", "", "HTTP/1.1 426 No\r\nUpgrade: a\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\nnonsense", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := record(t, tc.response)
			lb := start(t, proxyTo("", b.Addr))
			c := lb.dial()
			c.Send("GET / HTTP/" + tc.version + "\r\nHost: a\r\n" + tc.fields + "\r\n")
			r := c.ReadResponse("GET")
			if tc.want == "" {
				if r.Status() != 502 || r.Field("Upgrade") != "" || r.Field("Connection") != "" {
					t.Errorf("%q", r.Head)
				}
				return
			}
			if got := without(r.Head, "X-Request-Id", "Date"); got != tc.want || r.Body != "no" {
				t.Errorf("%q %q, want %q", got, r.Body, tc.want)
			}
		})
	}
}

// TestRequestedUpgrades: the protocols that the client requests reach the backend as one list, except those that would carry
// requests past the routes and their rules.
func TestRequestedUpgrades(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, proxyTo("", b.Addr))
	for _, tc := range []struct{ fields, want string }{
		{"Connection: Upgrade\r\nUpgrade: websocket\r\n", "websocket"},
		{"Connection: keep-alive, UPGRADE\r\nupgrade: a/1 ,b,\r\nUpgrade: C\r\n", "a/1, b, C"},
		{"Connection: Upgrade\r\nUpgrade: h2c\r\n", ""},
		{"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: H2C\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", ""},
		{"Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n", "websocket"},
		{"Connection: Upgrade\r\nUpgrade: foo/2, h2c, h2c-16, h2, HTTP/2.0, TLS/1.2, bar\r\n", "foo/2, bar"},
		{"Connection: Upgrade\r\nUpgrade:\r\n", ""},
		{"Connection: Upgrade\r\nUpgrade: ,\r\n", ""},
		{"Connection: Upgrade\r\n", ""},
		{"Upgrade: websocket\r\n", ""},
	} {
		c := lb.dial()
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n" + tc.fields + "\r\n")
		if r := c.ReadResponse("GET"); r.Status() != 200 {
			t.Errorf("%q: %q", tc.fields, r.Head)
		}
		head, _ := b.last()
		connection := "Upgrade"
		if tc.want == "" {
			connection = ""
		}
		if got := strings.Join(lbtest.Fields(head, "Upgrade"), "|"); got != tc.want || strings.Join(lbtest.Fields(head, "Connection"), "|") != connection ||
			len(lbtest.Fields(head, "HTTP2-Settings")) > 0 {
			t.Errorf("%q became %q", tc.fields, head)
		}
		c.Close()
	}
}

// TestSwitchedProtocols: a 101 is relayed only if it names a protocol that the client requested (RFC 9110 section 7.8). Otherwise
// it is invalid, and its connection is not reused.
func TestSwitchedProtocols(t *testing.T) {
	const ask = "Connection: Upgrade\r\nUpgrade: a/1, WebSocket\r\nUpgrade: b\r\n"
	for _, tc := range []struct {
		name, version, fields, status, response string
		want                                    string // the head that the client gets; "": 502
	}{
		{"one", "1.1", ask, "HTTP/1.1 101 S", "Upgrade: A/1\r\nX: y\r\nConnection: upgrade\r\n", "HTTP/1.1 101 S\r\nX: y\r\nConnection: Upgrade\r\nUpgrade: A/1\r\n\r\n"},
		{"several layers", "1.1", ask, "HTTP/1.1 101 S", "Upgrade: b\r\nupgrade:a/1\r\nConnection: upgrade\r\n",
			"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: b\r\nupgrade:a/1\r\n\r\n"},
		{"no field", "1.1", ask, "HTTP/1.1 101 S", "Connection: upgrade\r\n", ""},
		{"empty field", "1.1", ask, "HTTP/1.1 101 S", "Connection: upgrade\r\nUpgrade: ,\r\n", ""},
		{"another protocol", "1.1", ask, "HTTP/1.1 101 S", "Connection: upgrade\r\nUpgrade: evil\r\n", ""},
		{"another version", "1.1", ask, "HTTP/1.1 101 S", "Connection: upgrade\r\nUpgrade: a/2\r\n", ""},
		{"no version", "1.1", ask, "HTTP/1.1 101 S", "Connection: upgrade\r\nUpgrade: a\r\n", ""},
		{"another beside", "1.1", ask, "HTTP/1.1 101 S", "Connection: upgrade\r\nUpgrade: b\r\nUpgrade: evil\r\n", ""},
		{"HTTP/1.0", "1.1", ask, "HTTP/1.0 101 S", "Connection: upgrade\r\nUpgrade: b\r\n", ""},
		{"one that is not passed on", "1.1", "Connection: Upgrade\r\nUpgrade: h2c, b\r\n", "HTTP/1.1 101 S", "Connection: upgrade\r\nUpgrade: h2c\r\n", ""},
		{"the client has HTTP/1.0", "1.0", ask, "HTTP/1.1 101 S", "Connection: upgrade\r\nUpgrade: b\r\n", ""},
		{"unasked", "1.1", "", "HTTP/1.1 101 S", "Connection: upgrade\r\nUpgrade: b\r\n", ""},
		{"asked with a body", "1.1", ask + "Content-Length: 1\r\n", "HTTP/1.1 101 S", "Connection: upgrade\r\nUpgrade: b\r\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				for first := true; ; first = false {
					head, _ := c.ReadRequest()
					switch {
					case head == "":
						return
					case !first:
						t.Errorf("a 101 was followed by %q", head)
					case strings.HasPrefix(head, "GET /next "):
						c.Send(lbtest.OK("next"))
						return
					}
					c.Send(tc.status + "\r\n" + tc.response + "\r\nzz")
				}
			})
			lb := start(t, proxyTo("", b.Addr))
			c := lb.dial()
			c.Send("GET / HTTP/" + tc.version + "\r\nHost: a\r\n" + tc.fields + "\r\n")
			if strings.Contains(tc.fields, "Content-Length") {
				c.Send("x")
			}
			r := c.ReadResponse("GET")
			if tc.want != "" {
				if got := without(r.Head, "X-Request-Id"); got != tc.want {
					t.Errorf("%q, want %q", got, tc.want)
				}
				c.Expect(t, "zz")
				return
			}
			if r.Status() != 502 || len(lbtest.Fields(r.Head, "Upgrade")) > 0 || strings.Contains(r.Body, "zz") {
				t.Errorf("%q %q", r.Head, r.Body)
			}
			lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="protocol"}`, "1")
			if r := lb.get("/next"); r.Body != "next" {
				t.Errorf("the next response is %q %q", r.Head, r.Body)
			}
		})
	}
}

// TestWebSocketInAList: lb recognizes a WebSocket by the protocol that the backend chose, so that it gets a close frame when lb
// stops.
func TestWebSocketInAList(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadHead()
		c.Send(goWebSocket)
		_, _ = c.Ended()
	})
	lb := start(t, proxyTo("  timeouts {\n    tunnel = \"100ms\"\n  }\n", b.Addr))
	c := lb.dial()
	c.Send(strings.Replace(askWebSocket, "Upgrade: websocket", "Upgrade: h2c, x, WebSocket", 1))
	c.ReadHead()
	if rest, orderly := c.Ended(); rest != goingAway || !orderly {
		t.Errorf("read %q, orderly %v", rest, orderly)
	}
}
