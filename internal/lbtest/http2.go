package lbtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// HTTP2 is a client of HTTP/2 whose frames the test writes itself, right or wrong, by the methods of the Framer. What it reads it
// understands as far as a client has to: it acknowledges SETTINGS and PING, and opens windows.
type HTTP2 struct {
	*http2.Framer
	Conn net.Conn

	Hold    bool // it opens no window
	Silent  bool // it replies to nothing
	Away    []*HTTP2Away
	Settled map[http2.SettingID]uint32 // the server's settings
	Updates map[uint32]int64           // what the server has opened its windows by; 0 is the connection's
	Err     error                      // why nothing more can be read

	t       testing.TB
	encoder *hpack.Encoder
	block   bytes.Buffer
	decoder *hpack.Decoder
	streams map[uint32]*HTTP2Stream
	order   []uint32
}

// HTTP2Away is a GOAWAY frame.
type HTTP2Away struct {
	Last uint32
	Code http2.ErrCode
	Text string
}

// HTTP2Stream is what came of a response.
type HTTP2Stream struct {
	Interim  []string // statuses
	Status   int
	Fields   []hpack.HeaderField // of the final response
	Trailers []hpack.HeaderField
	Body     string
	Ended    bool           // by END_STREAM
	Reset    *http2.ErrCode // nil: it was not
	Frames   int            // of DATA
}

// Field returns the values of a field, with a bar between them.
func (s *HTTP2Stream) Field(name string) string { return fieldOf(s.Fields, name) }

// Trailer is the same for a trailer field.
func (s *HTTP2Stream) Trailer(name string) string { return fieldOf(s.Trailers, name) }

func fieldOf(fields []hpack.HeaderField, name string) string {
	var values []string
	for _, f := range fields {
		if f.Name == name {
			values = append(values, f.Value)
		}
	}
	return strings.Join(values, "|")
}

// DialHTTP2 connects and says what a client says first, with those settings.
func DialHTTP2(t testing.TB, address string, settings ...http2.Setting) *HTTP2 {
	t.Helper()
	return NewHTTP2(t, Dial(t, address), settings...)
}

// NewHTTP2 is DialHTTP2 for a connection that is open.
func NewHTTP2(t testing.TB, conn net.Conn, settings ...http2.Setting) *HTTP2 {
	t.Helper()
	c := &HTTP2{
		Framer: http2.NewFramer(conn, conn), Conn: conn, t: t,
		Settled: map[http2.SettingID]uint32{}, Updates: map[uint32]int64{}, streams: map[uint32]*HTTP2Stream{},
	}
	c.AllowIllegalWrites = true
	c.decoder = hpack.NewDecoder(4096, nil)
	_, _ = io.WriteString(conn, http2.ClientPreface)
	_ = c.WriteSettings(settings...)
	return c
}

// Block encodes fields, given as names and values alternately.
func (c *HTTP2) Block(fields ...string) []byte {
	if c.encoder == nil {
		c.encoder = hpack.NewEncoder(&c.block)
	}
	c.block.Reset()
	for i := 0; i+1 < len(fields); i += 2 {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(c.block.Bytes())
}

// Headers sends a HEADERS frame with those fields.
func (c *HTTP2) Headers(id uint32, end bool, fields ...string) {
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.Block(fields...), EndStream: end, EndHeaders: true})
}

// Get sends a GET request with further fields.
func (c *HTTP2) Get(id uint32, path string, fields ...string) {
	c.Headers(id, true, append([]string{":method", "GET", ":scheme", "http", ":path", path, ":authority", "a.test"}, fields...)...)
}

// Post begins a POST request with further fields.
func (c *HTTP2) Post(id uint32, path string, fields ...string) {
	c.Headers(id, false, append([]string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "a.test"}, fields...)...)
}

// Stream returns what has been read of a stream.
func (c *HTTP2) Stream(id uint32) *HTTP2Stream {
	s := c.streams[id]
	if s == nil {
		s = &HTTP2Stream{}
		c.streams[id] = s
	}
	return s
}

// Order returns the streams in the order in which DATA came, each change once.
func (c *HTTP2) Order() []uint32 { return c.order }

// Await reads until the stream has ended, or the connection has.
func (c *HTTP2) Await(id uint32) *HTTP2Stream {
	s := c.Stream(id)
	c.Until(func() bool { return s.Ended || s.Reset != nil })
	return s
}

// Until reads until a condition holds. It reports false if the connection ends before.
func (c *HTTP2) Until(cond func() bool) bool {
	for !cond() {
		if c.Err != nil {
			return false
		}
		f, err := c.ReadFrame()
		if err != nil {
			c.Err = err
			return cond()
		}
		c.take(f)
	}
	return true
}

// End reads until the connection ends, and returns the last GOAWAY; nil if there was none.
func (c *HTTP2) End() *HTTP2Away {
	c.Until(func() bool { return false })
	if len(c.Away) == 0 {
		return nil
	}
	return c.Away[len(c.Away)-1]
}

// TimedOut reports whether nothing more was read because it took too long.
func (c *HTTP2) TimedOut() bool {
	var n net.Error
	return errors.As(c.Err, &n) && n.Timeout()
}

func (c *HTTP2) take(f http2.Frame) {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			_ = f.ForeachSetting(func(s http2.Setting) error { c.Settled[s.ID] = s.Val; return nil })
		}
		if !f.IsAck() && !c.Silent {
			_ = c.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() && !c.Silent {
			_ = c.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
		c.Updates[f.StreamID] += int64(f.Increment)
	case *http2.GoAwayFrame:
		c.Away = append(c.Away, &HTTP2Away{f.LastStreamID, f.ErrCode, string(f.DebugData())})
	case *http2.RSTStreamFrame:
		code := f.ErrCode
		c.Stream(f.StreamID).Reset = &code
	case *http2.HeadersFrame:
		c.head(f)
	case *http2.DataFrame:
		s := c.Stream(f.StreamID)
		s.Body += string(f.Data())
		s.Ended = f.StreamEnded()
		s.Frames++
		if n := len(c.order); n == 0 || c.order[n-1] != f.StreamID {
			c.order = append(c.order, f.StreamID)
		}
		if n := uint32(len(f.Data())); n > 0 && !c.Hold && !c.Silent {
			_ = c.WriteWindowUpdate(0, n)
			if !s.Ended {
				_ = c.WriteWindowUpdate(f.StreamID, n)
			}
		}
	}
}

// head takes a response head or a trailer section.
func (c *HTTP2) head(f *http2.HeadersFrame) {
	block := bytes.Clone(f.HeaderBlockFragment())
	for ended := f.HeadersEnded(); !ended; {
		next, err := c.ReadFrame()
		more, ok := next.(*http2.ContinuationFrame)
		if err != nil || !ok {
			c.t.Errorf("no CONTINUATION follows: %v (%v)", next, err)
			return
		}
		block = append(block, more.HeaderBlockFragment()...)
		ended = more.HeadersEnded()
	}
	fields, err := c.decoder.DecodeFull(block)
	if err != nil {
		c.t.Errorf("a header block cannot be decoded: %v", err)
		return
	}
	s := c.Stream(f.StreamID)
	s.Ended = f.StreamEnded()
	switch status := fieldOf(fields, ":status"); {
	case s.Status != 0:
		s.Trailers = fields
	case strings.HasPrefix(status, "1"):
		s.Interim = append(s.Interim, status)
	default:
		s.Status, _ = strconv.Atoi(status)
		s.Fields = fields
	}
}
