package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"lb/internal/lbtest"
)

// rawBackend is one connection of a backend that sends whatever frames a test wants.
type rawBackend struct {
	*xhttp2.Framer
	conn   net.Conn
	number int // of the connection, from 1
	block  bytes.Buffer
	ended  bool // the client has closed the connection
}

// startRaw starts a backend that calls serve with each request's stream, in a goroutine for each connection. Everything that is not HEADERS
// is read and ignored. SETTINGS are sent first.
func startRaw(t testing.TB, serve func(b *rawBackend, id uint32), settings ...xhttp2.Setting) (address string, conns *atomic.Int64) {
	t.Helper()
	conns = &atomic.Int64{}
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		b := &rawBackend{Framer: xhttp2.NewFramer(c.Conn, c.Conn), conn: c.Conn, number: int(conns.Add(1))}
		b.AllowIllegalWrites = true
		preface := make([]byte, len(xhttp2.ClientPreface))
		if _, err := io.ReadFull(c.Conn, preface); err != nil || string(preface) != xhttp2.ClientPreface {
			return
		}
		_ = b.WriteSettings(settings...)
		for {
			f, err := b.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *xhttp2.SettingsFrame:
				if !f.IsAck() {
					_ = b.WriteSettingsAck()
				}
			case *xhttp2.HeadersFrame:
				serve(b, f.StreamID)
			}
		}
	})
	return back.Addr, conns
}

// head sends a header block of names and values.
func (b *rawBackend) head(id uint32, end bool, fields ...string) {
	_ = b.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: b.encode(fields...), EndHeaders: true, EndStream: end})
}

func (b *rawBackend) encode(fields ...string) []byte {
	b.block.Reset()
	e := hpack.NewEncoder(&b.block)
	e.SetMaxDynamicTableSize(0)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.block.Bytes()
}

// fine responds as a backend should.
func (b *rawBackend) fine(id uint32) {
	b.head(id, false, ":status", "200")
	_ = b.WriteData(id, true, []byte("fine"))
}

// flood sends until the client closes the connection.
func (b *rawBackend) flood(send func() error) {
	_ = b.conn.SetDeadline(time.Now().Add(20 * time.Second))
	for send() == nil {
	}
	b.ended = true
}

const badPost = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"

