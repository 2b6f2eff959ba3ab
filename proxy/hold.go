package proxy

import (
	"errors"
)

// Buffering says how much of a body lb buffers so that a slow client does not occupy a backend. With the zero value bodies are
// streamed.
type Buffering struct {
	Request  int64  // a request body of up to this many bytes is read completely before a backend is chosen; 0: no buffering
	Response int64  // up to this many bytes of a response body are read ahead of the client; 0: no buffering
	Dir      string // directory for unnamed files with the part of a body beyond 64 KiB; "": in memory
	// Failed is called when a file cannot be written. The body is streamed then. It may be nil.
	Failed func(error)
}

func (b *Buffering) failed(err error) {
	if b.Failed != nil {
		b.Failed(err)
	}
}

var errSpool = errors.New("cannot read a buffered body")

// held is the part of a buffered request body that follows requestBody.kept.
type held struct {
	spool  spool
	size   int64  // bytes in the spool
	most   int64  // limit of size
	at     int64  // bytes of the spool read so far
	broken bool   // writing to the spool failed
	more   []byte // then: the piece that could not be written
	over   bool   // more has been read
}

// rewind makes next return the first piece again.
func (h *held) rewind() { h.at, h.over = 0, false }

// complete reports whether everything read so far is in the spool and within the limit.
func (h *held) complete() bool { return h == nil || !h.broken && h.size <= h.most }

// full reports whether no more may be buffered.
func (h *held) full() bool { return h != nil && (h.broken || h.size > h.most) }

// next returns the next piece, nil if there is none.
func (h *held) next(scratch []byte) ([]byte, error) {
	if h.at < h.size {
		piece, err := h.spool.bytes(h.at, h.size-h.at, scratch)
		h.at += int64(len(piece))
		return piece, err
	}
	if h.over {
		return nil, nil
	}
	h.over = true
	return h.more, nil
}

// hold buffers a piece of the body after those in kept.
func (x *Exchange) hold(piece []byte) {
	b, buffer := &x.body, &x.forward.Buffer
	if b.held == nil {
		most := buffer.Request - int64(len(b.kept))
		// The spool has room for one piece beyond the limit, which shows that the body is too large.
		b.held = &held{spool: newSpool(buffer.Dir, spoolMemory-int64(len(b.kept)), most+int64(len(x.worker.Loop.Scratch()))), most: most}
	}
	h := b.held
	if err := h.spool.writeAt(piece, h.size); err != nil {
		buffer.failed(err)
		h.broken, h.more = true, append([]byte(nil), piece...)
		return
	}
	h.size += int64(len(piece))
}

// endHolding ends the buffering of a body. A complete chunked body without trailers is sent with Content-Length, since some backends do
// not support chunks.
func (x *Exchange) endHolding() {
	b := &x.body
	x.holds = false
	if b.whole && b.length < 0 && len(x.client.Trailers()) == 0 {
		b.length = int64(len(b.kept))
		if b.held != nil {
			b.length += b.held.size
		}
	}
}
