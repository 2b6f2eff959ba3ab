package http1

import (
	"strconv"

	"lb/message"
)

// Writer frames one message: its head, and its body as it is or in chunks. It makes the bytes and leaves it to its owner to
// send them: Frame says what is to be sent, and Wrote is told how much of that was. The zero value is ready for a message,
// and Reset makes it so for the next.
//
// What a connection has not taken of a piece of the body is the caller's to offer again, from there on.
type Writer struct {
	pending []byte // to be sent before anything else: the head, or what a chunk is framed with
	chunked bool
	begun   bool  // there was a head
	ended   bool  // nothing follows pending
	left    int64 // of the chunk under way: bytes of the body that are still to come

	// What Frame returned last, for Wrote.
	joined, body int    // bytes of the body: behind those of pending, and apart from them
	tail         []byte // follows them
	last         bool   // the end of the body is behind them
	tailRoom     [16]byte
}

// joinLimit is the most of a body that is copied behind what goes before it, which costs less than
// handing the system two pieces.
const joinLimit = 4 << 10

// Reset makes the writer ready for the next message. Room is what its pending bytes may lie in.
func (w *Writer) Reset(room []byte) { *w = Writer{pending: room[:0]} }

// Keep gives up the room that was given to Reset, and keeps what is pending.
func (w *Writer) Keep() {
	w.pending = append([]byte(nil), w.pending...)
	w.tail = nil
}

// Use is Keep with other room for what follows.
func (w *Writer) Use(room []byte) { w.pending = append(room[:0], w.pending...) }

// Pending returns how many bytes are to be sent before anything of the body.
func (w *Writer) Pending() int { return len(w.pending) }

// Append puts the last piece of the body, with what ends it, behind what is pending. It is copied.
func (w *Writer) Append(p []byte, trailers []message.Field) {
	for taken, last := 0, false; !last; {
		head, body, tail := w.Frame(p[taken:], true, trailers)
		last = w.last
		taken += w.joined + w.body
		if w.chunked {
			w.left -= int64(w.joined + w.body)
		}
		w.pending = append(append(head, body...), tail...)
	}
	w.ended = true
}

// Skip drops the start of what is pending, which was sent before. It reports false if pending does not begin with it.
func (w *Writer) Skip(start string) bool {
	if len(w.pending) < len(start) || string(w.pending[:len(start)]) != start {
		return false
	}
	w.pending = w.pending[:copy(w.pending, w.pending[len(start):])]
	return true
}

// BetweenChunks reports whether what is sent next begins with the size of a chunk.
func (w *Writer) BetweenChunks() bool {
	return w.begun && w.chunked && !w.ended && w.left == 0 && len(w.pending) == 0
}

// Interim puts an interim response behind what is pending.
func (w *Writer) Interim(r *message.Response) { w.pending = AppendInterim(w.pending, r) }

// Respond begins a response with its head.
func (w *Writer) Respond(r *message.Response, to *Recipient) {
	w.pending, w.chunked = appendResponse(w.pending, r, to)
	w.begun = true
}

// Request begins a request with its head.
func (w *Writer) Request(r *message.Request) {
	w.pending = AppendRequest(w.pending, r)
	w.chunked, w.begun = r.Length < 0, true
}

// Frame returns what is to be sent for the next piece of the body, in this order. With end the body ends behind it, and the
// trailer fields follow. The slices hold until the next call.
//
// It may take less of p than all: see Wrote.
func (w *Writer) Frame(p []byte, end bool, trailers []message.Field) (head, body, tail []byte) {
	w.tail, w.last = nil, end
	if w.chunked {
		if w.left == 0 && len(p) > 0 {
			w.pending = append(strconv.AppendInt(w.pending, int64(len(p)), 16), '\r', '\n')
			w.left = int64(len(p))
		}
		if int64(len(p)) > w.left { // the rest is another chunk
			p, w.last = p[:w.left], false
		}
		if len(p) > 0 && int64(len(p)) == w.left {
			w.tail = append(w.tailRoom[:0], '\r', '\n')
		}
		if w.last && !w.ended && int64(len(p)) == w.left {
			w.tail = appendLastChunk(w.tail, trailers)
		}
	}
	if len(p) > joinLimit || len(p) > 0 && len(w.pending) == 0 && len(w.tail) == 0 {
		w.joined, w.body = 0, len(p)
		return w.pending, p, w.tail
	}
	w.joined, w.body = len(p), 0
	head = append(append(w.pending, p...), w.tail...)
	w.pending = head[:len(w.pending)]
	return head, nil, nil
}

// Wrote is told how many bytes of what Frame returned were sent. It returns how many of them are the body's.
func (w *Writer) Wrote(n int) (taken int) {
	if n < len(w.pending) {
		w.pending = w.pending[:copy(w.pending, w.pending[n:])]
		return 0
	}
	n -= len(w.pending)
	w.pending = w.pending[:0]
	taken = min(n, w.joined+w.body)
	if w.chunked {
		w.left -= int64(taken)
	}
	if taken == w.joined+w.body {
		w.pending = append(w.pending, w.tail[n-taken:]...)
		w.ended = w.ended || w.last
	}
	return taken
}

// appendLastChunk appends the end of a chunked body: the last chunk, the trailer lines, and the blank line.
func appendLastChunk(b []byte, trailers []message.Field) []byte {
	b = append(b, "0\r\n"...)
	for i := range trailers {
		b = append(b, trailers[i].Line...)
	}
	return append(b, '\r', '\n')
}
