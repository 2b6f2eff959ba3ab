package http2

import (
	"io"
	"runtime"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/lbtest"
)

// flood is an endless sequence of frames of a client.
type flood struct {
	begin func(c *lbtest.HTTP2)           // may be nil
	send  func(c *lbtest.HTTP2, n uint32) // n counts from 0
}

// next is the ID of the nth stream of a flood; stream 1 is for its beginning.
func next(n uint32) uint32 { return 2*n + 3 }

var floods = map[string]flood{
	"rapid reset (CVE-2023-44487)": {nil, func(c *lbtest.HTTP2, n uint32) {
		c.Get(next(n), "/never")
		c.WriteRSTStream(next(n), xhttp2.ErrCodeCancel)
	}},
	"MadeYouReset (CVE-2025-8671) by WINDOW_UPDATE": {nil, func(c *lbtest.HTTP2, n uint32) {
		c.Get(next(n), "/never")
		c.WriteWindowUpdate(next(n), 0)
	}},
	"MadeYouReset by a large window": {nil, func(c *lbtest.HTTP2, n uint32) {
		c.Get(next(n), "/never")
		c.WriteWindowUpdate(next(n), 1<<31-1)
	}},
	"MadeYouReset by DATA behind the end": {nil, func(c *lbtest.HTTP2, n uint32) {
		c.Get(next(n), "/never")
		c.WriteData(next(n), true, nil)
	}},
	"MadeYouReset by HEADERS behind the end": {nil, func(c *lbtest.HTTP2, n uint32) {
		c.Get(next(n), "/never")
		c.Headers(next(n), true, "x", "y")
	}},
	"MadeYouReset by a length": {nil, func(c *lbtest.HTTP2, n uint32) {
		c.Post(next(n), "/never", "content-length", "1")
		c.WriteData(next(n), true, nil)
	}},
	"MadeYouReset by PRIORITY": {nil, func(c *lbtest.HTTP2, n uint32) {
		c.Get(next(n), "/never")
		c.WritePriority(next(n), xhttp2.PriorityParam{StreamDep: next(n)})
	}},
	"malformed requests": {nil, func(c *lbtest.HTTP2, n uint32) { c.Get(next(n), "/", "connection", "close") }},
	"refused requests":   {nil, func(c *lbtest.HTTP2, n uint32) { c.Get(next(n), "/", "expect", "miracles") }},
	"CONTINUATION (CVE-2023-45288)": {beginBlock, func(c *lbtest.HTTP2, n uint32) {
		c.WriteContinuation(1, false, c.Block("x", strings.Repeat("a", 1000)))
	}},
	"empty CONTINUATION": {beginBlock, func(c *lbtest.HTTP2, _ uint32) { c.WriteContinuation(1, false, nil) }},
	"SETTINGS": {nil, func(c *lbtest.HTTP2, _ uint32) {
		c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1})
	}},
	"acknowledgements of SETTINGS": {nil, func(c *lbtest.HTTP2, _ uint32) { c.WriteSettingsAck() }},
	"PING":                         {nil, func(c *lbtest.HTTP2, _ uint32) { c.WritePing(false, [8]byte{1}) }},
	"acknowledgements of PING":     {nil, func(c *lbtest.HTTP2, _ uint32) { c.WritePing(true, [8]byte{1}) }},
	"acknowledgements of a PING that was not sent": {nil, func(c *lbtest.HTTP2, _ uint32) { c.WritePing(true, measurePing) }},
	"empty DATA": {func(c *lbtest.HTTP2) { c.Post(1, "/unread") }, func(c *lbtest.HTTP2, _ uint32) {
		c.WriteData(1, false, nil)
	}},
	"padding alone": {func(c *lbtest.HTTP2) { c.Post(1, "/unread") }, func(c *lbtest.HTTP2, _ uint32) {
		c.WriteDataPadded(1, false, nil, make([]byte, 1))
	}},
	"DATA on a stream that has ended": {func(c *lbtest.HTTP2) { c.Get(1, "/"); c.Await(1) }, func(c *lbtest.HTTP2, _ uint32) {
		c.WriteData(1, false, []byte("x"))
	}},
	"DATA at the end of a stream that was reset": {postReset, func(c *lbtest.HTTP2, _ uint32) { c.WriteData(1, true, nil) }},
	"HEADERS on a stream that was reset":         {postReset, func(c *lbtest.HTTP2, _ uint32) { c.Headers(1, true, "x", "y") }},
	"RST_STREAM": {func(c *lbtest.HTTP2) { c.Get(1, "/") }, func(c *lbtest.HTTP2, _ uint32) {
		c.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	}},
	"PRIORITY": {nil, func(c *lbtest.HTTP2, n uint32) {
		c.WritePriority(next(n), xhttp2.PriorityParam{StreamDep: 1})
	}},
	"PRIORITY_UPDATE": {nil, func(c *lbtest.HTTP2, n uint32) { c.WritePriorityUpdate(next(n), "u=1") }},
	"WINDOW_UPDATE":   {nil, func(c *lbtest.HTTP2, _ uint32) { c.WriteWindowUpdate(0, 1) }},
	"WINDOW_UPDATE of a stream": {func(c *lbtest.HTTP2) { c.Get(1, "/never") }, func(c *lbtest.HTTP2, _ uint32) {
		c.WriteWindowUpdate(1, 1)
	}},
	"GOAWAY":         {nil, func(c *lbtest.HTTP2, _ uint32) { c.WriteGoAway(0, codeNo, nil) }},
	"unknown frames": {nil, func(c *lbtest.HTTP2, _ uint32) { c.WriteRawFrame(0x77, 0, 0, make([]byte, 100)) }},
	"HPACK bomb (CVE-2026-49975)": {func(c *lbtest.HTTP2) {
		c.Get(1, "/", "x", strings.Repeat("a", 4000))
		c.Await(1)
	}, func(c *lbtest.HTTP2, n uint32) {
		c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: next(n), EndHeaders: true, BlockFragment: []byte(strings.Repeat("\xbe", 16000))})
	}},
	"empty fields": {nil, func(c *lbtest.HTTP2, n uint32) {
		c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: next(n), EndHeaders: true, BlockFragment: []byte(strings.Repeat("\x00\x00\x00", 5000))})
	}},
	"cookie crumbs": {nil, func(c *lbtest.HTTP2, n uint32) {
		c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: next(n), EndHeaders: true, BlockFragment: []byte(strings.Repeat("\xa0", 16000))})
	}},
}

