package http1

import "lb/netloop"

// Worker is what the connections of one loop share. It belongs to the loop's goroutine.
type Worker struct {
	Loop *netloop.Loop

	out     []byte // where heads and chunks are put together; see Out
	streams []*Stream
}

// outSize is enough for nearly all heads and for a small body behind them.
const outSize = 16 << 10

// Out returns empty room for what is written next. It is good until the next call.
func (w *Worker) Out() []byte {
	if w.out == nil {
		w.out = make([]byte, 0, outSize)
	}
	return w.out[:0]
}

// Reuse keeps the room that b has grown to, if that is not too much.
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
