package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"lb/internal/lbtest"
	"lb/pool"
)

// grpcServer responds to each call by a script; it returns the address. The script gets the call's fields and message.
func grpcServer(t *testing.T, wrap func(net.Conn) net.Conn, script func(f *http2.Framer, conn net.Conn, fields, message string)) string {
	t.Helper()
	return serveConns(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		if wrap != nil {
			conn = wrap(conn)
		}
		defer conn.Close()
		if f, fields, message, err := readCall(conn); err == nil {
			script(f, conn, fields, message)
		}
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite() // a reset would take what was sent with it
			_, _ = io.Copy(io.Discard, conn)
		}
	})
}

// readCall reads a call up to its end.
func readCall(conn net.Conn) (f *http2.Framer, fields, message string, err error) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil || string(preface) != http2.ClientPreface {
		return nil, "", "", fmt.Errorf("%q, %v", preface, err)
	}
	f = http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return nil, "", "", err
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range frame.Fields {
				fields += field.Name + ": " + field.Value + "\n"
			}
		case *http2.DataFrame:
			message += string(frame.Data())
			if frame.StreamEnded() {
				return f, fields, message, nil
			}
		}
	}
}

// block encodes fields, given as names and values.
func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

func headers(f *http2.Framer, end bool, fields ...string) {
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(fields...), EndHeaders: true, EndStream: end})
}

// framed is a gRPC message.
func framed(message string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// status is a script that responds with a message and a status.
func status(message, code string, more ...string) func(*http2.Framer, net.Conn, string, string) {
	return func(f *http2.Framer, _ net.Conn, _, _ string) {
		_ = f.WriteSettings()
		headers(f, false, ":status", "200", "content-type", "application/grpc")
		if message != "" {
			_ = f.WriteData(1, false, framed(message))
		}
		headers(f, true, append([]string{"grpc-status", code}, more...)...)
	}
}

// only is a script that responds with one head.
func only(fields ...string) func(*http2.Framer, net.Conn, string, string) {
	return func(f *http2.Framer, _ net.Conn, _, _ string) {
		_ = f.WriteSettings()
		headers(f, true, fields...)
	}
}

func TestGRPCProbe(t *testing.T) {
	const serving, grpc = "\x08\x01", "application/grpc"
	for name, c := range map[string]struct {
		script func(*http2.Framer, net.Conn, string, string)
		reason string
	}{
		"serving":             {status(serving, "0"), pass},
		"with unknown fields": {status("\x12\x03abc\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04\x08\x01\x18\x05", "0"), pass},
		"not serving":         {status("\x08\x02", "0"), "serving status NOT_SERVING"},
		"unknown":             {status("", "0"), "the response of the health service is malformed"},
		"no status in it":     {status("\x12\x00", "0"), "serving status UNKNOWN"},
		"service unknown":     {status("\x08\x03", "0"), "serving status SERVICE_UNKNOWN"},
		"another state":       {status("\x08\x80\x01", "0"), "serving status 128"},
		"malformed":           {status("\x08", "0"), "the response of the health service is malformed"},
		"not a message":       {status("\x0f", "0"), "the response of the health service is malformed"},
		"not found":           {status("", "5"), `the server does not know the service "app.v1.App"`},
		"unimplemented": {only(":status", "200", "content-type", grpc, "grpc-status", "12", "grpc-message", "unknown service"),
			"the server has no health service (grpc.health.v1.Health)"},
		"unavailable":      {status("", "14", "grpc-message", "too%20busy"), `gRPC status 14: "too busy"`},
		"without a text":   {status("", "13"), "gRPC status 13"},
		"no status":        {only(":status", "200", "content-type", grpc), "the gRPC response has no grpc-status"},
		"not gRPC":         {only(":status", "200", "content-type", "text/html"), `no gRPC response: Content-Type "text/html"`},
		"not found by URL": {only(":status", "404"), "HTTP status 404, no gRPC response"},
		"interim response": {func(f *http2.Framer, c net.Conn, a, b string) {
			_ = f.WriteSettings()
			headers(f, false, ":status", "103")
			headers(f, false, ":status", "200", "content-type", grpc)
			_ = f.WritePing(false, [8]byte{1})
			_ = f.WriteWindowUpdate(0, 1)
			_ = f.WriteRawFrame(0x77, 0, 0, []byte("extension"))
			_ = f.WriteGoAway(1, http2.ErrCodeNo, nil)
			_ = f.WriteData(1, false, framed(serving))
			headers(f, true, "grpc-status", "0")
		}, pass},
		"HTTP/1": {func(_ *http2.Framer, c net.Conn, _, _ string) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}, "the backend speaks HTTP/1, and gRPC needs HTTP/2"},
		"something else": {func(_ *http2.Framer, c net.Conn, _, _ string) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9\r\n") }, "http2: frame too large"},
		"closed":         {func(f *http2.Framer, _ net.Conn, _, _ string) { _ = f.WriteSettings() }, "connection closed before the response"},
		"closed at once": {func(*http2.Framer, net.Conn, string, string) {}, "connection closed before the response"},
		"half a frame": {func(_ *http2.Framer, c net.Conn, _, _ string) {
			_, _ = io.WriteString(c, "\x00\x00\x08\x06\x00\x00\x00\x00\x00\x01\x02")
		}, "connection closed before the response"},
		"reset":           {func(f *http2.Framer, _ net.Conn, _, _ string) { _ = f.WriteRSTStream(1, http2.ErrCodeRefusedStream) }, "the backend reset the call: REFUSED_STREAM"},
		"going away":      {func(f *http2.Framer, _ net.Conn, _, _ string) { _ = f.WriteGoAway(0, http2.ErrCodeNo, nil) }, "the backend ended the HTTP/2 connection before the response"},
		"data first":      {func(f *http2.Framer, _ net.Conn, _, _ string) { _ = f.WriteData(1, true, framed(serving)) }, "a frame of HTTP/2 for another stream than ours, or before its head"},
		"data of another": {func(f *http2.Framer, _ net.Conn, _, _ string) { _ = f.WriteData(3, true, framed(serving)) }, "a frame of HTTP/2 for another stream than ours, or before its head"},
		"push": {func(f *http2.Framer, _ net.Conn, _, _ string) {
			_ = f.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: block(":method", "GET"), EndHeaders: true})
		}, "an unexpected PUSH_PROMISE frame of HTTP/2"},
		"large message": {func(f *http2.Framer, _ net.Conn, _, _ string) {
			headers(f, false, ":status", "200", "content-type", grpc)
			_ = f.WriteData(1, false, make([]byte, 5000))
		}, "the gRPC response is too large"},
		"large head":    {only(":status", "200", "content-type", grpc, "a", strings.Repeat("~", 15_000)), "the gRPC response has no grpc-status"},
		"larger head":   {only(":status", "200", "content-type", grpc, "a", strings.Repeat("0", 9_000), "b", strings.Repeat("0", 9_000)), "the gRPC response is too large"},
		"flood of acks": {func(f *http2.Framer, _ net.Conn, _, _ string) { _ = flood(f) }, "the gRPC response is too large"},
	} {
		t.Run(name, func(t *testing.T) {
			address := grpcServer(t, nil, c.script)
			f, _ := firstFlip(t, Config{Type: GRPC, Service: "app.v1.App"}, address, dialTCP)
			if f.reason != c.reason || f.up != (c.reason == pass) {
				t.Errorf("up %v: %q, want %q", f.up, f.reason, c.reason)
			}
		})
	}
}

