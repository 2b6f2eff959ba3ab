package http1

import "lb/netloop"

// Worker holds what the connections of one loop share. Only the loop's goroutine uses it.
type Worker struct {
	Loop *netloop.Loop

	out     []byte // encoding buffer for heads and chunks; see Out
	streams []*Stream
}

// outSize is large enough for nearly all heads together with a small body.
const outSize = 16 << 10

// Out returns an empty buffer for encoding what is written next. It is valid until the next call.
func (w *Worker) Out() []byte {
	if w.out == nil {
		w.out = make([]byte, 0, outSize)
	}
	return w.out[:0]
}

// Reuse keeps b, grown from the result of Out, as the encoding buffer, unless it is too large.
func (w *Worker) Reuse(b []byte) {
	if cap(b) > cap(w.out) && cap(b) <= 4*outSize {
		w.out = b[:0]
	}
}

// keptStreams is how many unused streams a loop keeps.
const keptStreams = 256

func (w *Worker) takeStream(c *Conn) *Stream {
	n := len(w.streams)
	if n == 0 {
		return &Stream{conn: c}
	}
	s := w.streams[n-1]
	w.streams[n-1] = nil
	w.streams = w.streams[:n-1]
	s.conn = c
	return s
}

func (w *Worker) giveStream(s *Stream) {
	if len(w.streams) < keptStreams {
		w.streams = append(w.streams, s)
	}
}
