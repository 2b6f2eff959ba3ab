package exchange

import (
	"errors"
)

// Buffering says how much of bodies lb holds so that a slow client does not hold a backend. With the zero value bodies are
// streamed.
type Buffering struct {
	Request  int64  // a request body of up to so many bytes is whole before a backend is asked; 0: none is waited for
	Response int64  // so many bytes of a response are taken from the backend ahead of the client; 0: none
	Dir      string // what of a body exceeds 64 KiB is in files without a name here; "": in memory
	// Failed is told that a file could not be written, upon which that body is streamed. It may be nil.
	Failed func(error)
}

func (b *Buffering) failed(err error) {
	if b.Failed != nil {
		b.Failed(err)
	}
}

var errSpool = errors.New("cannot read a buffered body")

// held is the part of a request body that is held beyond requestBody.kept.
type held struct {
	spool  spool
	size   int64 // bytes in the spool
	most   int64 // of them
	at     int64 // of them read so far
	broken bool  // the spool could not be written to
	more   []byte
}

// complete reports whether nothing is missing.
func (h *held) complete() bool { return h == nil || !h.broken && h.size <= h.most }

// full reports whether no more may be held.
func (h *held) full() bool { return h != nil && (h.broken || h.size > h.most) }

// next returns the next piece, nil if there is none.
func (h *held) next(scratch []byte) ([]byte, error) {
	if h.at < h.size {
		piece, err := h.spool.bytes(h.at, h.size-h.at, scratch)
		h.at += int64(len(piece))
		return piece, err
	}
	piece := h.more
	h.more = nil
	return piece, nil
}

// hold holds a piece of the body beyond those in memory.
func (x *Exchange) hold(piece []byte) {
	b, buffer := &x.body, &x.forward.Buffer
	if b.held == nil {
		most := buffer.Request - int64(len(b.kept))
		// One byte more than may be held tells a body of just that size from a larger one; a piece may be larger than that.
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

// endHolding ends the reading of a body that is held. One that is whole, and has no trailer section, goes on with a length, since there
// are backends that do not know of chunks.
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
