package server_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"lb/internal/lbtest"
)

// http2Script is a connection of a scripted backend of HTTP/2.
type http2Script struct {
	*xhttp2.Framer
	*lbtest.Conn
	encoder *hpack.Encoder
	block   bytes.Buffer
	decoder *hpack.Decoder
}

// scriptHTTP2 starts a backend that takes the preface, sends SETTINGS, and runs a script for each connection.
func scriptHTTP2(t *testing.T, script func(c *http2Script), settings ...xhttp2.Setting) *lbtest.Backend {
	t.Helper()
	return lbtest.NewBackend(t, func(conn *lbtest.Conn) {
		preface := make([]byte, len(xhttp2.ClientPreface))
		if _, err := io.ReadFull(conn, preface); err != nil {
			return
		}
		c := &http2Script{Framer: xhttp2.NewFramer(conn.Conn, conn), Conn: conn, decoder: hpack.NewDecoder(4096, nil)}
		c.AllowIllegalWrites = true
		c.encoder = hpack.NewEncoder(&c.block)
		_ = c.WriteSettings(settings...)
		script(c)
	})
}

// next reads the next frame that is for a stream, or the GOAWAY; nil at the end of the connection.
func (c *http2Script) next() xhttp2.Frame {
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return nil
		}
		switch f := frame.(type) {
		case *xhttp2.SettingsFrame:
			if !f.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *xhttp2.PingFrame:
			if !f.IsAck() {
				_ = c.WritePing(true, f.Data)
			}
		case *xhttp2.WindowUpdateFrame:
			if f.StreamID != 0 {
				return f
			}
		default:
			return f
		}
	}
}

// request reads frames up to the head of the next request, and returns its stream and its fields, one a line; "" at the end of the connection.
func (c *http2Script) request() (id uint32, head string) {
	for {
		frame := c.next()
		if frame == nil {
			return 0, ""
		}
		if f, ok := frame.(*xhttp2.HeadersFrame); ok {
			fields, err := c.decoder.DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				return 0, ""
			}
			var b strings.Builder
			for _, field := range fields {
				b.WriteString(field.Name + ": " + field.Value + "\n")
			}
			return f.StreamID, b.String()
		}
	}
}

// head sends a HEADERS frame with these fields.
func (c *http2Script) head(id uint32, end bool, fields ...string) {
	_ = c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: c.fields(fields...), EndStream: end, EndHeaders: true})
}

// fields encodes fields.
func (c *http2Script) fields(fields ...string) []byte {
	c.block.Reset()
	for i := 0; i+1 < len(fields); i += 2 {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(c.block.Bytes())
}

// hold reads until the end of the connection.
func (c *http2Script) hold() {
	for c.next() != nil {
	}
}
