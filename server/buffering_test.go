package server_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// buffered is the configuration of a site that forwards everything to the backends, with more attributes of the proxy block and of
// the pool.
func buffered(proxy, pool string, backends ...string) string {
	text := "site \"s\" {\n  route \"/\" {\n    proxy {\n      pool = \"app\"\n" + proxy + "\n    }\n  }\n}\npool \"app\" {\n"
	for _, b := range backends {
		text += "  backend \"" + b + "\" {}\n"
	}
	return text + pool + "\n}\n"
}

// bufferings are the ways to buffer both sides.
var bufferings = map[string]string{
	"memory":    "      buffer_request = \"1MiB\"\n      buffer_response = \"1MiB\"",
	"directory": "      buffer_request = \"1MiB\"\n      buffer_response = \"1MiB\"\n      buffer_dir = \"$DIR\"",
}

// pattern returns n bytes without repetitions.
func pattern(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d;", i)
	}
	return b.String()[:n]
}

// unlinked returns how many unlinked files this process has open.
func unlinked(t testing.TB) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "/") && strings.HasSuffix(to, "(deleted)") {
			n++
		}
	}
	return n
}

// wantNoFiles waits until no file of a buffered body is open.
func wantNoFiles(t testing.TB) {
	t.Helper()
	lbtest.Eventually(t, "no file of a body is open", func() bool { return unlinked(t) == 0 })
}

// TestBufferedRequest: the request is sent to a backend when its body is complete, and is suspended until then.
func TestBufferedRequest(t *testing.T) {
	for kind, text := range bufferings {
		for _, size := range []int{10, 64 << 10, 64<<10 + 1, 200_000, 1 << 20} {
			for _, framing := range []string{"length", "chunks", "trailer", "expect"} {
				t.Run(fmt.Sprintf("%s/%d/%s", kind, size, framing), func(t *testing.T) {
					b := record(t, lbtest.OK("x"))
					lb := start(t, buffered(text, "", b.Addr))
					body := pattern(size)
					first, second := body[:size/2], body[size/2:]
					fields, want := fmt.Sprintf("Content-Length: %d\r\n", size), fmt.Sprintf("Content-Length: %d", size)
					switch framing {
					case "expect":
						fields += "Expect: 100-continue\r\n"
					case "chunks", "trailer":
						fields = "Transfer-Encoding: chunked\r\n"
						first, second = fmt.Sprintf("%x\r\n%s\r\n", len(first), first), fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(second), second)
						if framing == "trailer" {
							fields += "Trailer: X-End\r\n"
							second = second[:len(second)-2] + "X-End: e\r\n\r\n"
							want = "Transfer-Encoding: chunked"
						}
					}
					c := lb.dial()
					c.Send("POST /the/target?q HTTP/1.1\r\nHost: a.example\r\nX-Own: own\r\n" + fields + "\r\n")
					if framing == "expect" && !c.Expect(t, "HTTP/1.1 100 Continue\r\n\r\n") {
						return
					}
					c.Send(first)
					lb.paused("s")
					asked := b.Conns.Load()
					c.Send(second)
					if asked != 0 {
						t.Error("the backend was asked before the body had come")
					}
					if r := c.ReadResponse("POST"); r.Status() != 200 || r.Field("Connection") != "" {
						t.Fatalf("%q %q %v", r.Head, r.Body, r.Err)
					}
					head, got := b.last()
					if !strings.HasPrefix(head, "POST /the/target?q HTTP/1.1\r\nHost: a.example\r\nX-Own: own\r\n") || !strings.Contains(head, want+"\r\n") ||
						strings.Contains(head, "Expect") {
						t.Errorf("the backend read %q", head)
					}
					if got != body {
						t.Errorf("the backend read %d bytes of %d", len(got), size)
					}
					c.Send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
					if r := c.ReadResponse("GET"); r.Status() != 200 {
						t.Errorf("then %q %v", r.Head, r.Err)
					}
					wantNoFiles(t)
					lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
				})
			}
		}
	}
}

// TestBufferedTrailer: the trailer section follows a buffered body.
func TestBufferedTrailer(t *testing.T) {
	for _, size := range []int{10, 200_000} {
		raw := make(chan string, 1)
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			c.ReadHead()
			var all strings.Builder
			piece := make([]byte, 4096)
			for !strings.HasSuffix(all.String(), "\r\n\r\n") {
				n, err := c.Read(piece)
				if err != nil {
					return
				}
				all.Write(piece[:n])
			}
			raw <- all.String()
			c.Send(lbtest.OK("x"))
		})
		lb := start(t, buffered(bufferings["directory"], "", b.Addr))
		c := lb.dial()
		c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n%x\r\n%s\r\n0\r\nX-End: e\r\n\r\n", size, pattern(size)))
		if r := c.ReadResponse("POST"); r.Status() != 200 {
			t.Fatalf("%q", r.Head)
		}
		if got, _ := lbtest.Wait(t, "the body", raw); !strings.HasSuffix(got, "\r\n0\r\nX-End: e\r\n\r\n") {
			t.Errorf("the backend read …%q", got[max(0, len(got)-40):])
		}
	}
}

