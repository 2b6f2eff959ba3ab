package http2

import (
	"bytes"
	"errors"
	"slices"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/fieldsection"
	"lb/message"
	"lb/netloop"
)

// BackendConn is a connection to a backend, on which lb is the client. Its streams are opened by Begin. All methods must be called on its
// loop. The phases are those of Conn: in phasePreface it waits for the backend's SETTINGS, without which no stream is opened.
type BackendConn struct {
	link
	owner  BackendOwner
	limits *fieldsection.Limits

	streams []*BackendStream // open, in the order of their ids
	queue   []*BackendStream // those with output that waits for a window or for the connection
	flushed []*BackendStream // those whose output has just been passed on
	nextID  uint32
	most    int  // streams that the backend allows at a time
	connect bool // the backend accepts extended CONNECT (RFC 8441)
	away    bool // the backend takes no new streams (GOAWAY), or the ids are used up

	late    int64     // bytes of DATA that may still come for streams that were reset
	heard   time.Time // when something was received last
	silence int       // PINGs in a row that were all that was received; index of silences
	pinged  bool      // such a PING has not been acknowledged
	timer   netloop.Timer
}

// BackendOwner is notified of what happens to a connection, on the loop.
type BackendOwner interface {
	// Settled is called once, when the first stream can be opened.
	Settled()
	// StreamEnded is called when there is room for another stream, or none is open any more.
	StreamEnded()
	// Closed is called last, once. The owner closes the socket. failure is nil if Close was called.
	Closed(failure *Failure)
}