// TestHTTP2BadBackend: whatever a backend sends that it must not send is a 502, and the next request is served.
func TestHTTP2BadBackend(t *testing.T) {
	ok := []string{":status", "200"}
	field := func(fields ...string) func(*rawBackend, uint32) {
		return func(b *rawBackend, id uint32) { b.head(id, true, fields...) }
	}
	for name, serve := range map[string]func(b *rawBackend, id uint32){
		"no status":                 field("a", "b"),
		"a short status":            field(":status", "20"),
		"a status of letters":       field(":status", "2oo"),
		"status 0":                  field(":status", "000"),
		"status 101":                field(":status", "101"),
		"two statuses":              field(":status", "200", ":status", "200"),
		"a status behind a field":   field("a", "b", ":status", "200"),
		"a request's pseudo field":  field(":status", "200", ":path", "/"),
		"an upper-case name":        field(":status", "200", "A", "b"),
		"an empty name":             field(":status", "200", "", "b"),
		"a line break in a value":   field(":status", "200", "a", "b\r\nc: d"),
		"a NUL in a value":          field(":status", "200", "a", "b\x00"),
		"connection":                field(":status", "200", "connection", "close"),
		"transfer-encoding":         field(":status", "200", "transfer-encoding", "chunked"),
		"two lengths":               field(":status", "200", "content-length", "0", "content-length", "0"),
		"a length that is none":     field(":status", "200", "content-length", "+1"),
		"a length without a body":   field(":status", "200", "content-length", "1"),
		"a 204 with a length":       field(":status", "204", "content-length", "1"),
		"an interim end":            field(":status", "103"),
		"a large head":              field(":status", "200", "a", strings.Repeat("x", 40<<10)),
		"a frame that is too large": func(b *rawBackend, id uint32) { _ = b.WriteRawFrame(xhttp2.FrameData, 0, id, make([]byte, 20_000)) },
		"a body first":              func(b *rawBackend, id uint32) { _ = b.WriteData(id, true, []byte("x")) },
		"a push": func(b *rawBackend, id uint32) {
			_ = b.WritePushPromise(xhttp2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: b.encode(ok...), EndHeaders: true})
		},
		"another stream":    func(b *rawBackend, id uint32) { b.head(id+2, true, ok...) },
		"an even stream":    func(b *rawBackend, id uint32) { b.head(2, true, ok...) },
		"data of no stream": func(b *rawBackend, id uint32) { _ = b.WriteData(id+2, true, nil) },
		"garbage in HPACK": func(b *rawBackend, id uint32) {
			_ = b.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		},
		"an interrupted block": func(b *rawBackend, id uint32) {
			_ = b.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: b.encode(ok...)})
			_ = b.WritePing(false, [8]byte{})
		},
		"a lonely CONTINUATION": func(b *rawBackend, id uint32) { _ = b.WriteContinuation(id, true, b.encode(ok...)) },
		"a window overflow":     func(b *rawBackend, id uint32) { _ = b.WriteWindowUpdate(0, 1<<31-1) },
		"the same of a stream":  func(b *rawBackend, id uint32) { _ = b.WriteWindowUpdate(id, 1<<31-1) },
		"no increment":          func(b *rawBackend, id uint32) { _ = b.WriteWindowUpdate(id, 0) },
		"a bad setting": func(b *rawBackend, id uint32) {
			_ = b.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 31})
		},
		"a short PING":         func(b *rawBackend, id uint32) { _ = b.WriteRawFrame(xhttp2.FramePing, 0, 0, []byte{1}) },
		"a reset":              func(b *rawBackend, id uint32) { _ = b.WriteRSTStream(id, xhttp2.ErrCodeInternal) },
		"HTTP/1 in the middle": func(b *rawBackend, id uint32) { _, _ = io.WriteString(b.conn, lbtest.OK("x")) },
		"the end":              func(b *rawBackend, id uint32) { _ = b.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			var served atomic.Bool // connections have goroutines of their own
			address, _ := startRaw(t, func(b *rawBackend, id uint32) {
				if !served.Swap(true) {
					serve(b, id)
					return
				}
				b.fine(id)
			})
			lb := start(t, options{transport: withHTTP2}, address)
			c := lbtest.Dial(t, lb.address)
			c.Send(badPost)
			if r := c.ReadResponse("POST"); r.Status() != 502 {
				t.Errorf("%+v", r)
			}
			c.Send(badPost)
			want(t, c, "POST", 200, "fine")
		})
	}
}