// TestLargeBodyIsNotBuffered: a body that exceeds the buffer is streamed, from the start if its length is known, and arrives
// complete.
func TestLargeBodyIsNotBuffered(t *testing.T) {
	for kind, text := range bufferings {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", kind, chunked), func(t *testing.T) {
				heads, bodies := make(chan string, 1), make(chan string, 1)
				b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
					head := c.ReadHead()
					heads <- head
					body, _ := c.ReadBody(head)
					bodies <- body
					c.Send(lbtest.OK("x"))
				})
				lb := start(t, buffered(text, "", b.Addr))
				const size = 1<<20 + 1
				body := pattern(size)
				fields, first, second := fmt.Sprintf("Content-Length: %d\r\n", size), body[:100], body[100:]
				if chunked {
					fields, first, second = "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s", size, body), "\r\n0\r\n\r\n"
				}
				c := lb.dial()
				c.Send("PUT / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + first)
				lbtest.Wait(t, "the head", heads) // before the end
				lb.paused("s")
				c.Send(second)
				if r := c.ReadResponse("PUT"); r.Status() != 200 {
					t.Fatalf("%q", r.Head)
				}
				if got, _ := lbtest.Wait(t, "the body", bodies); got != body {
					t.Errorf("the backend read %d bytes", len(got))
				}
				wantNoFiles(t)
			})
		}
	}
}

// TestBufferedRequestIsSentAgain: a completely buffered request is retried on another backend if its method allows that.
func TestBufferedRequestIsSentAgain(t *testing.T) {
	for kind, text := range bufferings {
		for _, method := range []string{"PUT", "POST"} {
			for _, failure := range []string{"reset", "503", "early 503"} {
				t.Run(kind+"/"+method+"/"+failure, func(t *testing.T) {
					const size = 700_000
					bad := lbtest.NewBackend(t, func(c *lbtest.Conn) {
						if failure == "early 503" {
							c.ReadHead()
						} else if head, _ := c.ReadRequest(); head == "" {
							return
						}
						if failure == "reset" {
							c.Reset()
							return
						}
						c.Send("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")
						_, _ = c.Ended()
					})
					good := record(t, lbtest.OK("x"))
					lb := start(t, buffered(text, "  balance = \"first\"\n  eject {\n    failures = 0\n  }\n", bad.Addr, good.Addr))
					c := lb.dial()
					c.Send(fmt.Sprintf("%s / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", method, size, pattern(size)))
					want := 200
					if method == "POST" {
						want = map[string]int{"reset": 502, "503": 503, "early 503": 503}[failure]
					}
					if r := c.ReadResponse(method); r.Status() != want {
						t.Errorf("%q %q, want %d", r.Head, r.Body, want)
					}
					if _, body := good.last(); want == 200 && body != pattern(size) {
						t.Errorf("the good backend read %d bytes", len(body))
					}
					wantNoFiles(t)
					lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+bad.Addr+`"}`, "0")
				})
			}
		}
	}
}

// TestBufferedRequestEnds: body limits also apply while a body is buffered, and no backend sees a request whose body stays
// incomplete.
func TestBufferedRequestEnds(t *testing.T) {
	for _, tc := range []struct {
		name, limits, fields, body string
		leave                      func(c *lbtest.Conn)
		code                       string
	}{
		{name: "stalls", limits: "body_idle_timeout = \"300ms\"", fields: "Content-Length: 200000", body: pattern(100_000), code: "408"},
		{name: "disconnects", fields: "Content-Length: 200000", body: pattern(100_000), leave: func(c *lbtest.Conn) { c.Close() }, code: "499"},
		{name: "resets", fields: "Content-Length: 200000", body: pattern(100_000), leave: func(c *lbtest.Conn) { c.Reset() }, code: "499"},
		{name: "ends early", fields: "Content-Length: 200000", body: pattern(100_000), leave: func(c *lbtest.Conn) { c.CloseWrite() }, code: "400"},
		{name: "too large", limits: "body_size = \"150KB\"", fields: "Transfer-Encoding: chunked", body: "30d40\r\n" + pattern(200_000), code: "413"},
		{name: "malformed", fields: "Transfer-Encoding: chunked", body: "186a0\r\n" + pattern(100_000) + "xx", code: "400"},
	} {
		for kind, text := range bufferings {
			t.Run(tc.name+"/"+kind, func(t *testing.T) {
				b := record(t, lbtest.OK("x"))
				lb := start(t, "limits {\n"+tc.limits+"\n}\n"+buffered(text, "", b.Addr))
				c := lb.dial()
				c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + tc.fields + "\r\n\r\n" + tc.body)
				if tc.leave != nil {
					lb.paused("s")
					tc.leave(c)
				}
				if tc.code != "499" {
					if r := c.ReadResponse("POST"); fmt.Sprint(r.Status()) != tc.code {
						t.Errorf("%q %v, want %s", r.Head, r.Err, tc.code)
					}
				}
				lb.wantMetric(`lb_requests_total{site="s",code="`+tc.code+`"}`, "1")
				lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
				wantNoFiles(t)
				if n := b.Conns.Load(); n != 0 {
					t.Errorf("%d connections to the backend", n)
				}
			})
		}
	}
}

