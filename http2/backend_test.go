package http2

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/fieldsection"
	"lb/internal/lbtest"
	"lb/message"
	"lb/netloop"
)

// backendConn is a connection to a backend that a test plays.
type backendConn struct {
	netloop.Socket
	BackendConn
	t       *testing.T
	loop    *netloop.Loop
	worker  *Worker
	limits  fieldsection.Limits
	settled chan struct{}
	closed  chan *Failure
	ready   chan struct{} // ResponseReady was called
	peer    *xhttp2.Framer
	conn    net.Conn // the backend's end
}

func dialBackend(t *testing.T) *backendConn {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	loops := netloop.New(netloop.Options{Loops: 1})
	if err := loops.Start(ctx); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := loops.All()[0]
	c := &backendConn{
		t: t, loop: l, worker: &Worker{Loop: l}, limits: fieldsection.Limits{HeaderSize: 16 << 10, HeaderFields: 100},
		settled: make(chan struct{}, 1), closed: make(chan *Failure, 1), ready: make(chan struct{}, 100),
	}
	c.do(func() {
		if err := l.Dial(&c.Socket, listener.Addr().(*net.TCPAddr).AddrPort(), c); err != nil {
			t.Error(err)
		}
	})
	if c.conn, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	_ = c.conn.SetDeadline(time.Now().Add(20 * time.Second))
	c.peer = xhttp2.NewFramer(c.conn, c.conn)
	t.Cleanup(func() {
		_ = c.conn.Close()
		_ = listener.Close()
		cancel()
		loops.Wait()
	})
	preface := make([]byte, len(Preface))
	if _, err := io.ReadFull(c.conn, preface); err != nil || string(preface) != Preface {
		t.Fatalf("%q %v", preface, err)
	}
	_ = c.peer.WriteSettings()
	lbtest.Wait(t, "the SETTINGS", c.settled)
	return c
}

// do runs f on the loop.
func (c *backendConn) do(f func()) {
	c.t.Helper()
	done := make(chan struct{})
	c.loop.Post(netloop.TaskFunc(func() {
		f()
		close(done)
	}))
	lbtest.Wait(c.t, "the loop", done)
}

func (c *backendConn) Ready(ev netloop.Events) {
	if ev&netloop.Connected != 0 {
		c.Init(c.worker, &c.Socket, &c.limits, c)
		return
	}
	c.BackendConn.Ready(ev)
}

func (c *backendConn) Settled()        { c.settled <- struct{}{} }
func (c *backendConn) StreamEnded()    {}
func (c *backendConn) ResponseReady()  { c.ready <- struct{}{} }
func (c *backendConn) RequestFlushed() {}
func (c *backendConn) Closed(f *Failure) {
	c.Socket.Close()
	c.closed <- f
}

// begin sends a request on s.
func (c *backendConn) begin(s *BackendStream) {
	r := &message.Request{Method: []byte("GET"), Target: []byte("/")}
	c.do(func() {
		c.Begin(s, c, r, false, nil, true, nil)
		_, _ = s.ReadHead()
	})
}

// await reads frames until one of that kind.
func (c *backendConn) await(kind xhttp2.FrameType) xhttp2.Frame {
	c.t.Helper()
	for {
		f, err := c.peer.ReadFrame()
		if err != nil {
			c.t.Fatalf("no %v: %v", kind, err)
		}
		if f.Header().Type == kind {
			return f
		}
	}
}

// pass lets time pass for the connection.
func (c *backendConn) pass(d time.Duration) {
	c.do(func() {
		c.heard = c.heard.Add(-d)
		(*silenceTimeout)(&c.BackendConn).Expired(nil)
	})
}

// TestBackendSilence: a connection with streams on which nothing is received is tested by PINGs, which become rare, and closed if one is
// not acknowledged.
func TestBackendSilence(t *testing.T) {
	c := dialBackend(t)
	s := &BackendStream{}
	c.begin(s)
	for _, d := range append(silences[:], silences[len(silences)-1]) {
		c.pass(d - time.Second)
		c.pass(time.Second)
		ping := c.await(xhttp2.FramePing).(*xhttp2.PingFrame)
		_ = c.peer.WritePing(true, ping.Data)
		lbtest.Eventually(t, "the acknowledgement", func() (received bool) {
			c.do(func() { received = !c.pinged })
			return received
		})
	}
	c.begin(&BackendStream{}) // which must not wait for the long silence
	c.pass(silences[0])
	c.await(xhttp2.FramePing)
	c.pass(pingPatience)
	f, _ := lbtest.Wait(t, "the end", c.closed)
	if !f.TimedOut {
		t.Errorf("%+v", f)
	}
	c.do(func() {
		if _, err := s.ReadHead(); err == nil || !err.(*Failure).TimedOut || !err.(*Failure).Sent {
			t.Errorf("%v", err)
		}
		s.Done()
	})
}

// TestBackendHeld: what is buffered is bounded by the window of the stream, and is given up with it.
func TestBackendHeld(t *testing.T) {
	c := dialBackend(t)
	s := &BackendStream{}
	c.begin(s)
	_ = c.peer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}, EndHeaders: true})
	for sent := 0; sent < firstWindow; {
		n := min(firstWindow-sent, frameSize)
		_ = c.peer.WriteData(1, false, make([]byte, n))
		sent += n
	}
	held := func() (n int64) {
		c.do(func() { n = c.worker.held })
		return n
	}
	lbtest.Eventually(t, "the window is used up", func() bool { return held() == firstWindow })
	_ = c.peer.WriteData(1, false, []byte("x")) // beyond the window
	if f := c.await(xhttp2.FrameRSTStream).(*xhttp2.RSTStreamFrame); f.ErrCode != codeFlowControl {
		t.Errorf("%v", f)
	}
	c.do(s.Done)
	if n := held(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}
