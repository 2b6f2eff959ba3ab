package server_test

import (
	"strings"
	"sync/atomic"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/lbtest"
)

var acceptsConnect = xhttp2.Setting{ID: xhttp2.SettingEnableConnectProtocol, Val: 1}

// The handshake of RFC 6455 section 1.3.
const (
	openWebSocket = "GET /chat?a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
	acceptWebSocket = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// echoWebSocket accepts extended CONNECTs, one after the other, returns what it gets, and ends each stream when the client does.
func echoWebSocket(heads chan<- string) func(c *http2Script) {
	return func(c *http2Script) {
		for {
			id, head := c.request()
			if head == "" {
				return
			}
			heads <- head
			c.head(id, false, ":status", "200", "sec-websocket-protocol", "chat", "sec-websocket-accept", "wrong", "content-length", "0")
			for open := true; open; {
				switch f := c.next().(type) {
				case nil:
					return
				case *xhttp2.DataFrame:
					open = !f.StreamEnded()
					_ = c.WriteData(id, !open, f.Data())
				case *xhttp2.RSTStreamFrame:
					open = false
					heads <- "reset"
				}
			}
		}
	}
}

// TestHTTP2BackendWebSocket: a WebSocket of a client by HTTP/1.1 or HTTP/2 is an extended CONNECT to a backend by HTTP/2.
func TestHTTP2BackendWebSocket(t *testing.T) {
	heads := make(chan string, 10)
	b := scriptHTTP2(t, echoWebSocket(heads), acceptsConnect)
	lb := start(t, plainHTTP2+proxyTo("protocol = \"h2c\"", b.Addr))
	wantHead := func() {
		t.Helper()
		head, _ := lbtest.Wait(t, "the request", heads)
		if !strings.HasPrefix(head, ":method: CONNECT\n:scheme: http\n:path: /chat?a\n:authority: a\n:protocol: websocket\n") ||
			!strings.Contains(head, "sec-websocket-version: 13\n") || strings.Contains(head, "sec-websocket-key") || strings.Contains(head, "upgrade") {
			t.Errorf("%s", head)
		}
	}
	c := lb.dial()
	c.Send(openWebSocket)
	head := c.ReadHead()
	wantHead()
	for name, want := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": acceptWebSocket, "Sec-WebSocket-Protocol": "chat"} {
		if got := strings.Join(lbtest.Fields(head, name), "|"); !strings.EqualFold(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") || len(lbtest.Fields(head, "Content-Length")) != 0 {
		t.Errorf("%q", head)
	}
	c.Send("\x81\x80\x00\x00\x00\x00")
	c.Expect(t, "\x81\x80\x00\x00\x00\x00")
	c.CloseWrite()
	if rest, orderly := c.Ended(); rest != "" || !orderly {
		t.Errorf("%q", rest)
	}
	lbtest.Eventually(t, "no tunnel is left", func() bool { return lb.metric(`lb_upgraded_connections{site="s"}`) == "0" })

	h := lb.dialHTTP2()
	h.Headers(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat?a", ":authority", "a", "sec-websocket-version", "13")
	h.WriteData(1, false, []byte("x"))
	h.Until(func() bool { return h.Stream(1).Body == "x" })
	wantHead()
	if s := h.Stream(1); s.Status != 200 || s.Field("sec-websocket-protocol") != "chat" || s.Field("sec-websocket-accept") != "" || s.Field("upgrade") != "" {
		t.Errorf("%+v", s)
	}
	h.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	if s, _ := lbtest.Wait(t, "the reset", heads); s != "reset" {
		t.Errorf("%q", s)
	}
	lbtest.Eventually(t, "no tunnel is left", func() bool { return lb.metric(`lb_upgraded_connections{site="s"}`) == "0" })
	lbtest.Eventually(t, "no connection is in use", func() bool {
		return lb.metric(`lb_backend_connections{pool="app",backend="`+b.Addr+`",state="active"}`) == "0"
	})
}

// TestHTTP2BackendWebSocketPressure: a WebSocket whose client does not read stops its backend, and the other way round; nothing is lost.
func TestHTTP2BackendWebSocketPressure(t *testing.T) {
	const size = 8 << 20
	goOn := make(chan struct{})
	sum := make(chan int, 1)
	b := scriptHTTP2(t, func(c *http2Script) {
		id, head := c.request()
		if head == "" {
			return
		}
		c.head(id, false, ":status", "200")
		got, ended := 0, false
		<-goOn // the window is 64 KiB, and the client sends more
		_ = c.WriteWindowUpdate(0, size)
		_ = c.WriteWindowUpdate(id, size)
		for !ended {
			switch f := c.next().(type) {
			case nil:
				return
			case *xhttp2.DataFrame:
				got += len(f.Data())
				ended = f.StreamEnded()
			}
		}
		sum <- got
		window := 65535 // of the stream; that of the connection is always larger
		for sent := 0; sent < size; {
			for window == 0 {
				f := c.next()
				if f == nil {
					return
				}
				if w, ok := f.(*xhttp2.WindowUpdateFrame); ok {
					window += int(w.Increment)
				}
			}
			n := min(window, 16384, size-sent)
			_ = c.WriteData(id, false, make([]byte, n))
			sent, window = sent+n, window-n
		}
		_ = c.WriteData(id, true, nil)
		c.hold()
	}, acceptsConnect)
	lb := start(t, proxyTo("protocol = \"h2c\"", b.Addr))
	c := lb.dial()
	c.Send(openWebSocket)
	c.ReadHead()
	const frame = "\x82\x7f\x00\x00\x00\x00\x00\x7f\xff\xf6" // binary, not masked, the rest of size
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		c.Send(frame + strings.Repeat("x", size-len(frame)))
		c.CloseWrite()
	}()
	close(goOn)
	if n, _ := lbtest.Wait(t, "all at the backend", sum); n != size {
		t.Errorf("%d bytes", n)
	}
	<-sent
	if rest, orderly := c.Ended(); len(rest) != size || !orderly {
		t.Errorf("%d bytes, orderly %v", len(rest), orderly)
	}
}

// TestHTTP2BackendEndsWebSocket: an end of the stream by the backend reaches the client, as an end or as a reset.
func TestHTTP2BackendEndsWebSocket(t *testing.T) {
	for _, end := range []string{"end", "reset", "closed"} {
		b := scriptHTTP2(t, func(c *http2Script) {
			id, head := c.request()
			if head == "" {
				return
			}
			c.head(id, false, ":status", "200")
			_ = c.WriteData(id, end == "end", []byte("\x81\x01x"))
			switch end {
			case "reset":
				_ = c.WriteRSTStream(id, xhttp2.ErrCodeInternal)
			case "closed":
				return
			}
			c.hold()
		}, acceptsConnect)
		lb := start(t, proxyTo("protocol = \"h2c\"", b.Addr))
		c := lb.dial()
		c.Send(openWebSocket)
		c.ReadHead()
		c.CloseWrite()
		rest, orderly := c.Ended()
		if end == "end" && (rest != "\x81\x01x" || !orderly) || end != "end" && orderly {
			t.Errorf("%s: %q, orderly %v", end, rest, orderly)
		}
		lbtest.Eventually(t, "no tunnel is left", func() bool { return lb.metric(`lb_upgraded_connections{site="s"}`) == "0" })
	}
}

// TestHTTP2BackendNoWebSocket: what cannot be an extended CONNECT, and what the backend does not accept.
func TestHTTP2BackendNoWebSocket(t *testing.T) {
	refuses := scriptHTTP2(t, func(c *http2Script) {
		for {
			id, head := c.request()
			if head == "" {
				return
			}
			status := "200"
			if strings.Contains(head, ":protocol") {
				status = "403"
			}
			c.head(id, false, ":status", status)
			_ = c.WriteData(id, true, []byte("body"))
		}
	}, acceptsConnect)
	lb := start(t, proxyTo("protocol = \"h2c\"", refuses.Addr))
	ask := func(text string) lbtest.Response {
		c := lb.dial()
		c.Send(text)
		return c.ReadResponse("GET")
	}
	if r := ask(openWebSocket); r.Status() != 403 || r.Body != "body" {
		t.Errorf("%+v", r)
	}
	for _, text := range []string{
		strings.Replace(openWebSocket, "Sec-WebSocket-Key", "X", 1), strings.Replace(openWebSocket, "GET", "PUT", 1),
	} {
		if r := ask(text); r.Status() != 400 {
			t.Errorf("%+v", r)
		}
	}
	if r := lb.get("/", "Connection: Upgrade", "Upgrade: other"); r.Status() != 200 {
		t.Errorf("%+v", r)
	}

	without := scriptHTTP2(t, (*http2Script).hold)
	lb = start(t, proxyTo("protocol = \"h2c\"", without.Addr))
	if r := ask(openWebSocket); r.Status() != 501 {
		t.Errorf("%+v", r)
	}
	lbtest.Eventually(t, "the log has the remedy", func() bool { return strings.Contains(lb.read("access.log"), `protocol = \"http1\"`) })
	lbtest.Eventually(t, "no connection is in use", func() bool {
		return lb.metric(`lb_backend_connections{pool="app",backend="`+without.Addr+`",state="active"}`) == "0"
	})
}

// TestHTTP2BackendWebSocketAgain: a WebSocket that a dying connection has taken is opened on another one, and can be reset there.
func TestHTTP2BackendWebSocketAgain(t *testing.T) {
	heads := make(chan string, 10)
	echo, first := echoWebSocket(heads), atomic.Bool{}
	b := scriptHTTP2(t, func(c *http2Script) {
		if first.CompareAndSwap(false, true) {
			c.request()
			return
		}
		echo(c)
	}, acceptsConnect)
	lb := start(t, plainHTTP2+proxyTo("protocol = \"h2c\"", b.Addr))
	h := lb.dialHTTP2()
	h.Headers(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat?a", ":authority", "a", "sec-websocket-version", "13")
	h.WriteData(1, false, []byte("x"))
	if !h.Until(func() bool { return h.Stream(1).Body == "x" }) {
		t.Fatalf("%+v", h.Stream(1))
	}
	lbtest.Wait(t, "the request", heads)
	h.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	if s, _ := lbtest.Wait(t, "the reset", heads); s != "reset" {
		t.Errorf("%q", s)
	}
}
