package http2

import (
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/lbtest"
)

func TestGet(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	c.Get(1, "/a?b=c")
	c.Get(3, "/d")
	want(t, c, 3, 200, "GET /d")
	want(t, c, 1, 200, "GET /a?b=c")
	if n := c.Settled[xhttp2.SettingMaxConcurrentStreams]; n != mostStreams {
		t.Errorf("SETTINGS_MAX_CONCURRENT_STREAMS is %d", n)
	}
	if n := c.Settled[xhttp2.SettingEnableConnectProtocol]; n != 1 {
		t.Errorf("SETTINGS_ENABLE_CONNECT_PROTOCOL is %d", n)
	}
}

// TestPieces: frames may come in any pieces.
func TestPieces(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	record := &strings.Builder{}
	f := xhttp2.NewFramer(record, nil)
	f.WriteHeaders(xhttp2.HeadersFrameParam{
		StreamID: 1, EndHeaders: true,
		BlockFragment: c.Block(":method", "POST", ":scheme", "http", ":path", "/echo", ":authority", "a.test"),
	})
	f.WriteData(1, false, []byte(strings.Repeat("x", 700)))
	f.WriteData(1, true, []byte("end"))
	for _, b := range []byte(record.String()) {
		c.Conn.Write([]byte{b})
	}
	want(t, c, 1, 200, strings.Repeat("x", 700)+"end")
}

// TestUpload: a body larger than all windows arrives complete, whatever the sizes of its frames.
func TestUpload(t *testing.T) {
	for _, size := range []int{1, 1000, 16384} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			c := startServer(t, Limits{}).dial()
			c.Post(1, "/echo")
			total := 1000 * size
			if size == 16384 {
				total = 100 * size
			}
			left, send := total, map[uint32]int64{0: firstWindow, 1: firstWindow}
			granted := func(id uint32) int64 { return send[id] + c.Updates[id] }
			for left > 0 {
				n := min(size, left)
				if !c.Until(func() bool { return granted(0) >= int64(n) && granted(1) >= int64(n) }) {
					t.Fatal(c.Err)
				}
				c.WriteData(1, n == left, make([]byte, n))
				send[0] -= int64(n)
				send[1] -= int64(n)
				left -= n
			}
			want(t, c, 1, 200, string(make([]byte, total)))
		})
	}
}

// TestDownload: bodies arrive complete, through windows of all sizes.
func TestDownload(t *testing.T) {
	for _, window := range []uint32{1, 10, 65535, 1 << 20} {
		for _, target := range []string{"/stream/10/50", "/stream/10/50/1", "/stream/3/100000", "/stream/1/0"} {
			if window < 100 && strings.Contains(target, "00000") {
				continue
			}
			t.Run(strconv.Itoa(int(window))+target, func(t *testing.T) {
				c := startServer(t, Limits{}).dial(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: window})
				c.Get(1, target)
				c.Get(3, target)
				parts := strings.Split(target, "/")
				n, _ := strconv.Atoi(parts[2])
				size, _ := strconv.Atoi(parts[3])
				whole := ""
				for i := n - 1; i >= 0; i-- {
					whole += strings.Repeat(string(rune('a'+i%26)), size)
				}
				want(t, c, 1, 200, whole)
				want(t, c, 3, 200, whole)
			})
		}
	}
}

// TestWindowShrinks: a client may make windows negative.
func TestWindowShrinks(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	c.Hold = true
	c.Get(1, "/stream/2/65535")
	c.Until(func() bool { return len(c.Stream(1).Body) == 65535 })
	c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	c.WriteWindowUpdate(0, 1<<20)
	c.WriteWindowUpdate(1, 65535) // it is 0 then
	c.WriteWindowUpdate(1, 10)
	c.Until(func() bool { return len(c.Stream(1).Body) == 65545 })
	c.WritePing(false, [8]byte{1})
	c.WriteWindowUpdate(1, 1<<20)
	want(t, c, 1, 200, strings.Repeat("b", 65535)+strings.Repeat("a", 65535))
}

func TestTrailers(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	c.Post(1, "/echo", "trailer", "x-sum, content-length")
	c.WriteData(1, false, []byte("body "))
	c.Headers(1, true, "x-sum", "1", "content-length", "5", "x-more", "2")
	want(t, c, 1, 200, "body x-sum: 1\r\nx-more: 2\r\n")
	c.Get(3, "/trailers")
	if s := want(t, c, 3, 200, "body"); s.Trailer("x-sum") != "1" {
		t.Errorf("trailers %v", s.Trailers)
	}
}

