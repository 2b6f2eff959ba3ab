package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"lb/internal/lbtest"
)

// connect3 is the request that opens a WebSocket (RFC 9220).
func connect3() []byte {
	return headers3(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/chat", ":authority", "a.test",
		"sec-websocket-version", "13", "sec-websocket-protocol", "p")
}

// tunnel3 is a WebSocket in a stream.
type tunnel3 struct {
	*quic.Stream
	r    *bufio.Reader
	left uint64 // of a DATA frame
}

// openTunnel opens a WebSocket and reads the head of the response.
func (c *rawHTTP3) openTunnel() (t *tunnel3, status string, fields map[string]string) {
	c.t.Helper()
	s := c.begin(connect3())
	t = &tunnel3{Stream: s, r: bufio.NewReader(s)}
	kind, length := t.frame()
	if kind != 1 {
		c.t.Fatalf("the response begins with a frame of type %d", kind)
	}
	block := make([]byte, length)
	if _, err := io.ReadFull(t.r, block); err != nil {
		c.t.Fatal(err)
	}
	fields = map[string]string{}
	for next := qpack.NewDecoder().Decode(block); ; {
		f, err := next()
		if err != nil {
			return t, fields[":status"], fields
		}
		fields[f.Name] = f.Value
	}
}

func (t *tunnel3) frame() (kind, length uint64) {
	kind, err := quicvarint.Read(t.r)
	if err != nil {
		return 1 << 62, 0
	}
	length, _ = quicvarint.Read(t.r)
	return kind, length
}

