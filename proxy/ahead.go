package proxy

import (
	"bytes"
	"io"
	"sync"
	"time"

	"lb/internal/dormant"
	"lb/message"
	"lb/pool"
	"lb/transport"
)

// ahead takes the body of a response from its backend ahead of the client: fill reads it into the spool, in a goroutine of
// its own unless it is there already, and pump sends it on. Neither waits for the other while there is room, so that the
// backend is given back as soon as it has said everything, and no byte is kept from a client that would take it.
type ahead struct {
	x        *Exchange
	b        *pool.Backend
	complete bool // the whole request was sent
	size     int64
	spool    spool
	came     chan struct{} // of one: something below has changed
	unsent   bool          // pump's: there is something to be sent before what is in the spool
	finished bool          // pump's: the client has all of it

	// fill's, and pump's while fill does not run.
	pending []byte // of the connection's buffer: what has not been put into the spool
	last    bool   // nothing comes behind pending

	mu       sync.Mutex
	conn     *transport.Conn // nil: it has been given back
	r, w     int64           // what is in the spool: positions since it was last empty, of which the offset is the rest modulo size
	fills    bool            // fill runs
	broken   bool            // the spool cannot be written to: what follows is streamed
	ended    bool            // the backend's part is over
	err      error           // why, if not by the end of the response
	trailers []message.Field // follow the last of the spool
}

// buffersResponse reports whether the response on conn is to be taken ahead of the client. One that is small and there
// need not be, since relayBytes gives the backend back before it sends that; and events that a slow client has not read
// had better stay with the backend.
func (f *Forward) buffersResponse(conn *transport.Conn) bool {
	if f.Buffer.Response <= 0 || conn.BufferedWhole() && conn.Length() <= joinLimit {
		return false
	}
	fields := conn.Response().Fields
	for i := range fields {
		if field := &fields[i]; message.EqualFold(field.Name, "content-type") {
			media, _, _ := bytes.Cut(field.Value, []byte{';'})
			return !message.EqualFold(message.TrimSpace(media), "text/event-stream")
		}
	}
	return true
}

// overtaken is how long a response waits for the last write of the request to return, so that it can be buffered.
const overtaken = 2 * time.Millisecond

// relayAhead passes on a response by way of the spool. The body of the request has been sent. It gives b back.
func (f *Forward) relayAhead(x *Exchange, b *pool.Backend, conn *transport.Conn) {
	size := f.Buffer.Response
	if length := conn.Length(); length > 0 {
		size = min(size, length)
	}
	x.relayHead(conn)
	a := &ahead{
		x: x, b: b, conn: conn, complete: !x.body.withheld(), unsent: true,
		size: size, spool: newSpool(f.Buffer.Dir, spoolMemory, size), came: make(chan struct{}, 1), fills: true,
	}
	x.ahead = a
	x.givenBack = true // by a
	x.body.free()
	a.fill(f, false)
	f.pump(x, a)
}

// fill reads the response into the spool until there is no room, or the end. With wait it waits for what comes.
func (a *ahead) fill(f *Forward, wait bool) {
	for {
		if len(a.pending) == 0 && !a.last {
			if !wait && !a.conn.Buffered() {
				break
			}
			piece, err := a.conn.ReadBody()
			if err != nil && err != io.EOF {
				a.end(err)
				return
			}
			a.pending, a.last = piece, err == io.EOF
		}
		w, err := a.put()
		if err != nil {
			f.Buffer.failed(err)
			a.mu.Lock()
			a.broken = true
			a.mu.Unlock()
			break
		}
		if a.last && len(a.pending) == 0 {
			a.trailers = cloneFields(a.conn.Trailers())
			a.giveBack(nil)
			a.publish(w)
			a.end(nil)
			return
		}
		a.publish(w)
		if len(a.pending) > 0 {
			break // there is no room
		}
	}
	a.mu.Lock()
	a.fills = false
	a.mu.Unlock()
	a.signal()
}

// put puts what there is room for of pending into the spool, and returns the position behind it.
func (a *ahead) put() (int64, error) {
	a.mu.Lock()
	if a.r == a.w {
		a.r, a.w = 0, 0 // so that little is in memory
	}
	w, room := a.w, a.size-(a.w-a.r)
	a.mu.Unlock()
	piece := a.pending[:max(0, min(int64(len(a.pending)), room))]
	if len(piece) == 0 {
		return w, nil
	}
	if err := a.write(piece, w); err != nil {
		return 0, err
	}
	a.pending = a.pending[len(piece):]
	return w + int64(len(piece)), nil
}

// cloneFields returns a copy of fields that shares nothing with them.
func cloneFields(fields []message.Field) []message.Field {
	var lines []byte
	for i := range fields {
		lines = append(lines, fields[i].Line...)
	}
	return message.Lines(lines, nil)
}

// write writes to the spool from a position on.
func (a *ahead) write(p []byte, at int64) error {
	off := at % a.size
	first := p[:min(int64(len(p)), a.size-off)]
	if err := a.spool.writeAt(first, off); err != nil {
		return err
	}
	return a.spool.writeAt(p[len(first):], 0)
}

