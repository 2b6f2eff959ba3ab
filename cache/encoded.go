package cache

import (
	"slices"

	"lb/internal/coding"
)

// Encoded returns the body of a stored response with a coding, nil if it is not stored.
func (e *Entry) Encoded(c coding.Coding) []byte {
	if body := e.encoded[c].body.Load(); body != nil {
		return *body
	}
	return nil
}

// Encoding is the body of a stored response that is being encoded, to be stored with it.
type Encoding struct {
	entry  *Entry
	coding coding.Coding
	rest   []byte
	out    []byte
	stored bool // it is stored, or not worth its memory
}

// encodedAtOnce is how many bytes are encoded before other connections get their turn.
const encodedAtOnce = 64 << 10

// Encode begins to encode the body of a stored response, or returns nil if another request does so, the result is not worth its memory, or
// there is too little memory. The result counts as a response that is being received until it is stored. End must be called.
func (e *Entry) Encode(as coding.Coding) *Encoding {
	size := int64(len(e.Body))
	if e.cache == nil || size > coding.MostWhole || !e.encoded[as].claimed.CompareAndSwap(false, true) {
		return nil
	}
	n := &Encoding{entry: e, coding: as, rest: e.Body}
	if e.cache.receiving.Add(size) > e.cache.section.Memory()/share {
		n.End()
		return nil
	}
	return n
}

// Step encodes a piece of the body. It reports whether all is encoded.
func (n *Encoding) Step(with *coding.Encoder) (done bool) {
	piece := n.rest[:min(len(n.rest), encodedAtOnce)]
	n.rest = n.rest[len(piece):]
	n.out = append(n.out, with.Encode(piece, len(n.rest) == 0)...)
	return len(n.rest) == 0
}

// Store stores the encoded body with its response, if that is still stored, and returns it. One that is not smaller by a sixteenth is not
// stored, and not made again.
func (n *Encoding) Store() []byte {
	e, body := n.entry, slices.Clone(n.out)
	n.stored = true
	if len(body) > len(e.Body)-len(e.Body)/16 {
		return body
	}
	e.encoded[n.coding].body.Store(&body)
	if !e.cache.section.Resize(e.key, e, e.size()) {
		e.encoded[n.coding].body.Store(nil)
	}
	return body
}

// End releases what an encoding holds. If nothing was stored, another request may try.
func (n *Encoding) End() {
	n.entry.cache.receiving.Add(-int64(len(n.entry.Body)))
	if !n.stored {
		n.entry.encoded[n.coding].claimed.Store(false)
	}
}
