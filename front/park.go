package front

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"lb/http1"
)

// parking keeps the connections whose clients are silent. A parked one has no goroutine, no stack and no buffer, which
// are nearly all that a waiting client costs otherwise; it goes on where it stopped when its client sends something
// or leaves, when its time is over, or when connections must end.
type parking struct {
	watch watcher
	// after is how long a connection waits between two requests before it is parked: with its goroutine, a
	// request costs two system calls and a goroutine's start less. newAfter is that for the first byte of a new
	// connection and for the rest of a head.
	after, newAfter time.Duration

	mu     sync.Mutex
	room   [usualHead]byte  // for takeIn
	last   uint64           // key that was given out
	parked map[uint64]*Conn // by Conn.space
	slow   int              // of them: see Conn.slow
}

const (
	parkAfter    = time.Second
	parkNewAfter = 100 * time.Millisecond
	// drips is in how many pieces with a pause a head may come before its connection is parked as seldom as an idle
	// one: each time costs several times what a piece costs that somebody waits for.
	drips = 8
)

// afterHead is how long is waited for more of a head, for which the connection was parked so many times.
func (p *parking) afterHead(parkings int) time.Duration {
	if parkings < drips {
		return p.newAfter
	}
	return p.after
}

// start makes p ready, and returns what ends it. Without it all connections keep their goroutines.
func (p *parking) start() (stop func(), err error) {
	if err := p.watch.start(); err != nil {
		return func() {}, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.watch.run(p.wakeKey)
	}()
	return func() {
		p.watch.stop()
		<-ended
	}, nil
}

// park takes a connection whose goroutine ends with this call.
func (p *parking) park(c *Conn) {
	until := c.idleUntil
	switch {
	case c.leaving:
		until = c.silentUntil()
	case c.suspended != nil:
		until = c.suspendedUntil()
	case !c.headUntil.IsZero():
		until = c.headUntil
	}
	if c.suspended == nil {
		c.body.chunks = http1.ChunkDecoder{} // which keeps the room for a trailer section
	}
	p.mu.Lock()
	p.last++
	c.space = p.last
	p.parked[c.space] = c
	if c.slow() {
		p.slow++
	}
	if !until.IsZero() {
		space := c.space
		c.alarm = time.AfterFunc(time.Until(until), func() { p.timeOver(space) })
	}
	c.phase.Store(parked)
	c.listener.socket.setParked(c, true)
	c.scan = http1.HeadScan{}
	err := p.fallAsleep(c)
	c.resident = err != nil && (c.leaving || !passing(err))
	// Whoever makes us end sets its mark first and looks at the phase then.
	if err != nil || c.mustLeave() {
		p.release(c)
	}
	p.mu.Unlock()
}

// slow reports whether a parked connection is not one between two requests.
func (c *Conn) slow() bool { return c.suspended != nil || !c.headUntil.IsZero() || c.leaving }

// silentUntil is when the client of a connection that lingers has been silent for too long.
func (c *Conn) silentUntil() time.Time { return minTime(c.idleUntil, time.Now().Add(lingerIdle)) }

// passing reports whether err says that there is something too little of at the moment.
func passing(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOSPC)
}

// fallAsleep has the sockets that c waits for be watched, and by nobody else.
func (p *parking) fallAsleep(c *Conn) error {
	if err := c.socket.Sleep(); err != nil {
		return err
	}
	room := false
	if s := c.suspended; s != nil {
		room = s.room
		if s.other != nil {
			if err := s.other.Sleep(); err != nil {
				return err
			}
			if !room {
				if err := p.watch.add(s.other, c.space, false); err != nil {
					return err
				}
			}
		}
	}
	return p.watch.add(&c.socket, c.space, room)
}

// timeOver has the one go on whose time is over, if it is still parked, or not parked anew.
func (p *parking) timeOver(space uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.parked[space]; c != nil {
		p.release(c)
	}
}

// wake has a connection go on, if it is parked.
func (p *parking) wake(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.space != 0 {
		p.release(c)
	}
}

// hurry has a connection go on if it is parked in a head, or after its end. The others may stay as they are until their
// grace is over.
func (p *parking) hurry(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.space != 0 && (c.leaving || !c.headUntil.IsZero()) {
		p.release(c)
	}
}

// end has a connection go on, if it is parked, to find that its time is over.
func (p *parking) end(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.space != 0 && c.suspended == nil {
		c.idleUntil = time.Now()
		p.release(c)
	}
}

// wakeKey has the one go on whose client has done something.
func (p *parking) wakeKey(space uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.parked[space]; c != nil && !p.takeIn(c) { // nil: something else has woken it meanwhile
		p.release(c)
	}
}

// takeIn keeps what has come of a head that is not whole with it: a goroutine for each piece would cost several times
// more. It reports false if c has to go on.
func (p *parking) takeIn(c *Conn) bool {
	if c.leaving {
		return p.waste(c)
	}
	if c.headUntil.IsZero() || c.tls != nil || len(c.rest) >= len(p.room) {
		return false
	}
	n, nothing := receiveNow(&c.socket, p.room[len(c.rest):])
	if n <= 0 && !nothing {
		return false // it has ended
	}
	c.rest = append(c.rest, p.room[len(c.rest):][:max(n, 0)]...)
	if end, refused := c.scan.Find(c.rest); end > 0 || refused != nil || len(c.rest) == len(p.room) {
		return false
	}
	return p.watch.again(&c.socket, c.space) == nil
}

// waste takes what the client of a connection that lingers still sends. It reports false if that has ended.
func (p *parking) waste(c *Conn) bool {
	if n, nothing := receiveNow(&c.socket, p.room[:]); n <= 0 && !nothing {
		return false
	}
	c.alarm.Reset(time.Until(c.silentUntil()))
	return p.watch.again(&c.socket, c.space) == nil
}

// release starts a goroutine for c. The caller holds p.mu.
func (p *parking) release(c *Conn) {
	p.watch.remove(&c.socket)
	if s := c.suspended; s != nil && s.other != nil {
		p.watch.remove(s.other)
	}
	if c.alarm != nil {
		c.alarm.Stop()
	}
	delete(p.parked, c.space)
	if c.slow() {
		p.slow--
	}
	if len(p.parked) == 0 {
		p.parked = map[uint64]*Conn{} // a map keeps room for the most that it has held
	}
	c.space, c.alarm = 0, nil
	c.phase.Store(busy)
	c.listener.socket.setParked(c, false)
	go c.run()
}

// Load is how many connections there are.
type Load struct {
	Open   int // all that are served
	Active int // of them: with a request, or that wait for one since a moment only. The others need far less memory
	Slow   int // of the others: in the middle of a head or a request, or told that the connection has ended
}

// Load returns the load of this moment.
func (f *Front) Load() Load {
	f.parking.mu.Lock()
	defer f.parking.mu.Unlock()
	open := int(f.open.Load())
	return Load{open, open - len(f.parking.parked), f.parking.slow}
}
