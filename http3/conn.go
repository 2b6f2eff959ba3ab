package http3

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"lb/netloop"
)

// phase is what a connection does.
//
//	          request          timer                                  closed by either side
//	open      begin            idle: close                            fail its streams
//	leaving   begin            tell the client which is the last      fail its streams
//	last      reject           -                                      fail its streams
//	lingering reject           close, unless something is being sent  -
//	closed    reject           -                                      -
type phase uint8

const (
	phaseOpen      phase = iota
	phaseLeaving         // the client knows that it should open no more streams
	phaseLast            // and which stream is the last that is served
	phaseLingering       // the last stream has ended, and its end may be on its way
	phaseClosed
)

// Conn is a client's connection. Its methods are called on its loop, but for Serve.
type Conn struct {
	Info any // the owner's own

	worker   *Worker
	quic     *quic.Conn
	settings *Settings
	owner    Owner
	control  *quic.SendStream
	running  sync.WaitGroup // goroutines, and the connection until ended has run: the loop starts goroutines until then

	mu     sync.Mutex              // guards what follows
	heads  int                     // streams whose head is being read
	nextID quic.StreamID           // one more than the latest that is served
	last   bool                    // streams from nextID on are rejected
	opened [streamDecoder + 1]bool // the client's unidirectional streams, by their type

	// On the loop.
	phase     phase
	streams   []*Stream
	timer     netloop.Timer
	ended     time.Time // when the last stream ended; zero: none has
	lingering uint64    // bytes that were sent when the timer was set
	credit    credit
}

// New returns a connection whose handshake has succeeded, for Serve.
func New(w *Worker, q *quic.Conn, settings *Settings, owner Owner, info any) *Conn {
	c := &Conn{Info: info, worker: w, quic: q, settings: settings, owner: owner}
	c.timer.Init(w.Loop, (*timeout)(c))
	return c
}

// Worker is what the connections of the loop share.
func (c *Conn) Worker() *Worker { return c.worker }

// Serve serves the connection, and returns when it has ended with everything that belongs to it. It is called once, on a goroutine of
// its own.
func (c *Conn) Serve() {
	c.running.Add(1)
	defer c.running.Wait()
	c.worker.Loop.Post((*opened)(c))
	if err := c.openControl(); err == nil {
		c.running.Go(c.acceptUni)
		c.accept()
	}
	_ = c.quic.CloseWithError(codeNo, "")
	if !c.worker.Loop.Post((*ended)(c)) {
		c.running.Done()
	}
}

// accept begins the streams of requests until the connection ends.
func (c *Conn) accept() {
	for {
		q, err := c.quic.AcceptStream(context.Background())
		if err != nil {
			return
		}
		c.mu.Lock()
		rejected := c.last
		if !rejected {
			c.heads++
			c.nextID = q.StreamID() + 4 // RFC 9000 section 2.1: the next one of a client
		}
		c.mu.Unlock()
		if rejected {
			reject(q)
			continue
		}
		s := &Stream{conn: c, quic: q}
		c.running.Go(s.read)
	}
}

// reject ends a stream that has not been looked at, so that the client may send the request again on another connection (RFC 9114
// section 5.2).
func reject(q *quic.Stream) {
	q.CancelRead(codeRequestRejected)
	q.CancelWrite(codeRequestRejected)
	q.ReleaseStreamCredit()
}

// headDone is called when the head of a stream has been read, or will not be, and reports whether others are being read.
func (c *Conn) headDone() (others bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heads--
	return c.heads > 0
}

func (c *Conn) readsHeads() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heads > 0
}

// errPanicked is the error of what ended in a panic.
var errPanicked = errors.New("a panic")

// guard calls f, in a goroutine of a stream. A panic is an error, so that it ends that stream alone.
func (c *Conn) guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.settings.Handler.Panicked(v)
			err = errPanicked
		}
	}()
	return f()
}

// fault ends the connection if err is what its client did wrong. It may be called from any goroutine but the loop's.
func (c *Conn) fault(err error) bool {
	var wrong *connError
	if !errors.As(err, &wrong) {
		return false
	}
	if wrong.code == codeExcessiveLoad {
		c.worker.Loop.Post(netloop.TaskFunc(func() {
			c.settings.Handler.Refused(c, &Refusal{Label: LabelFlood, Reason: wrong.reason})
		}))
	}
	_ = c.quic.CloseWithError(wrong.code, wrong.reason)
	return true
}

// opened and ended are a Conn as the tasks of its beginning and its end.
type (
	opened Conn
	ended  Conn
)

func (t *opened) Run() {
	c := (*Conn)(t)
	c.credit.begin(c.worker.Loop.Now())
	c.idle()
}

func (t *ended) Run() {
	c := (*Conn)(t)
	defer c.running.Done()
	c.phase = phaseClosed
	c.timer.Stop()
	for i := len(c.streams) - 1; i >= 0; i-- {
		if i < len(c.streams) {
			c.streams[i].fail(codeNone, ErrClientDisconnected)
		}
	}
	c.owner.Closed()
}

// add and remove keep the list of open streams.
func (c *Conn) add(s *Stream) {
	s.place = len(c.streams)
	c.streams = append(c.streams, s)
}

func (c *Conn) remove(s *Stream) {
	last := len(c.streams) - 1
	moved := c.streams[last]
	c.streams[s.place], moved.place = moved, s.place
	c.streams[last] = nil
	c.streams = c.streams[:last]
	c.ended = c.worker.Loop.Now()
	c.settle()
}

// settle does what is due when no stream is left.
func (c *Conn) settle() {
	if len(c.streams) > 0 || c.readsHeads() {
		return
	}
	switch c.phase {
	case phaseOpen:
		c.idle()
	case phaseLast:
		c.linger()
	}
}