// flood sends PING frames until the other side no longer reads.
func flood(f *http2.Framer) error {
	for range 100_000 {
		if err := f.WritePing(true, [8]byte{}); err != nil {
			return err
		}
	}
	return nil
}

// TestGRPCCall: what a call says.
func TestGRPCCall(t *testing.T) {
	for _, c := range []struct {
		config  Config
		fields  string // with ADDRESS
		message string
	}{
		{Config{}, ":method: POST\n:scheme: http\n:path: /grpc.health.v1.Health/Check\n:authority: ADDRESS\ncontent-type: application/grpc\nte: trailers\n" +
			"grpc-timeout: 5000m\nuser-agent: lb-health/1.2.3\n", "\x00\x00\x00\x00\x00"},
		{Config{Service: "app", Host: "a.test"}, ":method: POST\n:scheme: http\n:path: /grpc.health.v1.Health/Check\n:authority: a.test\ncontent-type: application/grpc\n" +
			"te: trailers\ngrpc-timeout: 5000m\nuser-agent: lb-health/1.2.3\n", "\x00\x00\x00\x00\x05\x0a\x03app"},
	} {
		var gotFields, gotMessage string
		address := grpcServer(t, nil, func(f *http2.Framer, conn net.Conn, fields, message string) {
			gotFields, gotMessage = fields, message
			status("\x08\x01", "0")(f, conn, "", "")
		})
		c.config.Type = GRPC
		if f, _ := firstFlip(t, c.config, address, dialTCP); !f.up {
			t.Errorf("%q", f.reason)
		}
		if want := strings.ReplaceAll(c.fields, "ADDRESS", address); gotFields != want || gotMessage != c.message {
			t.Errorf("got %q %q, want %q %q", gotFields, gotMessage, want, c.message)
		}
	}
}

// TestGRPCOverTLS: a server that does not agree on HTTP/2 is down.
func TestGRPCOverTLS(t *testing.T) {
	pair := lbtest.SelfSigned(t)
	for protocol, reason := range map[string]string{"h2": pass, "": "the TLS handshake did not agree on HTTP/2, which gRPC needs"} {
		config := &tls.Config{Certificates: []tls.Certificate{pair}}
		if protocol != "" {
			config.NextProtos = []string{protocol}
		}
		var scheme string
		address := grpcServer(t, func(c net.Conn) net.Conn { return tls.Server(c, config) }, func(f *http2.Framer, conn net.Conn, fields, _ string) {
			scheme = fields
			status("\x08\x01", "0")(f, conn, "", "")
		})
		f, _ := firstFlip(t, Config{Type: GRPC}, address, func(ctx context.Context, b *pool.Backend) (net.Conn, error) {
			d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
			return d.DialContext(ctx, "tcp", b.Address())
		})
		if f.reason != reason || f.up && !strings.Contains(scheme, ":scheme: https\n") {
			t.Errorf("%q: %q, want %q; %q", protocol, f.reason, reason, scheme)
		}
	}
}

// FuzzServingStatus: no message has the reader fail, and one of the health service is read.
func FuzzServingStatus(f *testing.F) {
	for _, message := range []string{"", "\x08\x01", "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x08\x80", "\x0a\x02ab\x08\x02", "\x0b", "\x00\x00"} {
		f.Add(framed(message), uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, state uint8) {
		if _, ok := servingStatus(b); !ok {
			return
		}
		message := binary.AppendUvarint(append(b[5:len(b):len(b)], 1<<3), uint64(state))
		if got, ok := servingStatus(framed(string(message))); !ok || got != uint64(state) {
			t.Fatalf("%q: %d, %v, want %d", message, got, ok, state)
		}
	})
}
