package http2

import (
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"lb/netloop"
)

// link is what connections with clients and with backends have in common: frames are cut from what the socket reads, frames that are
// written within one batch leave together, and windows and credit bound what the peer may do.
type link struct {
	side   side
	worker *Worker
	socket *netloop.Socket

	phase    phase
	posted   bool // work is to run
	tableOff bool // the peer knows that we use no dynamic table
	settled  bool // the peer's SETTINGS have come

	in      []byte // the beginning of a frame; lent or small
	out     []byte // frames that wait for the end of the batch, or for the socket; lent, or larger than the loop lends
	sent    int    // how much of out is
	wrote   int64  // bytes that the socket has taken
	block   block  // the header block that is being received
	decoder *hpack.Decoder

	send         int64 // that the peer lets us send, on all streams
	streamSend   int64 // on a new stream
	recv         window
	streamWindow int64 // how large the window of a stream may be
	mostWindow   int64 // how large it may become
	granted      int64 // of Worker.granted
	quiet        int64 // bytes that were read since the last measurement
	measurement  measurement
	credit       credit
}

// side is the part of a connection that differs between clients and backends.
type side interface {
	// receive handles the frames that are whole in b and returns the rest.
	receive(b []byte) (rest []byte)
	frame(kind xhttp2.FrameType, id uint32, flags xhttp2.Flags, b []byte)
	// work sends what there is, and has those streams go on that waited for it.
	work()
	// readFailed is called when there is nothing to read, now or ever.
	readFailed(err error)
	// lost is called when the socket cannot be written to.
	lost()
	// error ends the connection for what the peer has done wrong, flood for what it costs.
	error(code xhttp2.ErrCode, reason string)
	flood(reason string)
}

func (c *link) init(s side, w *Worker, socket *netloop.Socket) {
	*c = link{
		side: s, worker: w, socket: socket,
		send: firstWindow, streamSend: firstWindow, recv: window{size: firstWindow, left: firstWindow},
		streamWindow: firstWindow, mostWindow: mostWindow,
	}
	c.credit.begin(w.Loop.Now())
}

// frames returns the framer, to write frames to the peer.
func (c *link) frames() *xhttp2.Framer { return c.worker.frames(c) }

// readsAtOnce is how many reads of a connection are handled before the other connections get their turn.
const readsAtOnce = 4

// read handles what has come.
func (c *link) read() {
	l := c.worker.Loop
	for reads := 0; c.phase != phaseClosed; reads++ {
		if reads == readsAtOnce {
			c.socket.Again()
			return
		}
		buffer := l.Borrow(netloop.LargeBuffer)
		n := copy(buffer, c.in)
		k, err := c.socket.Read(buffer[n:])
		if err != nil && (n == 0 || reads > 0 || c.phase > phaseOpen) {
			l.Return(buffer)
			c.side.readFailed(err)
			return
		}
		c.dropIn()
		rest := c.side.receive(buffer[:n+k])
		if c.phase != phaseClosed {
			c.keepIn(rest)
		}
		l.Return(buffer)
		if err != nil {
			c.side.readFailed(err)
			return
		}
	}
}

// cut handles the frames that are whole in b and returns the rest, which is the beginning of a frame, or what follows the end of the
// connection.
func (c *link) cut(b []byte) (rest []byte) {
	for c.phase == phaseOpen && len(b) >= frameHeader {
		length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		if length > frameSize {
			c.side.error(codeFrameSize, "a frame is larger than 16384 bytes")
			return nil
		}
		end := frameHeader + length
		if len(b) < end {
			break
		}
		c.ordered(b[:end])
		b = b[end:]
	}
	return b
}

// ordered handles a frame, unless it must not come at this point.
func (c *link) ordered(b []byte) {
	kind, flags := xhttp2.FrameType(b[3]), xhttp2.Flags(b[4])
	id := (uint32(b[5])<<24 | uint32(b[6])<<16 | uint32(b[7])<<8 | uint32(b[8])) &^ (1 << 31)
	switch {
	case c.block.id != 0 && (kind != xhttp2.FrameContinuation || id != c.block.id):
		c.side.error(codeProtocol, "a header block is interrupted by another frame")
	case c.block.id == 0 && kind == xhttp2.FrameContinuation:
		c.side.error(codeProtocol, "there is a CONTINUATION without HEADERS")
	case !c.settled && (kind != xhttp2.FrameSettings || flags.Has(xhttp2.FlagSettingsAck)):
		c.side.error(codeProtocol, "the first frame is not SETTINGS")
	default:
		c.side.frame(kind, id, flags, b)
	}
}