// publish lets pump have what stands before a position.
func (a *ahead) publish(w int64) {
	a.mu.Lock()
	a.w = w
	a.mu.Unlock()
	a.signal()
}

func (a *ahead) signal() {
	select {
	case a.came <- struct{}{}:
	default:
	}
}

// end is the end of fill when nothing more comes of the backend.
func (a *ahead) end(err error) {
	a.giveBack(err)
	a.mu.Lock()
	a.ended, a.err, a.fills = true, err, false
	a.mu.Unlock()
	a.signal()
}

// giveBack ends the exchange with the backend, if that has not been done.
func (a *ahead) giveBack(err error) {
	a.mu.Lock()
	conn := a.conn
	a.conn = nil // so that nobody interrupts what serves others
	a.mu.Unlock()
	if conn == nil {
		return
	}
	outcome := pool.Success
	switch {
	case err == nil && isFailure(a.x.status):
		outcome = pool.Status
	case err == nil:
	case a.x.departure.happened():
		outcome = pool.Aborted
	default:
		outcome = outcomeOf(err)
	}
	a.x.release(conn, err == nil && a.complete)
	a.b.Report(outcome)
	a.b.Release()
}

// pump sends the head, and what is in the spool as it comes, to the client, to the end of the response or until the
// request rests.
func (f *Forward) pump(x *Exchange, a *ahead) {
	scratch := largeBuffers.Get().(*[]byte)
	defer giveBack(scratch)
	for {
		piece, last, more := a.next(f, (*scratch)[:largeBuffer])
		if !more {
			break
		}
		var n int
		var err error
		if last {
			n, err = x.client.Finish(piece, a.trailers, x.restAfter())
		} else {
			n, err = x.client.Send(piece, x.restAfter())
		}
		a.took(n)
		a.unsent = err != nil
		switch err {
		case nil:
			a.finished = last
		case dormant.ErrPaused:
			if f.restPumping(x, a) {
				return
			}
		default:
			_ = x.sent(err)
			a.stop()
			x.ahead = nil
			return
		}
	}
	f.pumped(x, a)
}

// next returns what is to be sent, and whether that is the last of it; without more the rest of the response is not for pump.
func (a *ahead) next(f *Forward, scratch []byte) (piece []byte, last, more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		ready := a.w - a.r
		if !a.fills && !a.ended && !a.broken && ready <= a.size/2 {
			a.fills = true
			go a.fill(f, true)
		}
		whole := a.ended && a.err == nil
		switch {
		case ready > 0:
			off := a.r % a.size
			piece, err := a.spool.bytes(off, min(ready, a.size-off), scratch)
			if err != nil {
				a.broken, a.err = true, err
				return nil, false, false
			}
			return piece, whole && int64(len(piece)) == ready, true
		case whole && !a.finished:
			return nil, true, true
		case a.unsent && !a.ended:
			return nil, false, true
		case a.ended, a.broken && !a.fills:
			return nil, false, false
		}
		a.mu.Unlock()
		<-a.came
		a.mu.Lock()
	}
}

// took takes note that the client has got n bytes of what next returned.
func (a *ahead) took(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.r += int64(n)
}

// pumped ends a response of which pump sends no more.
func (f *Forward) pumped(x *Exchange, a *ahead) {
	x.ahead = nil
	if a.ended {
		a.spool.close()
		if a.err != nil {
			x.broken(a.err)
		}
		return
	}
	if a.err != nil { // the spool cannot be read
		a.stop()
		x.cut(a.err.Error())
		return
	}
	// The spool could not be written to, and is empty: the rest goes on as it comes.
	a.spool.close()
	x.givenBack = false
	outcome := pool.Success
	if len(a.pending) > 0 || a.last {
		var ok bool
		if outcome, ok = x.pass(nil, a.pending, a.last, a.conn.Trailers()); !ok {
			f.relayed(x, a.b, a.conn, nil, outcome)
			return
		}
	}
	if !a.last {
		outcome = x.relayBody(a.conn, nil)
	}
	f.relayed(x, a.b, a.conn, nil, outcome)
}

// stop ends fill and gives everything back. It may be called twice.
func (a *ahead) stop() {
	a.mu.Lock()
	for a.fills {
		if a.conn != nil {
			a.conn.Interrupt()
		}
		a.mu.Unlock()
		<-a.came
		a.mu.Lock()
	}
	a.mu.Unlock()
	a.giveBack(errClientLeft)
	a.spool.close()
}

// restPumping has the request rest until the client takes more; false if it cannot. The backend's connection sleeps
// meanwhile, if it is not being read from.
func (f *Forward) restPumping(x *Exchange, a *ahead) bool {
	x.rests++
	if !x.client.CanSuspend() {
		return false
	}
	var other *dormant.Conn
	a.mu.Lock()
	if conn := a.conn; conn != nil && !a.fills {
		other = conn.Plain()
	}
	a.mu.Unlock()
	x.keepHead()
	x.resting = &resting{room: true, other: other, goOn: func() {
		x.client.Await(x.onLeaving)
		defer x.client.EndAwait()
		if other != nil {
			a.conn.Resume()
		}
		f.pump(x, a)
	}}
	return true
}