func (t *tunnel3) Write(p []byte) (int, error) {
	if _, err := t.Stream.Write(frame3(0, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (t *tunnel3) Read(p []byte) (int, error) {
	for t.left == 0 {
		if _, err := t.r.Peek(1); err != nil {
			return 0, err
		}
		_, t.left = t.frame()
	}
	n, err := t.r.Read(p[:min(uint64(len(p)), t.left)])
	t.left -= uint64(n)
	return n, err
}

// switching is a backend that opens every WebSocket, and then calls do.
func switching(t testing.TB, heads chan<- string, do func(*lbtest.Conn)) *lbtest.Backend {
	return lbtest.NewBackend(t, func(c *lbtest.Conn) {
		head, _ := c.ReadRequest()
		if head == "" {
			return
		}
		heads <- head
		c.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: p\r\n\r\n")
		do(c)
	})
}

// message is an unmasked WebSocket frame with 100 bytes.
var message = "\x82\x64" + strings.Repeat("x", 100)

// TestHTTP3WebSocket: after an extended CONNECT a stream carries bytes both ways, however many, until both sides have ended, and the backend
// gets a request of HTTP/1.1.
func TestHTTP3WebSocket(t *testing.T) {
	heads := make(chan string, 1)
	b := switching(t, heads, func(c *lbtest.Conn) {
		_, _ = io.Copy(c.Conn, c.Conn)
		_ = c.Conn.Close()
	})
	lb := start(t, http3Listen(t, t.TempDir())+proxyTo("", b.Addr))
	c := lb.dialRawHTTP3()
	tunnel, status, fields := c.openTunnel()
	if status != "200" || fields["sec-websocket-protocol"] != "p" || fields["sec-websocket-accept"]+fields["upgrade"]+fields["content-length"] != "" {
		t.Fatalf("%v", fields)
	}
	head, _ := lbtest.Wait(t, "the request", heads)
	for _, want := range []string{"GET /chat HTTP/1.1\r\n", "\r\nUpgrade: websocket\r\n", "\r\nConnection: Upgrade\r\n", "\r\nsec-websocket-protocol: p\r\n", "\r\nsec-websocket-key: "} {
		if !strings.Contains(strings.ToLower(head), strings.ToLower(want)) {
			t.Errorf("the backend got %q, without %q", head, want)
		}
	}
	sent := strings.Repeat(message, 30_000)
	wrote := make(chan error, 1)
	go func() {
		_, err := io.Copy(tunnel, struct{ io.Reader }{strings.NewReader(sent)})
		wrote <- errors.Join(err, tunnel.Close())
	}()
	got, err := io.ReadAll(tunnel)
	if string(got) != sent || err != nil {
		t.Errorf("%d bytes of %d, %v", len(got), len(sent), err)
	}
	if err, _ := lbtest.Wait(t, "the end of writing", wrote); err != nil {
		t.Error(err)
	}
	lb.wantMetric(`lb_connections{listener="127.0.0.1:0"}`, "1")
}

// TestHTTP3WebSocketClient: quic-go's client finds in the SETTINGS that it may open a WebSocket, and does.
func TestHTTP3WebSocketClient(t *testing.T) {
	b := switching(t, make(chan string, 1), func(c *lbtest.Conn) { _, _ = io.Copy(c.Conn, c.Conn) })
	lb := start(t, http3Listen(t, t.TempDir())+proxyTo("", b.Addr))
	c := lb.dialHTTP3()
	lbtest.Wait(t, "the SETTINGS", c.ReceivedSettings())
	if !c.Settings().EnableExtendedConnect {
		t.Error("the SETTINGS do not allow extended CONNECT")
	}
	stream, err := c.OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := c.request("CONNECT", "/chat", nil, "Sec-WebSocket-Version", "13")
	r.Proto = "websocket"
	if err := stream.SendRequestHeader(r); err != nil {
		t.Fatal(err)
	}
	response, err := stream.ReadResponse()
	if err != nil || response.StatusCode != 200 {
		t.Fatal(response, err)
	}
	if _, err := io.WriteString(stream, message); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(stream, got); err != nil || string(got) != message {
		t.Errorf("%q, %v", got, err)
	}
	stream.CancelRead(0x10c)
	stream.CancelWrite(0x10c)
}

// TestHTTP3WebSocketEnds: a stream that the client resets ends its connection to the backend, and what is no DATA ends the connection.
func TestHTTP3WebSocketEnds(t *testing.T) {
	heads, ended := make(chan string, 1), make(chan bool, 1)
	b := switching(t, heads, func(c *lbtest.Conn) {
		_, _ = io.Copy(io.Discard, c.Conn)
		ended <- true
	})
	lb := start(t, http3Listen(t, t.TempDir())+proxyTo("", b.Addr))
	for name, end := range map[string]func(*rawHTTP3, *tunnel3){
		"reset":      func(_ *rawHTTP3, s *tunnel3) { s.CancelRead(0x10c); s.CancelWrite(0x10c) },
		"HEADERS":    func(_ *rawHTTP3, s *tunnel3) { _, _ = s.Stream.Write(headers3("x", "y")) },
		"disconnect": func(c *rawHTTP3, _ *tunnel3) { _ = c.CloseWithError(0x100, "") },
	} {
		c := lb.dialRawHTTP3()
		tunnel, status, _ := c.openTunnel()
		lbtest.Wait(t, "the request", heads)
		if _, err := io.WriteString(tunnel, message); status != "200" || err != nil {
			t.Fatal(status, err)
		}
		end(c, tunnel)
		lbtest.Wait(t, "the end at the backend after "+name, ended)
		if name == "HEADERS" {
			lbtest.Wait(t, "the end of the connection", c.Context().Done())
			var closed *quic.ApplicationError
			if err := context.Cause(c.Context()); !errors.As(err, &closed) || closed.ErrorCode != 0x105 {
				t.Errorf("%v", err)
			}
		}
	}
}

// TestHTTP3WebSocketDrain: a WebSocket that is open when the grace ends gets a close frame with 1001.
func TestHTTP3WebSocketDrain(t *testing.T) {
	heads := make(chan string, 1)
	b := switching(t, heads, func(c *lbtest.Conn) { _, _ = io.Copy(io.Discard, c.Conn) })
	lb := start(t, http3Listen(t, t.TempDir())+"shutdown {\n  grace = \"50ms\"\n}\n"+proxyTo("", b.Addr))
	tunnel, _, _ := lb.dialRawHTTP3().openTunnel()
	stopped := make(chan error, 1)
	go func() { stopped <- lb.Stop(context.Background()) }()
	if got, _ := io.ReadAll(tunnel); string(got) != "\x88\x02\x03\xe9" {
		t.Errorf("%q", got)
	}
	lbtest.Wait(t, "lb has stopped", stopped)
}
