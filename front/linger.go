package front

import (
	"container/list"
	"sync"
	"time"
)

const (
	lingerTime  = 5 * time.Second       // for the client to read a response that it may not expect, and close
	lingerIdle  = time.Second           // between two reads meanwhile
	lingerAwake = 10 * time.Millisecond // before the connection is parked for the rest of it

	// lingerShare is the part of max_connections that all lingering connections together may take: one in so many.
	lingerShare = 4
)

// lingers lets the client read our response before the connection is closed: that would reset it, and the response with
// it, while there are unread bytes in the socket (RFC 9112 section 9.6). It returns true for the connection to be parked:
// the client has not closed, and has sent nothing for lingerAwake.
func (c *Conn) lingers() bool {
	f := c.listener.socket.front
	c.raw.ForgetInterrupt() // StopBody's, if nobody was reading the body
	c.phase.Store(lingering)
	if c.mustLeave() {
		return false
	}
	if !c.leaving {
		c.leaving, c.idleUntil, c.headUntil = true, time.Now().Add(lingerTime), time.Time{}
		c.rest, c.link.ahead = nil, nil // so that it holds on to no buffer
		// Before the client sees the end, upon which it may close and connect again at once.
		if c.counted && !c.away {
			f.perIP.linger(c)
		}
		if c.closeWrite() != nil {
			return false
		}
		if !c.away { // those have a bound of their own
			f.lingerers.add(c)
		}
	}
	silence := lingerAwake
	if c.resident {
		silence = lingerIdle
	}
	waste := wastePool.Get().(*[4096]byte)
	defer wastePool.Put(waste)
	for now := time.Now(); now.Before(c.idleUntil); now = time.Now() {
		c.raw.SetReadDeadline(minTime(c.idleUntil, now.Add(silence)))
		if _, err := c.raw.Read(waste[:]); err != nil {
			return isTimeout(err) && !c.resident
		}
	}
	return false
}

// mustLeave reports whether a connection may not linger any longer. Its mark is set before its phase is looked at, see
// hurry, and read here after the phase was set.
func (c *Conn) mustLeave() bool { return c.crowdedOut.Load() || c.listener.ending() }

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// closeWrite tells the client that nothing more comes.
func (c *Conn) closeWrite() error {
	if c.tls != nil {
		c.link.idle = closeTime
		if err := c.tls.CloseWrite(); err != nil {
			return err
		}
	}
	return c.socket.CloseWrite()
}

// lingerers are the connections that linger. Their number is bounded, since a client may be in no hurry to close them,
// and they serve no requests.
type lingerers struct {
	mu   sync.Mutex
	list list.List // of *Conn; the oldest is the first
}

// add has c linger. Where there are too many now, the oldest are closed: they had the most time to be read.
func (l *lingerers) add(c *Conn) {
	var tooMany []*Conn
	l.mu.Lock()
	c.lingerer = l.list.PushBack(c)
	for most := max(c.listener.limits.MaxConnections/lingerShare, 1); l.list.Len() > most; {
		tooMany = append(tooMany, l.take(l.list.Front()))
	}
	l.mu.Unlock()
	for _, oldest := range tooMany {
		oldest.crowdedOut.Store(true)
		oldest.hurry()
	}
}

// take removes an element. The caller holds l.mu.
func (l *lingerers) take(e *list.Element) *Conn {
	c := l.list.Remove(e).(*Conn)
	c.lingerer = nil
	return c
}

// remove is for a connection that lingered and is closed now.
func (l *lingerers) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.lingerer != nil {
		l.take(c.lingerer)
	}
}