func TestInterim(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	c.Get(1, "/interim")
	if s := want(t, c, 1, 200, "done"); len(s.Interim) != 1 || s.Interim[0] != "103" {
		t.Errorf("interim responses %v", s.Interim)
	}
	c.Post(3, "/echo", "expect", "100-continue")
	c.Until(func() bool { return len(c.Stream(3).Interim) > 0 })
	c.WriteData(3, true, []byte("x"))
	if s := want(t, c, 3, 200, "x"); len(s.Interim) != 1 || s.Interim[0] != "100" {
		t.Errorf("interim responses %v", s.Interim)
	}
}

// TestBodyless: responses without a body end with their head.
func TestBodyless(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	for i, target := range []string{"/status/204", "/status/304", "/status/200"} {
		id := uint32(2*i + 1)
		c.Get(id, target)
		if s := c.Await(id); !s.Ended || s.Frames != 0 {
			t.Errorf("%s: %+v", target, s)
		}
	}
	c.Headers(7, true, ":method", "HEAD", ":scheme", "http", ":path", "/", ":authority", "a.test")
	if s := c.Await(7); !s.Ended || s.Frames != 0 || s.Field("content-length") != "6" {
		t.Errorf("HEAD: %+v", s)
	}
}

// TestLargeHead: a response head may need several frames.
func TestLargeHead(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	c.Get(1, "/large-head/50000")
	if s := want(t, c, 1, 200, ""); s.Field("x-large") != strings.Repeat("a", 50000) {
		t.Error("it is not whole")
	}
}

// TestCut: a truncated response cannot be taken for complete.
func TestCut(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	c.Get(1, "/cut")
	wantReset(t, c, 1, codeInternal)
	c.Get(3, "/")
	want(t, c, 3, 200, "GET /")
}

// TestEndBeforeFlushed: the same for a response whose exchange ends before all of it was sent.
func TestEndBeforeFlushed(t *testing.T) {
	c := startServer(t, Limits{}).dial(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 5})
	c.Hold = true
	c.Get(1, "/hasty")
	wantReset(t, c, 1, codeInternal)
}

func TestPanic(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	c.Get(1, "/panic")
	if r := c.Await(1); r.Status != 500 {
		t.Errorf("%+v", r)
	}
	c.Get(3, "/")
	want(t, c, 3, 200, "GET /")
	if s.panicked.Load() != 1 {
		t.Error("Disconnected was not called")
	}
}

// TestCancel: a stream that the client resets ends at once, and the others continue.
func TestCancel(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	c.Get(1, "/never")
	c.Get(3, "/later/1")
	c.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	want(t, c, 3, 200, "later")
	lbtest.Eventually(t, "the exchange has ended", func() bool { return s.disconnects.Load() == 1 })
	if err := s.lastError.Load(); err != ErrCancelled {
		t.Errorf("it ended with %v", err)
	}
}

// TestDisconnect: all streams of a connection end with it.
func TestDisconnect(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	for id := uint32(1); id < 20; id += 2 {
		c.Get(id, "/never")
	}
	lbtest.Eventually(t, "they have begun", func() bool { return s.streams.Load() == 10 })
	c.Conn.Close()
	lbtest.Eventually(t, "they have ended", func() bool { return s.disconnects.Load() == 10 && s.open.Load() == 0 })
}

// TestCutWhenFlushed: an exchange may end the connection in Flushed while others wait for theirs.
func TestCutWhenFlushed(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	c.Get(1, "/cut-connection")
	c.Get(3, "/cut-connection")
	c.Until(func() bool { return c.Stream(1).Status != 0 && c.Stream(3).Status != 0 })
	c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 100})
	lbtest.Eventually(t, "the connection has ended", func() bool { return s.open.Load() == 0 })
}

// TestTooManyStreams: streams over the limit are refused so that the client may retry, and the others are served.
func TestTooManyStreams(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	id := uint32(1)
	for range mostStreams {
		c.Get(id, "/never")
		id += 2
	}
	c.Get(id, "/")
	wantReset(t, c, id, codeRefused)
	c.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	c.Get(id+2, "/")
	want(t, c, id+2, 200, "GET /")
}

// TestUnreadBody: the rest of a body that is not needed is discarded after the response, and frames in transit do no harm.
func TestUnreadBody(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	c.Post(1, "/")
	c.WriteData(1, false, make([]byte, 1000))
	if s := want(t, c, 1, 200, "POST /"); !s.Ended {
		t.Errorf("%+v", s)
	}
	c.Until(func() bool { return c.Stream(1).Reset != nil })
	c.WriteData(1, false, make([]byte, 1000))
	c.Headers(1, true, "x-sum", "1")
	c.Get(3, "/")
	want(t, c, 3, 200, "GET /")
}

