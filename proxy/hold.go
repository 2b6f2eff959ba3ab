package proxy

import (
	"errors"
	"io"
	"os"
	"time"
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

// held is the part of a request body that lb holds beyond requestBody.kept.
type held struct {
	spool spool
	size  int64  // bytes in the spool
	at    int64  // of them read so far
	more  []byte // follows them: what could not be written
	whole bool   // that is all: the body can be sent again
	after io.Reader
}

// Read implements io.Reader: what is held, and then, unless that is all of the body, what the client sends.
func (h *held) Read(p []byte) (int, error) {
	switch {
	case h.at < h.size:
		piece, err := h.spool.bytes(h.at, min(h.size-h.at, int64(len(p))), p)
		n := copy(p, piece) // onto itself if it was read from the file
		h.at += int64(n)
		return n, err
	case len(h.more) > 0:
		n := copy(p, h.more)
		h.more = h.more[n:]
		return n, nil
	case h.whole:
		return 0, io.EOF
	}
	return h.after.Read(p)
}

// holdBody begins to hold the request's body, if that is of a size to be held, and reports whether it does: then the request
// is forwarded when the body is whole, or responded to.
func (f *Forward) holdBody(x *Exchange) bool {
	if f.Buffer.Request <= 0 || !x.beginBody(min(spoolMemory, f.Buffer.Request)) || x.body.length > f.Buffer.Request {
		return false
	}
	b := &x.body
	b.expected = false // the client is asked for it here: reading sends the 100
	b.passed = false
	f.hold(x)
	return true
}

// hold reads the body until it is whole or exceeds what may be held, and then forwards the request. Whenever the client
// pauses, the request rests.
func (f *Forward) hold(x *Exchange) {
	b := &x.body
	var scratch *[]byte
	defer func() {
		if scratch != nil {
			giveBack(scratch)
		}
	}()
	for held := true; held && b.streamed; {
		room := b.room()
		if len(room) == 0 {
			if scratch == nil {
				scratch = largeBuffers.Get().(*[]byte)
			}
			// One byte more than may be held tells a body of just that size from a larger one.
			room = (*scratch)[:min(int64(len(*scratch)), f.Buffer.Request+1-b.total())]
		}
		x.client.HurryBody(time.Now().Add(x.restAfter()))
		n, err := b.stream.Read(room)
		x.client.HurryBody(time.Time{})
		if scratch == nil {
			b.kept = b.kept[:len(b.kept)+n]
		} else {
			held = f.spoolBody(x, room[:n])
		}
		switch {
		case err == os.ErrDeadlineExceeded:
			if n == 0 && f.restHolding(x) {
				return
			}
		case err != nil && err != io.EOF:
			x.refuseBody(err)
			return
		case !x.client.BodyPending():
			b.streamed = false
		case err == io.EOF:
			x.refuseBody(io.ErrUnexpectedEOF)
			return
		}
	}
	b.heldWhole(x.client)
	f.forward(x)
}

// total returns how many bytes of the body are held.
func (b *requestBody) total() int64 {
	if b.held == nil {
		return int64(len(b.kept))
	}
	return int64(len(b.kept)) + b.held.size
}

// spoolBody holds a piece of the body beyond those in memory. It reports false if the rest of the body is to be streamed.
func (f *Forward) spoolBody(x *Exchange, piece []byte) bool {
	b := &x.body
	if b.held == nil {
		memory := spoolMemory - int64(len(b.kept)) // the rest of that: some if less than that may be held
		b.held = &held{spool: newSpool(f.Buffer.Dir, memory, f.Buffer.Request+1-int64(len(b.kept))), after: b.stream}
		b.passed = true
	}
	h := b.held
	if err := h.spool.writeAt(piece, h.size); err != nil {
		f.Buffer.failed(err)
		h.more = append([]byte(nil), piece...)
		return false
	}
	h.size += int64(len(piece))
	return b.total() <= f.Buffer.Request
}

// heldWhole ends the reading of a body. One that is whole, and has no trailer section, goes on with a length, since there
// are backends that do not know of chunks.
func (b *requestBody) heldWhole(client Client) {
	whole := !client.BodyPending()
	if whole && b.length < 0 && len(client.Trailers()) == 0 {
		b.length = b.total()
		if b.held != nil {
			b.length += int64(len(b.held.more))
		}
	}
	if b.held != nil {
		b.stream, b.streamed, b.held.whole = b.held, true, whole
	}
}

// restHolding has a request rest whose body is waited for; false if it cannot.
func (f *Forward) restHolding(x *Exchange) bool {
	x.rests++
	if !x.client.CanSuspend() {
		return false
	}
	x.keepHead()
	x.body.rest()
	x.resting = &resting{goOn: func() { f.hold(x) }}
	return true
}

// again has a body that is held as a whole be sent from its beginning. False: it is not.
func (b *requestBody) again() bool {
	if !b.replayable() {
		return false
	}
	b.spent, b.sent, b.held.at = false, 0, 0
	return true
}

// replayable reports whether the body is streamed out of what is held, so that it can be sent again.
func (b *requestBody) replayable() bool {
	return b.held != nil && b.held.whole && len(b.held.more) == 0
}

// live reports whether the body is streamed from the client, and so goes at the client's pace.
func (b *requestBody) live() bool { return b.streamed && !b.replayable() }