// TestEarlyResponseToBufferedRequest: a refusal by a backend that has not read the whole body is relayed.
func TestEarlyResponseToBufferedRequest(t *testing.T) {
	for kind, text := range bufferings {
		t.Run(kind, func(t *testing.T) {
			text := strings.ReplaceAll(text, "1MiB", "32MiB")
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				c.ReadHead()
				c.Send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
				_, _ = c.Ended()
			})
			lb := start(t, buffered(text, "", b.Addr))
			c := lb.dial()
			const size = 30 << 20
			for range 2 { // the client's connection stays: all of the body was read
				c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)))
				if r := c.ReadResponse("POST"); r.Status() != 413 || r.Body != "big" {
					t.Fatalf("%q %q %v", r.Head, r.Body, r.Err)
				}
			}
			wantNoFiles(t)
			lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
		})
	}
}

// TestBufferDirVanishes: bodies that cannot be written to the directory are streamed completely, and one log line reports that.
func TestBufferDirVanishes(t *testing.T) {
	const size = 900_000
	bodies := make(chan string, 8)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, body := c.ReadRequest()
			if head == "" {
				return
			}
			bodies <- body
			c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, pattern(size)))
		}
	})
	lb := start(t, strings.ReplaceAll(buffered(bufferings["directory"], "", b.Addr), "$DIR", t.TempDir()))
	dir := lb.text[strings.Index(lb.text, "buffer_dir = \"")+14:]
	if err := os.Remove(dir[:strings.IndexByte(dir, '"')]); err != nil {
		t.Fatal(err)
	}
	c := lb.dial()
	for _, fields := range []string{"Content-Length: 900000", "Transfer-Encoding: chunked"} {
		body := pattern(size)
		if fields[0] == 'T' {
			body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, body)
		}
		c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n\r\n" + body)
		if got, _ := lbtest.Wait(t, "the body", bodies); got != pattern(size) {
			t.Errorf("the backend read %d bytes", len(got))
		}
		if r := c.ReadResponse("POST"); r.Status() != 200 || r.Body != pattern(size) {
			t.Errorf("%q, %d bytes, %v", r.Head, len(r.Body), r.Err)
		}
	}
	lb.stop()
	if n := strings.Count(lb.read("lb.log"), "cannot buffer bodies"); n != 1 {
		t.Errorf("%d lines in the log:\n%s", n, lb.read("lb.log"))
	}
}

// TestMemoryOfBufferedBodies: with a buffer directory, a slow client uses little more than 64 KiB of memory, and nothing remains
// after it disconnects.
func TestMemoryOfBufferedBodies(t *testing.T) {
	const clients, size = 1000, 300_000
	b := record(t, lbtest.OK("x"))
	lb := start(t, buffered(bufferings["directory"], "", b.Addr))
	body := pattern(size)
	lb.get("/") // allocates what is allocated once
	before, descriptors := heap(), openDescriptors(t)
	conns := make([]net.Conn, clients)
	for i := range conns {
		if conns[i] = lbtest.TryDial(lb.addr()); conns[i] == nil {
			t.Fatal("cannot connect")
		}
		defer conns[i].Close()
		fmt.Fprintf(conns[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, body[:size-1])
	}
	lbtest.Eventually(t, "all bodies are held", func() bool { return unlinked(t) == clients })
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, fmt.Sprint(clients))
	each := (heap() - before) / clients
	t.Logf("%d bytes a client, the test's own part included", each)
	if each > 64<<10+32<<10 {
		t.Errorf("%d bytes a client", each)
	}
	for i, c := range conns {
		if i%2 == 0 {
			c.Close()
			continue
		}
		_, _ = io.WriteString(c, body[size-1:])
		response := make([]byte, 12)
		if _, err := io.ReadFull(c, response); string(response) != "HTTP/1.1 200" {
			t.Fatalf("%q %v", response, err)
		}
		if _, got := b.last(); got != body {
			t.Fatalf("the backend read %d bytes", len(got))
		}
		c.Close()
	}
	wantNoFiles(t)
	lb.wantMetric(`lb_requests_in_flight{site="s"}`, "0")
	lbtest.Eventually(t, "no descriptor is left", func() bool { return openDescriptors(t) <= descriptors+10 })
}

// heap returns the bytes in use.
func heap() int {
	runtime.GC()
	runtime.GC() // sync.Pool keeps its items over one collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}
