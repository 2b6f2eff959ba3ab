package proxy

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/lbtest"
)

// FuzzHTTP2Backend: whatever a backend sends as its response, the client gets a response of HTTP/1 or the end of its connection, and
// nothing of the exchange is left.
func FuzzHTTP2Backend(f *testing.F) {
	for _, frames := range []func(b *rawBackend){
		func(b *rawBackend) { b.fine(1) },
		func(b *rawBackend) {
			b.head(1, false, ":status", "103", "link", "a")
			b.head(1, false, ":status", "200", "content-length", "3", "trailer", "x-sum")
			_ = b.WriteDataPadded(1, false, []byte("abc"), make([]byte, 5))
			b.head(1, true, "x-sum", "1")
			_ = b.WritePing(false, [8]byte{})
		},
		func(b *rawBackend) {
			_ = b.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1})
			_ = b.WriteWindowUpdate(1, 2)
			block := bytes.Clone(b.encode(":status", "404", "a", "b"))
			_ = b.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:3]})
			_ = b.WriteContinuation(1, true, block[3:])
			_ = b.WriteData(1, true, nil)
		},
		func(b *rawBackend) { _ = b.WriteGoAway(0, xhttp2.ErrCodeNo, nil) },
		func(b *rawBackend) { _ = b.WriteRSTStream(1, xhttp2.ErrCodeRefusedStream) },
	} {
		var text bytes.Buffer
		framer := xhttp2.NewFramer(&text, nil)
		framer.AllowIllegalWrites = true
		frames(&rawBackend{Framer: framer})
		f.Add(text.Bytes())
	}
	var current atomic.Pointer[[]byte]
	back := lbtest.NewBackend(f, func(c *lbtest.Conn) {
		framer := xhttp2.NewFramer(c.Conn, c.Conn)
		if _, err := io.ReadFull(c.Conn, make([]byte, len(xhttp2.ClientPreface))); err != nil {
			return
		}
		_ = framer.WriteSettings()
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if _, ok := frame.(*xhttp2.HeadersFrame); ok {
				_, _ = c.Conn.Write(*current.Load())
				_ = c.Conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c.Conn)
				return
			}
		}
	})
	lb := start(f, options{transport: withHTTP2}, back.Addr)
	f.Fuzz(func(t *testing.T, frames []byte) {
		current.Store(&frames)
		c, err := net.Dial("tcp", lb.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
		response, err := io.ReadAll(c)
		if err != nil && len(response) == 0 || len(response) > 0 && !bytes.HasPrefix(response, []byte("HTTP/1.1 ")) {
			t.Fatalf("%v %q", err, response)
		}
		lbtest.Eventually(t, "the exchange has ended", func() bool { return lb.site.Metrics.InFlight.Get() == 0 })
		if n := lb.panics.Load(); n != 0 {
			t.Fatalf("%d panics", n)
		}
	})
}