// Failure is why a stream, or a connection to a backend, ended early.
type Failure struct {
	Err         error
	Protocol    bool // the backend violated HTTP/2
	TimedOut    bool // the backend did not respond to a PING
	Unprocessed bool // the backend has said that it did not process the request (RFC 9113 section 8.7)
	Sent        bool // bytes of the request may have reached the backend
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Why streams with backends fail.
var (
	// ErrResponseHead and ErrResponseFields are for response heads over the limits.
	ErrResponseHead   = errors.New("the response head is larger than allowed")
	ErrResponseFields = errors.New("the response has more header fields than allowed")
	// ErrNoConnect is for a WebSocket on a connection whose backend does not accept any. Nothing was sent.
	ErrNoConnect = errors.New("the backend does not accept WebSocket over HTTP/2 (SETTINGS_ENABLE_CONNECT_PROTOCOL)")

	errBackendClosed = errors.New("the backend closed the connection")
	errSilent        = errors.New("the backend did not respond to a PING")
	errGoAway        = errors.New("the backend closes the connection and has not processed the request")
	errRefused       = errors.New("the backend refused the stream")
)

// resetError is the error for a stream that a backend has reset.
type resetError xhttp2.ErrCode

func (e resetError) Error() string {
	return "the backend reset the stream: " + xhttp2.ErrCode(e).String()
}

// IsCancel reports whether err is that a backend has reset the stream with CANCEL.
func IsCancel(err error) bool { return err == resetError(codeCancel) }

const (
	// mostBackendStreams is how many streams are open at a time on a connection, if the backend allows as many.
	mostBackendStreams = 1000
	// mostBackendWindow is how large the receive window of a stream becomes. That much may be buffered for each client that does not read.
	mostBackendWindow = 1 << 20
	// mostHeld is how much is buffered for all streams with backends of a loop before the windows of streams stay as small as they were
	// at first.
	mostHeld = 64 << 20
	// mostWaiting is how much output may wait for the socket before no streams are opened.
	mostWaiting = 256 << 10
	// pingPatience is how long a PING of a silent connection may take.
	pingPatience = 5 * time.Second
)

// silences are how long a connection with streams may receive nothing before a PING. A request begins with the first. The intervals
// increase because gRPC servers close connections on which more than two PINGs come within five minutes without a response.
var silences = [...]time.Duration{10 * time.Second, 30 * time.Second, 330 * time.Second}

// silencePing is the payload of these PINGs.
var silencePing = [8]byte{'s', 'i', 'l', 'e', 'n', 't'}

// Init takes over an open socket, whose events the owner passes to Ready from now on. limits are those of response heads.
func (c *BackendConn) Init(w *Worker, socket *netloop.Socket, limits *fieldsection.Limits, owner BackendOwner) {
	*c = BackendConn{owner: owner, limits: limits, nextID: 1, most: mostBackendStreams}
	c.link.init(c, w, socket)
	c.mostWindow = mostBackendWindow
	c.timer.Init(w.Loop, (*silenceTimeout)(c))
	c.append([]byte(Preface))
	f := c.frames()
	_ = f.WriteSettings(
		xhttp2.Setting{ID: xhttp2.SettingEnablePush, Val: 0},
		xhttp2.Setting{ID: xhttp2.SettingMaxHeaderListSize, Val: uint32(min(int64(limits.HeaderSize), mostSendWindow))},
	)
	c.recv.size, c.recv.left = connWindow, connWindow
	_ = f.WriteWindowUpdate(0, connWindow-firstWindow)
	c.wake()
}

// Streams returns how many streams are open.
func (c *BackendConn) Streams() int { return len(c.streams) }

// Free reports whether another stream can be opened.
func (c *BackendConn) Free() bool {
	return c.phase == phaseOpen && c.settled && !c.away && len(c.streams) < c.most && len(c.out) < mostWaiting
}

// Most returns how many streams may be open at a time.
func (c *BackendConn) Most() int { return c.most }

// Away reports whether the connection takes no more streams, now or later.
func (c *BackendConn) Away() bool { return c.away || c.phase > phaseOpen }

// Ready handles the events of the socket.
func (c *BackendConn) Ready(ev netloop.Events) {
	if c.phase == phaseClosed {
		return
	}
	if ev&netloop.Failed != 0 {
		if c.socket.CanRead() { // perhaps a GOAWAY precedes the end
			c.read()
		}
		c.lost()
		return
	}
	if ev&netloop.Writable != 0 {
		c.work()
	}
	if ev&(netloop.Readable|netloop.HungUp) != 0 {
		c.read()
	}
}

// receive implements side.
func (c *BackendConn) receive(b []byte) []byte {
	if c.phase == phasePreface {
		c.phase = phaseOpen // a server's preface is its SETTINGS; see link.ordered
	}
	if !c.settled && bytes.HasPrefix(b, []byte("HTTP/1.")) {
		c.error(codeProtocol, "the backend responds with HTTP/1 to the preface of HTTP/2")
		return nil
	}
	c.heard = c.worker.Loop.Now()
	c.pinged = false
	return c.cut(b)
}

// readFailed implements side.
func (c *BackendConn) readFailed(err error) {
	if err != netloop.ErrWouldBlock {
		c.lost()
	}
}

// lost implements side.
func (c *BackendConn) lost() { c.end(&Failure{Err: errBackendClosed}) }

// error implements side.
func (c *BackendConn) error(code xhttp2.ErrCode, reason string) {
	c.endWith(code, &Failure{Err: errors.New(reason), Protocol: true})
}

// flood implements side.
func (c *BackendConn) flood(reason string) { c.error(codeCalm, reason) }

// Retire has no more streams opened on the connection. Those that are open go on.
func (c *BackendConn) Retire() { c.away = true }

// Stuck reports whether the connection waits for the rest of a header block, before which no other frame may come.
func (c *BackendConn) Stuck() bool { return c.block.id != 0 }

// Close ends the connection in order. No stream must be open.
func (c *BackendConn) Close() { c.endWith(codeNo, nil) }

// Cut ends the connection at once, because of f.
func (c *BackendConn) Cut(f *Failure) { c.end(f) }

// endWith ends the connection after a GOAWAY, if the socket takes it.
func (c *BackendConn) endWith(code xhttp2.ErrCode, f *Failure) {
	if c.phase > phaseOpen {
		return
	}
	reason := ""
	if f != nil {
		reason = f.Error()
	}
	_ = c.frames().WriteGoAway(0, code, []byte(reason))
	c.phase = phaseFlushing // so that a failed write does not end it a second time
	c.flush()
	c.end(f)
}

// end ends the connection and all of its streams.
func (c *BackendConn) end(f *Failure) {
	if c.phase == phaseClosed {
		return
	}
	c.phase = phaseFlushing
	c.timer.Stop()
	streams := c.streams
	c.streams, c.queue, c.flushed = nil, nil, nil
	wrote := c.wrote
	c.dropAll()
	c.owner.Closed(f)
	for _, s := range streams {
		if s.conn == c && !s.over { // else its exchange has ended because of another one
			failure := *f
			failure.Sent = failure.Sent || wrote > s.from
			s.fail(&failure)
		}
	}
}

// findStream returns the open stream of that id; nil if there is none.
func (c *BackendConn) findStream(id uint32) *BackendStream {
	i, ok := slices.BinarySearchFunc(c.streams, id, func(s *BackendStream, id uint32) int { return int(s.id) - int(id) })
	if !ok {
		return nil
	}
	return c.streams[i]
}

// remove takes a stream off the connection. What it has received can still be read.
func (c *BackendConn) remove(s *BackendStream) {
	s.over = true
	if i := slices.Index(c.streams, s); i >= 0 {
		c.streams = slices.Delete(c.streams, i, i+1)
	}
	if i := slices.Index(c.queue, s); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
	}
	if i := slices.Index(c.flushed, s); i >= 0 {
		c.flushed[i] = nil
	}
	s.out.drop(c.worker.Loop)
	s.out.queued = false
	if c.phase == phaseOpen {
		c.owner.StreamEnded()
	}
}

