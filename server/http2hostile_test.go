package server_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// TestHTTP2BackendFaults: a response that breaks the rules of HTTP/2, or could be read in two ways as HTTP/1, is a 502. The next request is
// served, whether the connection goes on or not.
func TestHTTP2BackendFaults(t *testing.T) {
	ok := func(c *http2Script, id uint32) { c.head(id, false, ":status", "200") }
	begin := func(c *http2Script, id uint32, more ...string) {
		c.head(id, false, append([]string{":status", "200"}, more...)...)
		_ = c.WriteData(id, true, []byte("x"))
	}
	for name, answer := range map[string]func(c *http2Script, id uint32){
		"push": func(c *http2Script, id uint32) {
			_ = c.WritePushPromise(xhttp2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: c.fields(":method", "GET"), EndHeaders: true})
		},
		"even id":           func(c *http2Script, _ uint32) { ok(c, 2) },
		"idle stream":       func(c *http2Script, id uint32) { ok(c, id+2) },
		"no stream":         func(c *http2Script, _ uint32) { _ = c.WriteData(0, false, []byte("x")) },
		"DATA first":        func(c *http2Script, id uint32) { _ = c.WriteData(id, true, []byte("x")) },
		"no status":         func(c *http2Script, id uint32) { c.head(id, true, "a", "b") },
		"two statuses":      func(c *http2Script, id uint32) { c.head(id, true, ":status", "200", ":status", "200") },
		"status of 4":       func(c *http2Script, id uint32) { c.head(id, true, ":status", "2000") },
		"status 101":        func(c *http2Script, id uint32) { c.head(id, false, ":status", "101", "upgrade", "x") },
		"interim end":       func(c *http2Script, id uint32) { c.head(id, true, ":status", "103") },
		"request field":     func(c *http2Script, id uint32) { begin(c, id, ":path", "/") },
		"upper case":        func(c *http2Script, id uint32) { begin(c, id, "A", "b") },
		"empty name":        func(c *http2Script, id uint32) { begin(c, id, "", "b") },
		"colon":             func(c *http2Script, id uint32) { begin(c, id, "a:b", "c") },
		"CRLF":              func(c *http2Script, id uint32) { begin(c, id, "a", "b\r\nc: d") },
		"LF":                func(c *http2Script, id uint32) { begin(c, id, "a", "b\nc") },
		"NUL":               func(c *http2Script, id uint32) { begin(c, id, "a", "b\x00c") },
		"white space":       func(c *http2Script, id uint32) { begin(c, id, "a", " b") },
		"transfer-encoding": func(c *http2Script, id uint32) { begin(c, id, "transfer-encoding", "chunked") },
		"connection":        func(c *http2Script, id uint32) { begin(c, id, "connection", "close") },
		"two lengths":       func(c *http2Script, id uint32) { begin(c, id, "content-length", "1", "content-length", "1") },
		"list of lengths":   func(c *http2Script, id uint32) { begin(c, id, "content-length", "1, 1") },
		"signed length":     func(c *http2Script, id uint32) { begin(c, id, "content-length", "+1") },
		"no body":           func(c *http2Script, id uint32) { c.head(id, true, ":status", "200", "content-length", "1") },
		"window of stream":  func(c *http2Script, id uint32) { _ = c.WriteWindowUpdate(id, 1<<31-1) },
		"window of all":     func(c *http2Script, _ uint32) { _ = c.WriteWindowUpdate(0, 1<<31-1) },
		"window setting": func(c *http2Script, _ uint32) {
			_ = c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 31})
		},
		"frame setting": func(c *http2Script, _ uint32) {
			_ = c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingMaxFrameSize, Val: 1})
		},
		"large frame": func(c *http2Script, id uint32) {
			_ = c.WriteRawFrame(xhttp2.FrameData, 0, id, make([]byte, 16385))
		},
		"table index": func(c *http2Script, id uint32) {
			_ = c.WriteRawFrame(xhttp2.FrameHeaders, xhttp2.FlagHeadersEndHeaders, id, []byte{0xff, 0xff, 0x01})
		},
		"interrupted": func(c *http2Script, id uint32) {
			_ = c.WriteRawFrame(xhttp2.FrameHeaders, 0, id, []byte{0x88})
			_ = c.WritePing(false, [8]byte{})
		},
		"continuations": func(c *http2Script, id uint32) {
			_ = c.WriteRawFrame(xhttp2.FrameHeaders, 0, id, []byte{0x88})
			for range 20 {
				_ = c.WriteRawFrame(xhttp2.FrameContinuation, 0, id, nil)
			}
		},
		"bomb": func(c *http2Script, id uint32) {
			block := c.fields(":status", "200", "a", strings.Repeat("b", 3900))
			for range 10_000 {
				block = append(block, 0x80|62)
			}
			_ = c.WriteRawFrame(xhttp2.FrameHeaders, xhttp2.FlagHeadersEndHeaders, id, block)
		},
		"interim storm": func(c *http2Script, id uint32) {
			for range 5000 {
				c.head(id, false, ":status", "100")
			}
		},
		"PING flood": func(c *http2Script, _ uint32) {
			for range 5000 {
				_ = c.WritePing(false, [8]byte{1})
			}
		},
		"head too large": func(c *http2Script, id uint32) {
			for i, block := 0, c.fields(":status", "200", "a", strings.Repeat("~", 40_000)); len(block) > 0; i++ {
				n := min(len(block), 16384)
				kind := xhttp2.FrameContinuation
				if i == 0 {
					kind = xhttp2.FrameHeaders
				}
				flags := xhttp2.Flags(0)
				if n == len(block) {
					flags = xhttp2.FlagHeadersEndHeaders
				}
				_ = c.WriteRawFrame(kind, flags, id, block[:n])
				block = block[n:]
			}
		},
		"reset":         func(c *http2Script, id uint32) { _ = c.WriteRSTStream(id, xhttp2.ErrCodeInternal) },
		"refused twice": func(c *http2Script, id uint32) { _ = c.WriteRSTStream(id, xhttp2.ErrCodeRefusedStream) },
		"closed":        func(c *http2Script, _ uint32) { _ = c.Conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := scriptHTTP2(t, func(c *http2Script) {
				for {
					id, head := c.request()
					switch {
					case head == "":
						return
					case strings.Contains(head, ":path: /good\n"):
						begin(c, id)
					default:
						answer(c, id)
					}
				}
			})
			lb := start(t, proxyTo("protocol = \"h2c\"\neject {\n  failures = 0\n}\ntimeouts {\n  response = \"15s\"\n}\n", b.Addr))
			if r := lb.get("/bad"); r.Status() != 502 {
				t.Errorf("%+v", r)
			}
			if r := lb.get("/good"); r.Status() != 200 || r.Body != "x" {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestHTTP2BackendCuts: a response that goes wrong after its head is cut, and the client can tell.
func TestHTTP2BackendCuts(t *testing.T) {
	for name, rest := range map[string]func(c *http2Script, id uint32){
		"longer":           func(c *http2Script, id uint32) { _ = c.WriteData(id, true, []byte("0123456789a")) },
		"shorter":          func(c *http2Script, id uint32) { _ = c.WriteData(id, true, []byte("0")) },
		"shorter trailers": func(c *http2Script, id uint32) { c.head(id, true, "a", "b") },
		"pseudo trailers":  func(c *http2Script, id uint32) { c.head(id, true, ":status", "200") },
		"second head":      func(c *http2Script, id uint32) { c.head(id, false, ":status", "200") },
		"reset":            func(c *http2Script, id uint32) { _ = c.WriteRSTStream(id, xhttp2.ErrCodeNo) },
		"closed":           func(c *http2Script, _ uint32) { _ = c.Conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := scriptHTTP2(t, func(c *http2Script) {
				if id, head := c.request(); head != "" {
					c.head(id, false, ":status", "200", "content-length", "10")
					rest(c, id)
					c.hold()
				}
			})
			lb := start(t, proxyTo("protocol = \"h2c\"", b.Addr))
			if r := lb.get("/"); r.Status() == 200 && r.Err == nil {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestHTTP2BackendDies: a connection that ends with 100 requests on it fails each of them once; none is sent twice, and no place stays taken.
func TestHTTP2BackendDies(t *testing.T) {
	const streams = 100
	var posts atomic.Int64
	b := scriptHTTP2(t, func(c *http2Script) {
		for {
			id, head := c.request()
			switch {
			case head == "":
				return
			case strings.Contains(head, ":path: /good\n"):
				c.head(id, true, ":status", "204")
			case posts.Add(1) == streams:
				return
			}
		}
	})
	lb := start(t, plainHTTP2+proxyTo("protocol = \"h2c\"\neject {\n  failures = 0\n}\nretry {\n  budget = 1\n}\nqueue {\n  limit = 0\n}\n", b.Addr))
	c := lb.dialHTTP2()
	for n := range uint32(streams) {
		c.Headers(2*n+1, false, ":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a", "content-length", "1")
		c.WriteData(2*n+1, true, []byte("x"))
	}
	for n := range uint32(streams) {
		if s := c.Await(2*n + 1); s.Status != 502 {
			t.Fatalf("%+v", s)
		}
	}
	if n := posts.Load(); n != streams {
		t.Errorf("%d requests", n)
	}
	lb.wantMetric(`lb_backend_in_flight{pool="app",backend="`+b.Addr+`"}`, "0")
	lb.wantMetric(`lb_backend_connections{pool="app",backend="`+b.Addr+`",state="active"}`, "0")
	var clients sync.WaitGroup
	for range 10 {
		clients.Go(func() {
			if r := lb.get("/good"); r.Status() != 204 {
				t.Errorf("%+v", r)
			}
		})
	}
	clients.Wait()
}
