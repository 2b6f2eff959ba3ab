package http2

import (
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"lb/internal/fieldsection"
	"lb/message"
	"lb/netloop"
)

// version is what logs call the protocol.
const version = "HTTP/2.0"

// block is a header block that comes in several frames.
type block struct {
	id     uint32 // of its stream; 0: there is none
	end    bool   // the stream ends with it
	bytes  []byte
	frames int
}

// mostContinuations is in how many CONTINUATION frames a header block may come.
const mostContinuations = 16

// tableSize is the size of the client's dynamic table (SETTINGS_HEADER_TABLE_SIZE, which we leave as it is).
const tableSize = 4096

// headers handles HEADERS.
func (c *Conn) headers(f *xhttp2.HeadersFrame) {
	id := f.StreamID
	if f.HasPriority() && f.Priority.StreamDep == id {
		c.error(codeProtocol, "a stream depends on itself")
		return
	}
	if id%2 == 0 {
		c.error(codeProtocol, "a client has begun a stream with an even id")
		return
	}
	if f.HeadersEnded() {
		c.decode(id, f.HeaderBlockFragment(), f.StreamEnded())
		return
	}
	c.block = block{id: id, end: f.StreamEnded(), bytes: append([]byte(nil), f.HeaderBlockFragment()...)}
}

// continuation handles CONTINUATION.
func (c *Conn) continuation(f *xhttp2.ContinuationFrame) {
	if whole, ok := c.gather(f, c.settings.Limits.HeaderSize); ok {
		c.decode(whole.id, whole.bytes, whole.end)
	}
}

// gather adds to the header block that is being received, and returns it when it is whole. headerSize is the limit of a head.
func (c *link) gather(f *xhttp2.ContinuationFrame, headerSize int) (whole block, ok bool) {
	b := &c.block
	b.frames++
	if b.frames > mostContinuations || len(b.bytes)+len(f.HeaderBlockFragment()) > headerSize+frameSize {
		c.side.flood("A header block is too long.")
		return block{}, false
	}
	b.bytes = append(b.bytes, f.HeaderBlockFragment()...)
	if !f.HeadersEnded() {
		return block{}, false
	}
	whole, *b = *b, block{}
	return whole, true
}

// unpack decodes a header block into Worker.head. A block has to be decoded even if it is not needed, since the decoder has a state. It
// reports false if that failed, and the connection ends.
func (c *link) unpack(b []byte) bool {
	if c.decoder == nil {
		c.decoder = hpack.NewDecoder(tableSize, nil)
	}
	c.decoder.SetEmitFunc(c.worker.emit())
	_, err := c.decoder.Write(b)
	if err == nil {
		err = c.decoder.Close()
	}
	switch {
	case err != nil:
		c.side.error(codeCompression, "a header block cannot be decoded")
	case c.worker.head.IsBomb():
		c.side.flood("A header block stands for too many fields.")
	default:
		return true
	}
	return false
}

// decode decodes a header block and handles what it says.
func (c *Conn) decode(id uint32, b []byte, end bool) {
	s := c.find(id)
	isNew := id > c.lastID
	var room []byte
	if isNew {
		s = c.worker.takeStream(c, id)
		room = s.room
	}
	h := &c.worker.head
	h.Begin(fieldsection.Limits{HeaderSize: c.settings.Limits.HeaderSize, HeaderFields: c.settings.Limits.HeaderFields}, room, !isNew)
	switch {
	case !c.unpack(b):
	case isNew:
		s.room = h.Room
		c.open(s, h, end)
		return
	case s != nil && !s.aborted:
		s.trailersCame(h, end)
	case c.resetIDs.has(id):
		c.spendFrame()
	case c.skipped[0] <= id && id <= c.skipped[1]:
		c.error(codeProtocol, "the id of a stream is less than that of an earlier one")
	default:
		c.error(codeClosed, "a stream that has ended goes on")
	}
	if isNew {
		c.worker.giveStream(s)
	}
}

// emit is what decoders give fields to.
func (w *Worker) emit() func(hpack.HeaderField) {
	if w.emitField == nil {
		w.emitField = func(f hpack.HeaderField) { w.head.Add(f.Name, f.Value) }
	}
	return w.emitField
}

// lastUsableID is the last stream id before a connection is ended for lack of more.
const lastUsableID = 1<<31 - 1<<10

// open begins the stream of a request.
func (c *Conn) open(s *Stream, h *fieldsection.Section, end bool) {
	if s.id > c.lastID+2 {
		c.skipped = [2]uint32{c.lastID + 1, s.id - 1}
	}
	c.lastID = s.id
	s.timer.Init(c.worker.Loop, s)
	s.recv = window{size: firstWindow, left: firstWindow}
	s.send = c.streamSend
	s.priority = defaultPriority
	s.response = response{length: -1, toHead: string(h.Text(fieldsection.PseudoMethod)) == "HEAD"}
	refusal := h.Request(&s.request, version, end)
	s.room = h.Room // where finish has added to it
	c.streams = append(c.streams, s)
	c.idleBy = noTime
	switch {
	case c.away == awayLast, len(c.streams) > mostStreams:
		if c.spendReset() {
			s.reset(codeRefused)
			s.release()
		}
		return
	case c.owner.Retiring() || s.id > lastUsableID:
		c.retire()
	}
	for i := range s.request.Fields {
		if f := &s.request.Fields[i]; message.EqualFold(f.Name, "priority") {
			s.priority.read(f.Value)
		}
	}
	s.beginBody(end)
	if refusal != nil {
		if c.spendReset() {
			s.refuse(refusal)
		}
		return
	}
	c.credit.opened()
	s.serve()
}

// trailersCame handles the trailer section of a request.
func (s *Stream) trailersCame(h *fieldsection.Section, end bool) {
	b, c := &s.body, s.conn
	switch {
	case b.ended:
		c.streamError(s.id, codeClosed)
		return
	case !end, h.Fault != "", b.length >= 0 && b.got != b.length:
		s.violated()
		return
	}
	b.ended = true
	if h.TooLarge() || h.TooMany() {
		b.err = ErrTrailerFields
	} else {
		h.Room = append([]byte(nil), h.Room...) // the room is the worker's
		for _, f := range h.AppendFields(nil) {
			if !message.ForbiddenInTrailer(&f) {
				b.trailers = append(b.trailers, f)
			}
		}
	}
	if s.tunnel != nil {
		s.tunnel.readable()
	} else if b.waiting {
		b.waiting = false
		s.readSince = noTime
		s.Exchange.BodyReady()
	}
}

var _ netloop.TimerHandler = (*Stream)(nil)