func beginBlock(c *lbtest.HTTP2) {
	c.Until(func() bool { return len(c.Settled) > 0 })
	c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: c.Block(":method", "GET")})
}

// postReset makes the server reset stream 1, whose body it does not need.
func postReset(c *lbtest.HTTP2) {
	c.Post(1, "/")
	c.Until(func() bool { return c.Stream(1).Reset != nil })
}

// TestFloods: frames that cost lb more than the client end the connection with ENHANCE_YOUR_CALM, after a bounded number of them,
// and use no memory. Another client is served meanwhile.
func TestFloods(t *testing.T) {
	const most = 5000 // frames
	for name, f := range floods {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, Limits{})
			good, c := s.dial(), s.dial()
			if f.begin != nil {
				f.begin(c)
			}
			c.Silent = true // what it says from now on is said here
			ended := make(chan *lbtest.HTTP2Away, 1)
			go func() { ended <- c.End() }()
			var away *lbtest.HTTP2Away
			served := s.served.Load()
			sent := uint32(0)
			for ; sent < most && away == nil; sent++ {
				f.send(c, sent)
				select {
				case away = <-ended:
				default:
				}
				if sent%1000 == 0 {
					good.Get(sent*2+1, "/")
					want(t, good, sent*2+1, 200, "GET /")
				}
			}
			if away == nil {
				away, _ = lbtest.Wait(t, "the connection ends", ended)
			}
			if away == nil || away.Code != codeCalm || c.TimedOut() {
				t.Errorf("%d frames, GOAWAY %+v (%v)", sent, away, c.Err)
			}
			if n := s.served.Load() - served; n > mostResets+mostResets/10+5 {
				t.Errorf("%d requests were served", n)
			}
			good.Get(1<<20+1, "/")
			want(t, good, 1<<20+1, 200, "GET /")
			labels := map[string]bool{}
			for len(s.refused) > 0 {
				labels[(<-s.refused).Label] = true
			}
			if !labels[LabelFlood] {
				t.Errorf("it was not reported: %v", labels)
			}
		})
	}
}

// TestUnreadReplies: replies to a client that does not read them do not accumulate.
func TestUnreadReplies(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial()
	frame := &strings.Builder{}
	f := xhttp2.NewFramer(frame, nil)
	for range 1000 {
		f.WritePing(false, [8]byte{})
		f.WriteData(1, false, []byte("xxxxxxx")) // DATA frames allow more PINGs
		f.WriteData(1, false, []byte("x"))
	}
	c.Post(1, "/echo")
	for {
		if _, err := io.WriteString(c.Conn, frame.String()); err != nil {
			break
		}
	}
	lbtest.Eventually(t, "the connection has ended", func() bool { return s.open.Load() == 0 })
}

// TestManyStalledStreams: clients that read nothing hold no more than their pending output, and no longer than body_idle_timeout.
func TestManyStalledStreams(t *testing.T) {
	s := startServer(t, Limits{})
	lent := func() (n int64) {
		for _, l := range s.loops.All() {
			n += l.Counters().Lent
		}
		return n
	}
	c := s.dial(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	for id := uint32(1); id < 2*mostStreams; id += 2 {
		c.Get(id, "/stream/1000/1000")
	}
	c.Until(func() bool { return c.Stream(2*mostStreams-1).Status != 0 })
	if n := lent(); n > mostStreams*(16<<10)+256<<10 {
		t.Errorf("%d bytes are lent", n)
	}
	c.Conn.Close()
	lbtest.Eventually(t, "nothing is lent", func() bool { return lent() == 0 })
	runtime.KeepAlive(c)
}