// unpad returns the payload of a DATA frame without its padding; ok is false if the frame is malformed, which ends the connection.
func (c *link) unpad(payload []byte, flags xhttp2.Flags) (data []byte, ok bool) {
	if !flags.Has(xhttp2.FlagDataPadded) {
		return payload, true
	}
	n := len(payload)
	if n == 0 {
		c.side.error(codeFrameSize, "a DATA frame is too short")
		return nil, false
	}
	pad := int(payload[0])
	if pad >= n {
		c.side.error(codeProtocol, "the padding of a DATA frame is longer than the frame")
		return nil, false
	}
	return payload[1 : n-pad], true
}

// smallPart is the most of a frame that is kept without a lent buffer.
const smallPart = 512

// keepIn keeps the beginning of a frame until the rest comes.
func (c *link) keepIn(p []byte) {
	switch {
	case len(p) == 0:
		return
	case len(p) <= smallPart:
		c.in = append([]byte(nil), p...)
		return
	}
	buffer := c.worker.Loop.Borrow(len(p))
	c.in = buffer[:copy(buffer, p)]
}

// dropIn forgets it.
func (c *link) dropIn() {
	if n := cap(c.in); n == netloop.SmallBuffer || n == netloop.LargeBuffer {
		c.worker.Loop.Return(c.in)
	}
	c.in = nil
}

// wake has work run at the end of the batch.
func (c *link) wake() {
	if !c.posted && c.phase != phaseClosed {
		c.posted = true
		c.worker.Loop.Later((*work)(c))
	}
}

// work is a link as the task that sends.
type work link

func (w *work) Run() {
	w.posted = false
	w.side.work()
}

// flush sends what the socket takes now. It reports false if the connection has ended.
func (c *link) flush() bool {
	if c.phase == phaseClosed {
		return false
	}
	for c.sent < len(c.out) {
		n, err := c.socket.Write(c.out[c.sent:], nil)
		if n > 0 {
			c.sent += n
			c.wrote += int64(n)
		}
		if err == netloop.ErrWouldBlock {
			c.compact()
			return true
		}
		if err != nil {
			c.side.lost()
			return false
		}
	}
	c.dropOut()
	return true
}

// written returns how many bytes of frames were written so far, to the socket or to the output that waits for it.
func (c *link) written() int64 { return c.wrote + int64(len(c.out)-c.sent) }

// compact moves what was not sent to the start of the output.
func (c *link) compact() {
	if c.sent > 0 {
		c.out = c.out[:copy(c.out, c.out[c.sent:])]
		c.sent = 0
	}
}

// append adds a frame to the output.
func (c *link) append(p []byte) {
	c.grow(len(p))
	c.out = append(c.out, p...)
}

// grow makes room for n bytes more in the output.
func (c *link) grow(n int) {
	need := len(c.out) + n
	if need <= cap(c.out) {
		return
	}
	var room []byte
	if need <= netloop.LargeBuffer {
		room = c.worker.Loop.Borrow(need)
	} else {
		room = make([]byte, 2*need)
	}
	k := copy(room, c.out)
	c.giveOut()
	c.out = room[:k]
}

func (c *link) giveOut() {
	if n := cap(c.out); n == netloop.SmallBuffer || n == netloop.LargeBuffer {
		c.worker.Loop.Return(c.out)
	}
	c.out = nil
}

func (c *link) dropOut() {
	c.giveOut()
	c.sent = 0
}

// dropAll releases what a connection that is closed does not need any more.
func (c *link) dropAll() {
	c.phase = phaseClosed
	c.worker.granted -= c.granted
	c.granted = 0
	c.dropIn()
	c.dropOut()
	c.decoder, c.block = nil, block{}
}
