package server_test

import (
	"fmt"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// sized returns a response whose head has exactly n bytes.
func sized(n int) string {
	const rest = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \r\n\r\n"
	return strings.Replace(rest, "X: ", "X: "+strings.Repeat("a", n-len(rest)), 1) + "ok"
}

// TestResponseHeaderSize: a response head up to response_header_size is relayed completely. A larger one is a 502 with a separate
// reason.
func TestResponseHeaderSize(t *testing.T) {
	for setting, limit := range map[string]int{
		"": 32 << 10, "response_header_size = \"1KiB\"": 1 << 10, "response_header_size = \"9KiB\"": 9 << 10,
		"response_header_size = \"100KiB\"": 100 << 10, "response_header_size = \"1MiB\"": 1 << 20,
	} {
		for _, size := range []int{limit - 1, limit, limit + 1, limit + 40<<10} {
			for _, pieces := range []bool{false, true} {
				response := sized(size)
				b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
					for {
						if head, _ := c.ReadRequest(); head == "" {
							return
						}
						if pieces {
							c.SendPieces(response, 5000)
						} else {
							c.Send(response)
						}
					}
				})
				lb := start(t, proxyTo("  "+setting+"\n", b.Addr))
				for range 2 {
					r := lb.get("/")
					switch {
					case size <= limit && (r.Status() != 200 || r.Body != "ok" || len(r.Field("X")) < size-100):
						t.Errorf("%q, a head of %d bytes: %d %q", setting, size, r.Status(), r.Body)
					case size > limit && r.Status() != 502:
						t.Errorf("%q, a head of %d bytes: %d, want 502", setting, size, r.Status())
					}
				}
				if size > limit {
					lbtest.Eventually(t, "the reason in the log", func() bool {
						return strings.Contains(lb.read("access.log"), "larger than the pool's response_header_size")
					})
				}
				lb.stop()
			}
		}
	}
}

// TestInvalidHeadsDoNotEject: an invalid head, caused by the application or the request, ejects no backend, however often.
func TestInvalidHeadsDoNotEject(t *testing.T) {
	for name, response := range map[string]string{
		"too large":       sized(33 << 10),
		"too many fields": "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1200) + "Content-Length: 0\r\n\r\n",
		"control byte":    "HTTP/1.1 302 Found\r\nLocation: /a\x01b\r\nContent-Length: 0\r\n\r\n",
	} {
		script := func(c *lbtest.Conn) {
			for {
				head, _ := c.ReadRequest()
				switch {
				case head == "":
					return
				case strings.HasPrefix(head, "GET /good "):
					c.Send(lbtest.OK("good"))
				default:
					c.Send(response)
				}
			}
		}
		one, two := lbtest.NewBackend(t, script), lbtest.NewBackend(t, script)
		lb := start(t, proxyTo("  eject {\n    failures = 2\n  }\n", one.Addr, two.Addr))
		for range 20 {
			if r := lb.get("/"); r.Status() != 502 {
				t.Fatalf("%s: %d", name, r.Status())
			}
		}
		for _, b := range []*lbtest.Backend{one, two} {
			lb.wantMetric(fmt.Sprintf(`lb_backend_errors_total{pool="app",backend=%q,reason="protocol"}`, b.Addr), "10")
			lb.wantMetric(fmt.Sprintf(`lb_backend_ejections_total{pool="app",backend=%q}`, b.Addr), "0")
		}
		if r := lb.get("/good"); r.Body != "good" {
			t.Errorf("%s: afterwards %d", name, r.Status())
		}
		lb.stop()
	}
}

// TestControlBytesFromBackends: a response with a control byte in its head is rejected: one parser may ignore the byte, while
// another takes it for the end of a line or of the text.
func TestControlBytesFromBackends(t *testing.T) {
	var response string
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			c.Send(response)
		}
	})
	lb := start(t, proxyTo("  eject {\n    failures = 0\n  }\n", b.Addr))
	for c := range 256 {
		for _, place := range []string{"HTTP/1.1 200 O%cK\r\nA: b\r\n", "HTTP/1.1 200 OK\r\nA: x%cy\r\n", "HTTP/1.1 103 Early Hints\r\nLink: a%cb\r\n\r\nHTTP/1.1 200 OK\r\n"} {
			response = strings.Replace(place, "%c", string([]byte{byte(c)}), 1) + "Content-Length: 0\r\n\r\n"
			want := 200
			if c < 0x20 && c != '\t' || c == 0x7f {
				want = 502
			}
			conn := lb.dial()
			conn.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			r := conn.ReadResponse("GET")
			for r.Status() == 103 {
				r = conn.ReadResponse("GET")
			}
			if r.Status() != want {
				t.Errorf("%q: %d, want %d", response, r.Status(), want)
			}
			conn.Close()
		}
	}
}

// TestEmptyLineBeforeStatusLine: invalid at the beginning and after an interim response.
func TestEmptyLineBeforeStatusLine(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"\r\n", "\n", "\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n\r\n"} {
		for _, pieces := range []int{1, 1000} {
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				c.ReadHead()
				c.SendPieces(before+lbtest.OK("x"), pieces)
				c.ReadHead()
			})
			lb := start(t, proxyTo("", b.Addr))
			for _, request := range []string{aGet, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"} {
				c := lb.dial()
				c.Send(request)
				r := c.ReadResponse("GET")
				for r.Status() == 100 || r.Status() == 103 {
					r = c.ReadResponse("GET")
				}
				if r.Status() != 502 {
					t.Errorf("%q: %d %q, want 502", before, r.Status(), r.Head)
				}
				c.Close()
			}
			lbtest.Eventually(t, "the reason in the log", func() bool {
				return strings.Count(lb.read("access.log"), "an empty line precedes the status line") == 2
			})
			lb.stop()
		}
	}
}