// TestHTTP2CutResponses: a response that breaks in its body is cut, so that the client cannot take it for a whole one.
func TestHTTP2CutResponses(t *testing.T) {
	for name, serve := range map[string]func(b *rawBackend, id uint32){
		"too short": func(b *rawBackend, id uint32) {
			b.head(id, false, ":status", "200", "content-length", "5")
			_ = b.WriteData(id, true, []byte("abc"))
		},
		"too long": func(b *rawBackend, id uint32) {
			b.head(id, false, ":status", "200", "content-length", "5")
			_ = b.WriteData(id, false, []byte("abc"))
			_ = b.WriteData(id, true, []byte("abc"))
		},
		"a second head": func(b *rawBackend, id uint32) {
			b.head(id, false, ":status", "200")
			_ = b.WriteData(id, false, []byte("abc"))
			b.head(id, false, ":status", "200")
		},
		"a status among trailers": func(b *rawBackend, id uint32) {
			b.head(id, false, ":status", "200")
			_ = b.WriteData(id, false, []byte("abc"))
			b.head(id, true, ":status", "200")
		},
		"a reset": func(b *rawBackend, id uint32) {
			b.head(id, false, ":status", "200")
			_ = b.WriteData(id, false, []byte("abc"))
			_ = b.WriteRSTStream(id, xhttp2.ErrCodeNo)
		},
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := startRaw(t, serve)
			lb := start(t, options{transport: withHTTP2}, address)
			c := lbtest.Dial(t, lb.address)
			c.Send(badPost)
			if r := c.ReadResponse("POST"); r.Status() == 200 && r.Err == nil {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestHTTP2BackendFloods: a backend that costs too much loses its connection, and nothing piles up.
func TestHTTP2BackendFloods(t *testing.T) {
	for name, send := range map[string]func(b *rawBackend, id uint32) error{
		"PING":     func(b *rawBackend, id uint32) error { return b.WritePing(false, [8]byte{}) },
		"PING ACK": func(b *rawBackend, id uint32) error { return b.WritePing(true, [8]byte{}) },
		"SETTINGS": func(b *rawBackend, id uint32) error { return b.WriteSettings() },
		"empty":    func(b *rawBackend, id uint32) error { return b.WriteData(id, false, nil) },
		"updates":  func(b *rawBackend, id uint32) error { return b.WriteWindowUpdate(id, 1) },
		"unknown":  func(b *rawBackend, id uint32) error { return b.WriteRawFrame(0xee, 0, 0, nil) },
		"hints": func(b *rawBackend, id uint32) error {
			b.head(id, false, ":status", "103")
			return b.conn.SetDeadline(time.Now().Add(20 * time.Second))
		},
		"GOAWAY":    func(b *rawBackend, id uint32) error { return b.WriteGoAway(id, xhttp2.ErrCodeNo, nil) },
		"fragments": func(b *rawBackend, id uint32) error { return b.WriteContinuation(id, false, []byte{0x88}) },
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			address, _ := startRaw(t, func(b *rawBackend, id uint32) {
				if b.number > 1 {
					b.fine(id)
					return
				}
				switch name {
				case "fragments":
					_ = b.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: b.encode(":status", "200")})
				case "empty":
					b.head(id, false, ":status", "200")
				}
				if name == "hints" {
					_ = b.conn.SetDeadline(time.Now().Add(20 * time.Second))
					for b.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: b.encode(":status", "103"), EndHeaders: true}) == nil {
					}
				} else {
					b.flood(func() error { return send(b, id) })
				}
				close(ended)
			})
			lb := start(t, options{transport: withHTTP2}, address)
			c := lbtest.Dial(t, lb.address)
			c.Send(badPost)
			lbtest.Wait(t, "the end of the connection", ended)
			c = lbtest.Dial(t, lb.address)
			for range 4 { // of the loops, each has its own connections
				c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
				if r := c.ReadResponse("POST"); r.Status() == 200 {
					return
				}
				c = lbtest.Dial(t, lb.address)
			}
			t.Error("no request was served")
		})
	}
}

// TestHTTP2BackendResets: a backend that ends very many streams early, or makes lb do so, loses its connection.
func TestHTTP2BackendResets(t *testing.T) {
	for name, serve := range map[string]func(b *rawBackend, id uint32){
		"by itself": func(b *rawBackend, id uint32) { _ = b.WriteRSTStream(id, xhttp2.ErrCodeCancel) },
		"by lb":     func(b *rawBackend, id uint32) { _ = b.WriteWindowUpdate(id, 1<<31-1) },
	} {
		t.Run(name, func(t *testing.T) {
			address, conns := startRaw(t, serve)
			lb := start(t, options{transport: withHTTP2}, address)
			c := lbtest.Dial(t, lb.address) // on one loop, which has one connection
			for n := 0; conns.Load() < 2; n++ {
				if n == 5000 {
					t.Fatalf("the connection is still used after %d requests", n)
				}
				c.Send(badPost)
				if r := c.ReadResponse("POST"); r.Status() != 502 {
					t.Fatalf("%+v", r)
				}
			}
		})
	}
}