// silenceTimeout is a BackendConn as the handler of its timer.
type silenceTimeout BackendConn

func (t *silenceTimeout) Expired(*netloop.Timer) {
	c := (*BackendConn)(t)
	if c.phase != phaseOpen || len(c.streams) == 0 {
		return
	}
	limit := silences[c.silence]
	if c.pinged {
		limit = pingPatience
	}
	left := limit - c.worker.Loop.Now().Sub(c.heard)
	switch {
	case left > 0:
		c.timer.Reset(left)
	case c.pinged:
		c.end(&Failure{Err: errSilent, TimedOut: true})
	default:
		c.pinged = true
		c.heard = c.worker.Loop.Now()
		_ = c.frames().WritePing(false, silencePing)
		c.wake()
		c.timer.Reset(pingPatience)
	}
}

// watch watches for silence from a new stream on. Only the first one counts as a sign of life: requests that come one after the other must
// not conceal that none gets a response.
func (c *BackendConn) watch() {
	if len(c.streams) == 1 && !c.pinged {
		c.heard = c.worker.Loop.Now()
	}
	if c.silence > 0 || !c.timer.Running() {
		c.silence = 0
		c.timer.Reset(silences[0])
	}
}

// Begin sends a request on a new stream; Free must have reported true. One with an Upgrade, which must be to WebSocket, becomes an extended
// CONNECT. The first piece of the body is copied; with last it is all of the
// rest, and the trailer fields follow it. secure says that the scheme is https. Begin reports whether everything has been passed on to the
// connection; if not, BackendUser.RequestFlushed follows.
func (c *BackendConn) Begin(
	s *BackendStream, user BackendUser, r *message.Request, secure bool, piece []byte, last bool, trailers []message.Field,
) (flushed bool) {
	s.begin(c, user, c.nextID, r.IsHead())
	if r.Upgrade != nil {
		if !c.connect {
			s.over, s.failure = true, &Failure{Err: ErrNoConnect}
			c.owner.StreamEnded()
			return true
		}
		s.connects, s.accept = true, acceptOf(r)
	}
	c.nextID += 2
	c.away = c.away || c.nextID > lastUsableID
	c.streams = append(c.streams, s)
	c.watch()
	end := last && len(piece) == 0 && len(trailers) == 0 && !s.connects
	s.finished = end
	c.sendBlock(s.id, appendRequest(c.beginBlock(), r, secure), end)
	if end || s.connects {
		return true
	}
	return s.SendBody(piece, last, trailers)
}
