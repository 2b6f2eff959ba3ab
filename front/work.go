package front

import (
	"sync"
	"unsafe"

	"lb/http1"
	"lb/internal/poison"
	"lb/message"
)

const (
	// usualHead is the bytes of a head, and of what comes with it, that each connection with a request has room for.
	usualHead = 4 << 10
	// usualFields is how many fields of a head it has room for.
	usualFields = 24
	// usualResponse is the bytes of a response's head, and of what goes along with it, that there is room for.
	usualResponse = 8 << 10
)

// work is what a connection needs only from the first byte of a request to the end of its response, for which it is lent.
type work struct {
	head   http1.RequestHead
	fields [usualFields]message.Field
	in     [usualHead]byte
	large  []byte // in the place of in, for a head that needs more; nil: none does
}

var (
	works = sync.Pool{New: func() any { return new(work) }}
	outs  = sync.Pool{New: func() any { return new([usualResponse]byte) }}
)

// Lend implements progress.Lender: room for the first bytes of a request.
func (c *Conn) Lend() []byte {
	c.lendWork()
	return c.room()
}

// TakeBack implements progress.Lender.
func (c *Conn) TakeBack() { c.returnWork() }

func (c *Conn) lendWork() *work {
	if c.work == nil {
		c.work = works.Get().(*work)
		c.work.head.Fields = c.work.fields[:0]
	}
	return c.work
}

// lendOut returns room for what is sent. A request has none while its response is waited for.
func (c *Conn) lendOut() []byte {
	if c.out == nil {
		c.out = outs.Get().(*[usualResponse]byte)
	}
	return c.out[:0]
}

// returnWork gives back what was lent. Nothing may read from it any more.
func (c *Conn) returnWork() {
	if out := c.out; out != nil {
		c.out = nil
		poison.Fill(out[:])
		outs.Put(out)
	}
	w := c.work
	if w == nil {
		return
	}
	c.work = nil
	poison.Fill(w.in[:])
	if w.large != nil {
		giveBackLarge(w.large)
	}
	clear(w.fields[:])
	w.head, w.large = http1.RequestHead{}, nil
	works.Put(w)
}

// room returns where heads are read to.
func (c *Conn) room() []byte {
	if c.work.large != nil {
		return c.work.large
	}
	return c.work.in[:min(c.listener.socket.front.usualHead, c.listener.limits.HeaderSize)]
}

// makeRoom moves what has come of a head, and nothing else, to the start of the room for it, and makes more room if that is full. It reports
// false if there may be no more.
func (c *Conn) makeRoom() bool {
	c.lendWork()
	room := c.room()
	if len(c.rest) >= len(room) {
		if len(room) >= c.listener.limits.HeaderSize {
			return false
		}
		large := lendLarge(c.listener.limits.HeaderSize)
		copy(large, c.rest)
		c.work.large = large
		room = large
	} else if unsafe.SliceData(c.rest) != unsafe.SliceData(room) {
		copy(room, c.rest)
	}
	c.rest = room[:len(c.rest)]
	return true
}

var largeHeads = sync.Pool{New: func() any { return new([]byte) }}

// lendLarge returns room of that size. Nearly always it is the same size, that of limits.header_size.
func lendLarge(size int) []byte {
	b := largeHeads.Get().(*[]byte)
	if cap(*b) < size {
		*b = make([]byte, size)
	}
	return (*b)[:size]
}

func giveBackLarge(b []byte) {
	poison.Fill(b)
	largeHeads.Put(&b)
}

// Request is the request that is to be responded to. It holds until the handler has returned, or has called Suspend;
// after that Request returns it again, at another place.
func (c *Conn) Request() *message.Request {
	if c.kept != nil {
		return &c.kept.Request
	}
	return &c.lendWork().head.Request
}

// keepRequest has the connection keep the present request, and what follows it, and give back all else that was lent.
func (c *Conn) keepRequest() {
	if c.kept == nil {
		c.kept = c.work.head.Clone()
	}
	c.writer.Keep()
	c.rest = append([]byte(nil), c.rest...)
	c.returnWork()
}

// forgetRequest ends what keepRequest began.
func (c *Conn) forgetRequest() {
	c.kept = nil
	c.writer.Reset(nil)
}