func TestBodyLimit(t *testing.T) {
	c := startServer(t, Limits{BodySize: 10}).dial()
	c.Post(1, "/echo", "content-length", "11")
	want(t, c, 1, 413, ErrBodyTooLarge.Error())
	c.Post(3, "/echo")
	c.WriteData(3, false, make([]byte, 11))
	want(t, c, 3, 413, ErrBodyTooLarge.Error())
	c.Post(5, "/echo")
	c.WriteData(5, true, []byte("0123456789"))
	want(t, c, 5, 200, "0123456789")
}

func TestBodyTimeout(t *testing.T) {
	c := startServer(t, Limits{BodyIdleTimeout: 30 * time.Millisecond}).dial()
	c.Post(1, "/echo")
	c.WriteData(1, false, []byte("x"))
	want(t, c, 1, 408, ErrBodyTimeout.Error())
}

// TestStalledReader: a client that opens no window for too long is disconnected.
func TestStalledReader(t *testing.T) {
	c := startServer(t, Limits{BodyIdleTimeout: 30 * time.Millisecond}).dial(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	c.Get(1, "/stream/1/10")
	wantAway(t, c, codeCalm)
}

// TestStalledBothWays: the timeout for a client that reads nothing continues after the timeout for its body.
func TestStalledBothWays(t *testing.T) {
	c := startServer(t, Limits{BodyIdleTimeout: 30 * time.Millisecond}).dial(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	c.Post(1, "/both")
	wantAway(t, c, codeCalm)
}

func TestIdleTimeout(t *testing.T) {
	c := startServer(t, Limits{IdleTimeout: 30 * time.Millisecond}).dial()
	c.Get(1, "/later/60")
	want(t, c, 1, 200, "later")
	wantAway(t, c, codeNo)
	if len(c.Away) != 2 || c.Away[0].Last != 1<<31-1 || c.Away[1].Last != 1 {
		t.Errorf("%+v", c.Away)
	}
}

// TestSilentClient: a client that sends nothing, or half a head, is disconnected.
func TestSilentClient(t *testing.T) {
	s := startServer(t, Limits{HeaderTimeout: 30 * time.Millisecond})
	silent := lbtest.Dial(t, s.address)
	silent.Ended()
	c := s.dial()
	c.Until(func() bool { return len(c.Settled) > 0 }) // the acknowledgement must not interrupt the block
	c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: c.Block(":method", "GET")})
	wantAway(t, c, codeCalm)
	c = s.dial()
	c.Until(func() bool { return len(c.Settled) > 0 })
	c.WriteRawFrame(xhttp2.FrameHeaders, 0, 1, nil)
	wantAway(t, c, codeCalm)
	lbtest.Eventually(t, "all connections have ended", func() bool { return s.open.Load() == 0 })
}

// TestHalfFrame: a client that stops in a frame, of which the header or a part of the payload has come, is not waited for, with and without
// a request in progress.
func TestHalfFrame(t *testing.T) {
	s := startServer(t, Limits{HeaderTimeout: 50 * time.Millisecond, BodyIdleTimeout: 50 * time.Millisecond, IdleTimeout: 50 * time.Millisecond})
	for name, half := range map[string]string{
		"a byte": "\x00", "half a header": "\x00\x00\x04\x08", "a header": "\x00\x00\x08\x06\x00\x00\x00\x00\x00",
		"half a PING": "\x00\x00\x08\x06\x00\x00\x00\x00\x00half", "half of HEADERS": "\x00\x00\x20\x01\x05\x00\x00\x00\x03\x82",
		"half of DATA": "\x00\x00\x20\x00\x01\x00\x00\x00\x01data", "half of SETTINGS": "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03",
	} {
		for _, request := range []bool{false, true} {
			c := s.dial()
			if request {
				c.Post(1, "/echo")
			}
			if _, err := io.WriteString(c.Conn, half); err != nil {
				t.Fatal(err)
			}
			if c.End() == nil {
				t.Errorf("%s, with a request: %v: no GOAWAY", name, request)
			}
		}
	}
	lbtest.Eventually(t, "all connections have ended", func() bool { return s.open.Load() == 0 })
}

func TestNoPreface(t *testing.T) {
	s := startServer(t, Limits{})
	c := lbtest.Dial(t, s.address)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.Ended()
}