// TestHTTP2Unprocessed: what a backend says that it has not processed is sent again, with any method.
func TestHTTP2Unprocessed(t *testing.T) {
	for name, serve := range map[string]func(b *rawBackend, id uint32){
		"GOAWAY":         func(b *rawBackend, id uint32) { _ = b.WriteGoAway(0, xhttp2.ErrCodeNo, nil) },
		"REFUSED_STREAM": func(b *rawBackend, id uint32) { _ = b.WriteRSTStream(id, xhttp2.ErrCodeRefusedStream) },
	} {
		t.Run(name, func(t *testing.T) {
			var count atomic.Int64
			address, _ := startRaw(t, func(b *rawBackend, id uint32) {
				if count.Add(1) == 1 {
					serve(b, id)
					return
				}
				b.fine(id)
			})
			lb := start(t, options{transport: withHTTP2}, address)
			c := lbtest.Dial(t, lb.address)
			c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
			want(t, c, "POST", 200, "fine")
			if n := count.Load(); n != 2 {
				t.Errorf("%d requests", n)
			}
			always := start(t, options{transport: withHTTP2}, func() string { a, _ := startRaw(t, serve); return a }())
			c = lbtest.Dial(t, always.address)
			c.Send(badPost)
			if r := c.ReadResponse("POST"); r.Status() != 502 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestHTTP2StreamLimit: no more streams than the backend allows are open on a connection; further requests get another one.
func TestHTTP2StreamLimit(t *testing.T) {
	var open, most atomic.Int64
	release := make(chan struct{})
	address, conns := startRaw(t, func(b *rawBackend, id uint32) {
		if n := open.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		open.Add(-1)
		b.fine(id)
	}, xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: 1})
	lb := start(t, options{transport: withHTTP2}, address)
	var clients []*lbtest.Conn
	for range 6 {
		c := lbtest.Dial(t, lb.address)
		c.Send(badPost)
		clients = append(clients, c)
	}
	lbtest.Eventually(t, "all requests are at the backend", func() bool { return open.Load() == 6 })
	if n := conns.Load(); n != 6 {
		t.Errorf("%d connections", n)
	}
	close(release)
	for _, c := range clients {
		want(t, c, "POST", 200, "fine")
	}
}

// TestHTTP2EarlyResponse: a response that ends before the request is passed on, whether the backend resets the stream or not.
func TestHTTP2EarlyResponse(t *testing.T) {
	for _, reset := range []bool{false, true} {
		address, _ := startRaw(t, func(b *rawBackend, id uint32) {
			b.fine(id)
			if reset {
				_ = b.WriteRSTStream(id, xhttp2.ErrCodeNo)
			}
		})
		lb := start(t, options{transport: withHTTP2}, address)
		c := lbtest.Dial(t, lb.address)
		c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat("x", 300_000)))
		want(t, c, "POST", 200, "fine")
	}
}

// TestHTTP2SlowClient: a client that does not read holds up its own stream alone, within its window.
func TestHTTP2SlowClient(t *testing.T) {
	address, _ := http2Backend(t, downloads)
	lb := start(t, options{transport: withHTTP2}, address)
	var slow []*lbtest.Conn
	for range 12 {
		c := lbtest.Dial(t, lb.address)
		c.Send(get("/large"))
		slow = append(slow, c)
	}
	for range 8 {
		c := lbtest.Dial(t, lb.address)
		c.Send(get("/small"))
		want(t, c, "GET", 200, "small")
	}
	for _, c := range slow {
		_ = c.Conn.Close()
	}
}

// downloads responds with 64 MiB or a word.
func downloads(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/small" {
		_, _ = io.WriteString(w, "small")
		return
	}
	block := make([]byte, 64<<10)
	for range 1024 {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}
