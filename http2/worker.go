package http2

import (
	"bytes"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"lb/internal/fieldsection"
	"lb/netloop"
)

// Worker is what the connections of one loop share. It belongs to the loop's goroutine.
type Worker struct {
	Loop *netloop.Loop

	framer    *xhttp2.Framer
	in        bytes.Reader         // the frame that the framer reads
	to        *link                // what it writes to
	head      fieldsection.Section // the header block that is being decoded
	emitField func(hpack.HeaderField)
	block     []byte    // the header block that is being encoded
	streams   []*Stream // unused
	granted   int64     // bytes of receive windows beyond the initial ones, of all connections
	held      int64     // bytes of responses of backends that were received and not read
}

// frames returns the framer, to write frames to c.
func (w *Worker) frames(c *link) *xhttp2.Framer {
	if w.framer == nil {
		w.framer = xhttp2.NewFramer((*output)(w), &w.in)
		w.framer.AllowIllegalReads = true // frames of several connections alternate; link.ordered has the rules
	}
	w.to = c
	return w.framer
}

// parse returns the frame that is all of b. It is good until the next call.
func (w *Worker) parse(c *link, b []byte) (xhttp2.Frame, error) {
	f := w.frames(c)
	w.in.Reset(b)
	return f.ReadFrame()
}

// output is a Worker as what its framer writes to.
type output Worker

func (o *output) Write(p []byte) (int, error) {
	o.to.append(p)
	return len(p), nil
}

// keptStreams is how many unused streams a loop keeps.
const keptStreams = 256

func (w *Worker) takeStream(c *Conn, id uint32) *Stream {
	s := &Stream{}
	if n := len(w.streams); n > 0 {
		s = w.streams[n-1]
		w.streams[n-1] = nil
		w.streams = w.streams[:n-1]
	}
	s.conn, s.id = c, id
	return s
}

func (w *Worker) giveStream(s *Stream) {
	if len(w.streams) < keptStreams {
		w.streams = append(w.streams, s)
	}
}
